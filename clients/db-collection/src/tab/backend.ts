// What a client can ask of the tab that holds the store, and what it is told; the same from inside and from another tab.
import type { BlobAnswer, BlobCalls, BlobNews } from '../blob/store'
import type { Changes } from '../engine/change'
import type { Outcome } from '../engine/fate'
import type { Op } from '../engine/op'
import type { PresenceState } from '../engine/presence'
import type { Draft } from '../engine/outbox'
import type { Revised } from '../engine/revised'
import type { Wanted } from '../engine/screen'
import type { SyncState } from '../engine/session'
import type { Schema } from '../protocol/schema'
import type { Json, Row } from '../protocol/wire'

/** What a tab knows by being told. */
export interface Told {
  ops: Op[]
  cursor: string
  revised: readonly Revised[]
  schema: Schema | undefined
  storage: { lost: { unsynced: number } | undefined; volatile: string | undefined }
  state: SyncState
  news: BlobNews
  states: Record<string, PresenceState>
}

/** What the holder tells everybody. */
export type BackendEvent =
  | { type: 'changes'; changes: Changes }
  | ({ type: 'ops' } & Pick<Told, 'ops' | 'cursor' | 'revised'>)
  | ({ type: 'schema' } & Pick<Told, 'schema'>)
  | ({ type: 'storage' } & Pick<Told, 'storage'>)
  | ({ type: 'state' } & Pick<Told, 'state'>)
  | ({ type: 'blobs' } & Pick<Told, 'news'>)
  | ({ type: 'presence' } & Pick<Told, 'states'>)

/** What may be asked of the tab that holds the store, with what, and what comes back. All of it may be asked twice without harm. */
export interface Calls {
  mutate(draft: Draft & { id: string }): Promise<Op>
  discard(id: string): Promise<boolean>
  retry(id: string): Promise<Op | undefined>
  confirmRevised(revised: Pick<Revised, 'id' | 'status'>): Promise<boolean>
  /** What became of a write: only who holds the store knows. */
  outcome(id: string): Promise<Outcome>
  get(table: string, key: string): Promise<Row | undefined>
  rows(table: string, deliver: (rows: Map<string, Row>) => void): Promise<void>
  find(table: string, wanted: Wanted, deliver: (rows: Map<string, Row>) => void): Promise<void>
  pull(): Promise<void>
  push(): Promise<void>
  track(bucket: string, payload: Record<string, Json>): Promise<void>
  untrack(bucket: string): Promise<void>
  blob(method: keyof BlobCalls, args: unknown[]): Promise<BlobAnswer>
}
