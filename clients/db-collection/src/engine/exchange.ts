// The two exchanges with a server: pull until the snapshot's end; and push, from its own file.
import { Progress } from './progress'
import type { Sizes } from './push'
import type { Asked, Replica } from './replica'
import { SyncError, type Transport } from './transport'

export { push, Suspicion, type Sizes } from './push'

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
  const progress = new Progress(sizes.pageRows)
  for (let much = replica.device.cursor === ''; ; ) {
    const { cursor, clientID } = replica.device
    if (tries && much && transport.lines) {
      const taken = await streamed(replica, transport, { cursor, clientID }, progress).catch((error: unknown) => {
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
    progress.note(page, cursor)
    const applied = await replica.applyPage(page, { cursor, clientID })
    if (applied === 'complete') break
    much ||= applied === 'more'
  }
  streams.cut = false
}

async function streamed(replica: Replica, transport: Transport, asked: Asked, progress: Progress): Promise<'none' | 'stale' | 'more' | 'complete'> {
  const intake = replica.receive(asked)
  try {
    const end = await transport.lines!({ cursor: asked.cursor, deviceId: asked.clientID }, (table, rows) => {
      progress.see(rows.length)
      return intake.take(table, rows)
    })
    if (!end) return 'none'
    progress.note(end, asked.cursor)
    await intake.flush()
    return await replica.applyPage(end, asked, intake)
  } catch (error) {
    if (error instanceof SyncError && error.code === 'stale') return 'stale'
    throw error
  }
}
