// One request, in bounded time, whatever the page's `fetch` heeds.
import { canceller, later, request, type Timer } from '../platform'

/** A deadline that runs while the network is waited for. */
export interface Patience {
  wait(): void
  rest(): void
}

/** What a request is made with. */
export interface Requesting {
  /** The page's own when left out, looked up at each request. */
  fetch?: typeof fetch | undefined
  /** How long the server may be silent. */
  timeoutMs: number
  /** Gives the request up. */
  signal?: AbortSignal | undefined
}

/** Makes a request and reads its answer. Rejects when the server is silent for too long, and when the request is given up. */
export async function requested<Answer>({ fetch, timeoutMs, signal }: Requesting, url: string, init: RequestInit, read: (response: Response, patience: Patience) => Promise<Answer>): Promise<Answer> {
  const stop = canceller()
  let timer: Timer | undefined
  let giveUp: (error: Error) => void = () => undefined
  // Not left to `fetch`: one that takes no signal, or heeds none, must not keep us for ever.
  const given = new Promise<never>((_, reject) => (giveUp = reject))
  given.catch(() => undefined)
  const end = (why: string) => {
    giveUp(new Error(why))
    stop.abort()
  }
  const abort = () => end('the request was given up')
  const patience: Patience = {
    wait: () => (timer ??= later(timeoutMs, () => end(`there was no answer within ${timeoutMs} ms`))),
    rest: () => {
      timer?.stop()
      timer = undefined
    },
  }
  if (signal?.aborted) abort()
  signal?.addEventListener('abort', abort)
  patience.wait()
  try {
    const exchange = async () => read(await (fetch ?? request)(url, { ...init, ...(stop.signal && { signal: stop.signal }) }), patience)
    return await Promise.race([exchange(), given])
  } finally {
    patience.rest()
    signal?.removeEventListener('abort', abort)
    // What is left of a stream is not wanted; an answer that was read is past caring.
    stop.abort()
  }
}
