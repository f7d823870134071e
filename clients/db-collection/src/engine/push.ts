// The exchange that empties the outbox: push until every op is answered, and let nothing wait behind one that never is.
import type { Mutation, MutationResult } from '../protocol/wire'
import { inOrder } from './doubt'
import { isPending, type Op } from './op'
import type { Replica } from './replica'
import { SyncError, type Transport } from './transport'

/** How much one request carries. */
export interface Sizes {
  pageRows: number
  batchOps: number
  batchBytes: number
}

/** What the last push that failed was about; remembered from one push to the next. */
export class Suspicion {
  /** The first op of the batch that failed. */
  head: string | undefined
  /** The connection broke, and a pull after it went well: it is the push that breaks it. */
  reachable = false
}

/** Times that one identity of the device may part from the server's memory before a push is given up for now. */
const MAX_ROTATIONS = 2

/**
 * Pushes until every op is answered.
 *
 * Where the server's memory and ours have parted, `resync` pulls before anything is sent again: a server that was restored
 * knows it by our cursor being ahead of its clock, and each write would bring that clock closer.
 */
export async function push(replica: Replica, transport: Transport, sizes: Sizes, resync: () => Promise<void>, suspicion = new Suspicion()): Promise<void> {
  let most = sizes.batchOps
  let rotations = 0
  for (;;) {
    await replica.outbox.release()
    await replica.outbox.makeWay()
    // What has no number waits for an upload.
    const waiting = inOrder(replica.outbox.ops.filter((op) => isPending(op) && op.number > 0) as Op[])
    if (waiting.length === 0) return
    // What is in doubt goes alone: its failure must not be another's.
    const batch = waiting[0]!.doubt ? waiting.slice(0, 1) : fitting(waiting, most, sizes.batchBytes)
    try {
      const results = await transport.push(batch.map(mutationOf))
      if (await partedAfter(replica, batch, results)) {
        if (++rotations > MAX_ROTATIONS) throw new SyncError('busy', 'out_of_order', 'the server does not follow this device’s sequence')
        const { clientID } = replica.device
        await resync()
        if (replica.device.clientID === clientID) await replica.outbox.rotate()
      }
      suspicion.head = undefined
    } catch (error) {
      if (!(error instanceof SyncError)) throw error
      if (error.results.length > 0) await replica.outbox.applyResults(error.results)
      const left = batch.filter(({ id }) => replica.outbox.ops.some((op) => op.id === id && isPending(op)))
      const next = await afterFailure(replica, left, error, suspicion)
      if (next === 'wait') throw error
      most = next === 'halve' ? Math.ceil(left.length / 2) : sizes.batchOps
    }
  }
}

/** Stores the answers; true when the server's sequence and ours have parted. An answer that says nothing of the first op is none. */
async function partedAfter(replica: Replica, batch: readonly Op[], results: readonly MutationResult[]): Promise<boolean> {
  const { parted } = await replica.outbox.applyResults(results)
  if (parted) return true
  const answered = new Set(results.map(({ clientMutationId }) => clientMutationId))
  if (!batch.some(({ id }) => answered.has(id))) throw new SyncError('offline', 'malformed', 'the server answered other mutations')
  if (replica.outbox.ops.some((op) => isPending(op) && op.id === batch[0]?.id)) {
    throw new SyncError('busy', 'out_of_order', 'the server did not run the first mutation of the batch')
  }
  return false
}

/** What to do about a failure: send half as many, go on with others, or wait and try again. */
async function afterFailure(replica: Replica, left: readonly Op[], error: SyncError, suspicion: Suspicion): Promise<'halve' | 'on' | 'wait'> {
  const [first] = left
  if (!first) return 'on'
  if (error.code === 'blob_missing') {
    // Not this op's failure: its blob goes first.
    await replica.outbox.lacks(left.map(({ id }) => id), error.blobs, error.message)
    return 'on'
  }
  if (error.kind === 'too_large' || (error.kind === 'refused' && error.code === 'bad_request')) {
    // One of them is at fault: the rest must not wait for it.
    if (left.length > 1) return 'halve'
    await replica.outbox.park(first.id, error.code, error.message)
    return 'on'
  }
  const again = suspicion.head === first.id
  const broken = error.kind === 'offline' && again && suspicion.reachable
  suspicion.head = first.id
  if (!isUndecided(error) && !broken) return 'wait'
  if (left.length > 1) return again ? 'halve' : 'wait'
  const parked = await replica.outbox.doubt(first.id, { code: error.code, message: error.message, answered: isUndecided(error) })
  return parked || (await replica.outbox.makeWay()) ? 'on' : 'wait'
}

/** Whether the server said something of these mutations that decides nothing: asked again it may say the same for ever. */
export function isUndecided({ kind, code, status, retryAfterMs }: SyncError): boolean {
  if (kind === 'offline') return code === 'malformed' || code === 'cut'
  // Who is asked to come back later is asked by a server that is busy, whatever the mutation.
  if (kind === 'busy') return status !== 429 && !(status === 503 && (retryAfterMs !== undefined || code === 'unavailable'))
  return kind === 'refused'
}

function fitting(ops: readonly Op[], most: number, bytes: number): Op[] {
  const batch: Op[] = []
  let size = 0
  for (const op of ops.slice(0, most)) {
    if (op.doubt) break
    size += JSON.stringify(mutationOf(op)).length * 2
    if (batch.length > 0 && size > bytes) break
    batch.push(op)
  }
  return batch
}

function mutationOf({ name, args, id, clientID, number, hlc, dependsOn }: Op): Mutation {
  return { name, args, clientMutationId: id, clientID, mutationID: number, hlc, ...(dependsOn.length > 0 && { dependsOn }) }
}
