// The two exchanges with a server: pull until the snapshot's end; and push, from its own file.
import type { Page } from '../protocol/wire'
import type { StageImages } from '../store/store'
import type { Intake } from './intake'
import { Progress, Received } from './progress'
import type { Sizes } from './push'
import type { Replica } from './replica'
import { SyncError, type PullAsked, type Transport } from './transport'

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
 * must not keep a device waiting for ever. Where an image cannot be had, the same is asked for as rows.
 */
export async function pull(replica: Replica, transport: Transport, sizes: Sizes, streams: Streams = { wanted: true, cut: false }, received = new Received(), nowMs = Date.now()): Promise<void> {
  let tries = streams.wanted && !streams.cut
  let takesImages = true
  const progress = new Progress(sizes.pageRows)
  const buckets = await replica.demanded(nowMs)
  let partly = false
  for (let much = replica.device.cursor === ''; ; ) {
    const { cursor, clientID, complete } = replica.device
    // Of a snapshot's first page alone: an image under the rows of an earlier one would take the place of newer rows.
    const images = takesImages && (complete || partly || cursor === '') ? transport.source && replica.images : undefined
    const asked: PullAsked = { cursor, deviceId: clientID, ...(images && { images: true }), ...(cursor === '' && { total: true }), ...(buckets && { buckets }) }
    received.begin()
    try {
      let intake = tries && much && transport.lines && replica.receive({ cursor, clientID })
      const page = intake ? await streamed(transport, asked, intake, progress, streams, received) : await transport.pull({ ...asked, limit: sizes.pageRows })
      if (!page) {
        // The server has no stream to spare: pages then, until the end.
        tries = false
        continue
      }
      progress.note(page, cursor)
      received.see(page.changed.reduce((sum, { rows }) => sum + rows.length, 0), page.total)
      if (page.images?.length) {
        intake ||= replica.receive({ cursor, clientID })
        takesImages = await staged(transport, page, intake, images)
        if (!takesImages) continue
      }
      const applied = await replica.applyPage(page, { cursor, clientID, buckets }, intake || undefined)
      if (applied !== 'stale') received.keep()
      partly = page.complete ?? false
      if (applied === 'complete') {
        if (!intake) streams.cut = false
        return
      }
      much ||= applied === 'more'
    } catch (error) {
      if (!(error instanceof SyncError && error.code === 'stale')) throw error
    }
  }
}

/** Stages the images of an answer; false where rows have to be asked for. */
async function staged(transport: Transport, { images, epoch }: Page, intake: Intake, take: StageImages | undefined): Promise<boolean> {
  if (!take) throw new SyncError('refused', 'malformed', 'the server names images, and nobody asked for any')
  return intake.images(images!, epoch, transport.source!, take)
}

async function streamed(transport: Transport, asked: PullAsked, intake: Intake, progress: Progress, streams: Streams, received: Received): Promise<Page | undefined> {
  try {
    const end = await transport.lines!(asked, (table, rows, total) => {
      progress.see(rows.length)
      received.see(rows.length, total)
      return intake.take(table, rows)
    })
    await intake.flush()
    return end
  } catch (error) {
    // Who is offline has learnt nothing about streams.
    streams.cut = !(error instanceof SyncError && [...BEFORE, 'stale'].includes(error.code))
    throw error
  }
}
