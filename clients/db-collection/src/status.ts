// What a screen may say about syncing, put together from session, outbox and storage.
import { isHeld } from './engine/held'
import type { Op, Refusal } from './engine/op'
import type { Revised } from './engine/revised'
import type { SyncState } from './engine/session'

/** Everything a status line needs. */
export interface NizhalStatus extends SyncState {
  online: boolean
  /** Whether this tab holds the store. */
  leader: boolean
  /** Writes whose answer is still to come. */
  pending: number
  /** Writes that the server refused or never decided, parked until somebody does. */
  rejected: number
  /** Writes that got another result than they were answered with, until `confirmRevised`. */
  revised: readonly Revised[]
  /** Rules of which buckets are still to come, and buckets on demand whose rows are not here; `client.buckets` says which. */
  incomplete: number
  /** The device's storage was taken away, and with it this many writes that no server had. */
  storageLost: { unsynced: number } | undefined
  /** Why what is kept here is gone when the page is; `undefined` where it lasts, and where the app asked for no more. */
  volatile: string | undefined
}

/** A write as the app sees it. */
export interface NizhalWrite {
  id: string
  name: string
  args: unknown
  state: 'pending' | 'applied' | 'rejected'
  /** It waits for the upload of a blob, or for a write that does. */
  awaitsBlob?: true
  /** When it was made, by the device's never-retreating clock. */
  madeAt: string
  dependsOn: readonly string[]
  /** `undecided`: no answer ever said what became of it, so that it may have been applied. */
  refusal?: Refusal
  /** The rows that it writes. */
  rows: readonly { table: string; key: string; isNew: boolean }[]
}

/** The app's view of an outbox entry. */
export function writeOf(op: Op): NizhalWrite {
  return {
    id: op.id,
    name: op.name,
    args: op.args,
    state: op.state === 'waiting' ? 'pending' : op.state,
    madeAt: op.hlc.slice(0, 24),
    dependsOn: op.dependsOn,
    ...(isHeld(op) && { awaitsBlob: true }),
    ...(op.refusal && { refusal: op.refusal }),
    rows: op.effects.map(({ table, key, kind }) => ({ table, key, isNew: kind === 'insert' })),
  }
}

/** The part of a client that knows how syncing goes. */
export interface StatusSource {
  readonly status: NizhalStatus
  onStatus(listener: (status: NizhalStatus) => void): () => void
}

/** A store of the status in the shape that React's `useSyncExternalStore` and others take. */
export function createNizhalStatus(client: StatusSource) {
  // The same object until something changes: these hooks compare by identity.
  let snapshot = client.status
  return {
    subscribe(listener: () => void): () => void {
      snapshot = client.status
      return client.onStatus((status) => {
        snapshot = status
        listener()
      })
    },
    getSnapshot: () => snapshot,
  }
}
