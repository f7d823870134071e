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

/** The buckets of a device, as far as it knows of them. */
export interface Buckets {
  /** The rules of which not all buckets are here yet: those of a later priority, while a first sync goes on. */
  laterRules: readonly string[]
  /** The buckets on demand that are subscribed to, or were until a short while ago, and whether their rows are here. */
  subscribed: readonly { bucket: string; complete: boolean }[]
}

/** What a tab knows by being told. */
export interface Told {
  ops: Op[]
  cursor: string
  revised: readonly Revised[]
  buckets: Buckets
  schema: Schema | undefined
  storage: { lost: { unsynced: number } | undefined; volatile: string | undefined }
  state: SyncState
  news: BlobNews
  states: Record<string, PresenceState>
}

/** What the holder tells everybody. */
export type BackendEvent =
  | { type: 'changes'; changes: Changes }
  | ({ type: 'ops' } & Pick<Told, 'ops' | 'cursor' | 'revised' | 'buckets'>)
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
  /** Asks for a bucket on demand until then, in ms since 1970. */
  keep(bucket: string, untilMs: number): Promise<boolean>
  pull(): Promise<void>
  push(): Promise<void>
  track(bucket: string, payload: Record<string, Json>): Promise<void>
  untrack(bucket: string): Promise<void>
  blob(method: keyof BlobCalls, args: unknown[]): Promise<BlobAnswer>
}
