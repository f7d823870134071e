// The two exchanges with a server: pull until the snapshot's end, push until the outbox is answered.
import type { Mutation, Page } from '../protocol/wire'
import { isPending, type Op } from './op'
import type { Asked, Replica } from './replica'
import { SyncError, type Transport } from './transport'

/** How much one request carries. */
export interface Sizes {
  pageRows: number
  batchOps: number
  batchBytes: number
}

/** Whether pulls come as streams; remembered from one pull to the next. */
export interface Streams {
  wanted: boolean
  /** The last one did not come through. */
  cut: boolean
}

/** Failures that came before there was an answer. */
const BEFORE = ['network', 'no_credentials', 'unauthorized', 'wrong_user']

/**
 * Pulls until a snapshot is complete: a first sync and what is more than one page as a stream, the rest as a page.
 *
 * A stream that is cut leaves nothing behind, so the pull after it asks for pages, which do: a network that cuts every stream
 * must not keep a device waiting for ever.
 */
export async function pull(replica: Replica, transport: Transport, sizes: Sizes, streams: Streams = { wanted: true, cut: false }): Promise<void> {
  let tries = streams.wanted && !streams.cut
  for (let much = replica.device.cursor === ''; ; ) {
    const { cursor, clientID } = replica.device
    if (tries && much && transport.lines) {
      const taken = await streamed(replica, transport, { cursor, clientID }).catch((error: unknown) => {
        // Who is offline has learnt nothing about streams.
        streams.cut = !(error instanceof SyncError && BEFORE.includes(error.code))
        throw error
      })
      if (taken === 'complete') return
      // The server has no stream to spare: pages then, until the end.
      if (taken === 'none') tries = false
      continue
    }
    const page = await transport.pull({ cursor, deviceId: clientID, limit: sizes.pageRows })
    standing(page, cursor)
    const applied = await replica.applyPage(page, { cursor, clientID })
    if (applied === 'complete') break
    much ||= applied === 'more'
  }
  streams.cut = false
}

async function streamed(replica: Replica, transport: Transport, asked: Asked): Promise<'none' | 'stale' | 'more' | 'complete'> {
  const intake = replica.receive(asked)
  try {
    const end = await transport.lines!({ cursor: asked.cursor, deviceId: asked.clientID }, (table, rows) => intake.take(table, rows))
    if (!end) return 'none'
    standing(end, asked.cursor)
    await intake.flush()
    return await replica.applyPage(end, asked, intake)
  } catch (error) {
    if (error instanceof SyncError && error.code === 'stale') return 'stale'
    throw error
  }
}

/** A server that sends the same page for ever would be asked for ever. */
function standing(page: Page, cursor: string): void {
  if (!page.hasMore || page.cursor !== cursor) return
  throw new SyncError('refused', 'cursor_stands_still', 'the server says that more waits, but its cursor does not move')
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
