// The two exchanges with a server: pull until the snapshot's end, push until the outbox is answered.
import type { Mutation } from '../protocol/wire'
import { isPending, type Op } from './op'
import type { Replica } from './replica'
import { SyncError, type Transport } from './transport'

/** How much one request carries. */
export interface Sizes {
  pageRows: number
  batchOps: number
  batchBytes: number
}

/** Pulls pages until one completes a snapshot. */
export async function pull(replica: Replica, transport: Transport, sizes: Sizes): Promise<void> {
  for (;;) {
    const { cursor, clientID } = replica.device
    const page = await transport.pull({ cursor, deviceId: clientID, limit: sizes.pageRows })
    // A server that sends the same page for ever would be asked for ever.
    if (page.hasMore && page.cursor === cursor) {
      throw new SyncError('refused', 'cursor_stands_still', 'the server says that more waits, but its cursor does not move')
    }
    if ((await replica.applyPage(page, { cursor, clientID })) === 'complete') return
  }
}

/**
 * Pushes until every op is answered.
 *
 * Where the server's memory and ours have parted, `resync` pulls before anything is sent again: a server that was restored
 * knows it by our cursor being ahead of its clock, and each write would bring that clock closer.
 */
export async function push(replica: Replica, transport: Transport, sizes: Sizes, resync: () => Promise<void>): Promise<void> {
  let most = sizes.batchOps
  // Each identity of the device may part from the server's memory once; a fresh one cannot.
  let rotations = 0
  for (;;) {
    const waiting = replica.ops.filter(isPending)
    if (waiting.length === 0) return
    const batch = fitting(waiting, most, sizes.batchBytes)
    try {
      const results = await transport.push(batch.map(mutationOf))
      const { parted } = await replica.applyResults(results)
      if (parted) {
        if (++rotations > 2) throw new SyncError('busy', 'out_of_order', 'the server does not follow this device’s sequence')
        const { clientID } = replica.device
        await resync()
        if (replica.device.clientID === clientID) await replica.rotate()
        continue
      }
      const answered = new Set(results.map(({ clientMutationId }) => clientMutationId))
      if (!batch.some(({ id }) => answered.has(id))) throw new SyncError('offline', 'malformed', 'the server answered other mutations')
      if (replica.ops.some((op) => isPending(op) && op.id === batch[0]?.id)) {
        throw new SyncError('busy', 'out_of_order', 'the server did not run the first mutation of the batch')
      }
    } catch (error) {
      if (!(error instanceof SyncError)) throw error
      if (error.results.length > 0) await replica.applyResults(error.results)
      const [first] = batch
      if (error.kind === 'too_large' || (error.kind === 'refused' && error.code === 'bad_request')) {
        // One of them is at fault: the rest must not wait for it.
        if (batch.length > 1) {
          most = Math.ceil(batch.length / 2)
          continue
        }
        if (first) {
          await replica.park(first.id, error.code, error.message)
          most = sizes.batchOps
          continue
        }
      }
      throw error
    }
  }
}

function fitting(ops: readonly Op[], most: number, bytes: number): Op[] {
  const batch: Op[] = []
  let size = 0
  for (const op of ops.slice(0, most)) {
    size += JSON.stringify(mutationOf(op)).length * 2
    if (batch.length > 0 && size > bytes) break
    batch.push(op)
  }
  return batch
}

function mutationOf({ name, args, id, clientID, number, hlc, dependsOn }: Op): Mutation {
  return { name, args, clientMutationId: id, clientID, mutationID: number, hlc, ...(dependsOn.length > 0 && { dependsOn }) }
}
