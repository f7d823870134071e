// Requests to the server: authorised, timed, and every failure sorted into what may be done about it.
import { MalformedAnswer, readLine, readPage, readResults, type Mutation, type MutationResult, type Page, type Row } from '../protocol/wire'
import { linesOf, type Patience } from './lines'

/** How the app signs its requests. */
export interface Auth {
  getHeaders(): Record<string, string> | Promise<Record<string, string>>
  /** Called once after a 401; then the request is made again. */
  refresh?(): void | Promise<void>
}

/** Why a request did not succeed, as the scheduler needs to know it. */
export class SyncError extends Error {
  override name = 'SyncError'
  constructor(
    readonly kind: 'offline' | 'busy' | 'unauthorized' | 'upgrade_required' | 'too_large' | 'refused' | 'wrong_user',
    readonly code: string,
    message: string,
    /** What the server asked to wait. */
    readonly retryAfterMs?: number,
    /** What a push had answered before it failed. */
    readonly results: MutationResult[] = [],
  ) {
    super(message)
  }
}

/** A connection to one server. */
export interface Transport {
  pull(asked: { cursor: string; deviceId: string; limit: number }): Promise<Page>
  /**
   * A whole pull as a stream from one snapshot, where it can be had: rows go to `take` one batch after the other, and the rest is the
   * answer. `undefined`: ask for pages; nothing was taken.
   */
  lines?(asked: { cursor: string; deviceId: string }, take: (table: string, rows: Row[]) => Promise<void>): Promise<Page | undefined>
  push(mutations: Mutation[]): Promise<MutationResult[]>
  contract(): Promise<unknown>
}

/** What a transport over HTTP needs. */
export interface HttpOptions {
  server: string
  auth: Auth
  fetch: typeof fetch
  timeoutMs: number
  contractVersion(): string
  /** Looks at the headers before they are used; throws when they are another user's. */
  check?(headers: Record<string, string>): Promise<void>
}

const LINES = 'application/x-ndjson'

/** Speaks wire 2 over HTTP. */
export class HttpTransport implements Transport {
  #canStream = typeof Response === 'undefined' || 'body' in Response.prototype

  constructor(private readonly options: HttpOptions) {}

  async pull(asked: { cursor: string; deviceId: string; limit: number }): Promise<Page> {
    return this.#request('POST', '/sync/pull', asked, readPage)
  }

  async lines(asked: { cursor: string; deviceId: string }, take: (table: string, rows: Row[]) => Promise<void>): Promise<Page | undefined> {
    // React Native's answers have no body to read from; all of one in memory is what pages are for.
    if (!this.#canStream) return undefined
    const read = async (response: Response, patience: Patience): Promise<Page | undefined> => {
      if (!response.headers.get('content-type')?.includes(LINES)) return readPage(JSON.parse(await response.text()))
      if (!response.body) {
        this.#canStream = false
        return undefined
      }
      for await (const text of linesOf(response.body, patience)) {
        const line = readLine(JSON.parse(text))
        if (line.last) return line.last
        await take(line.table, line.rows).catch((error: unknown) => {
          throw new NotTaken(error)
        })
      }
      throw new MalformedAnswer('the stream ended before its last line')
    }
    const answer = await this.#authorised('POST', '/sync/pull', asked, `${LINES}, application/json`, read)
    // Only so many streams are served at a time; a page is there for everybody.
    if (answer.status === 503 || answer.status === 406) return undefined
    return this.#taken(answer)
  }

  async push(mutations: Mutation[]): Promise<MutationResult[]> {
    return this.#request('POST', '/sync/push', { mutations }, readResults)
  }

  async contract(): Promise<unknown> {
    return this.#request('GET', '/nizhal/contract', undefined, (body) => body)
  }

  async #request<Answer>(method: string, path: string, body: unknown, read: (body: unknown) => Answer): Promise<Answer> {
    return this.#taken(await this.#authorised(method, path, body, undefined, async (response) => read(JSON.parse(await response.text()))))
  }

  #taken<Answer>(answer: Answered<Answer>): Answer {
    if ('value' in answer) return answer.value
    throw refusal(answer)
  }

  async #authorised<Answer>(method: string, path: string, body: unknown, accept: string | undefined, read: Read<Answer>): Promise<Answered<Answer>> {
    const first = await this.#send(method, path, body, accept, read)
    if (first.status !== 401 || !this.options.auth.refresh) return first
    await this.options.auth.refresh()
    return this.#send(method, path, body, accept, read)
  }

  async #headers(): Promise<Record<string, string>> {
    try {
      return await this.options.auth.getHeaders()
    } catch (error) {
      // Whoever gives out tokens is out of reach, as the server may be.
      throw new SyncError('offline', 'no_credentials', error instanceof Error ? error.message : String(error))
    }
  }

  async #send<Answer>(method: string, path: string, body: unknown, accept: string | undefined, read: Read<Answer>): Promise<Answered<Answer>> {
    const given = await this.#headers()
    await this.options.check?.(given)
    const stop = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    // A server may fall silent in the middle of a body; a store that takes its time over a batch is not the server's silence.
    const patience: Patience = {
      wait: () => (timer ??= setTimeout(() => stop.abort(), this.options.timeoutMs)),
      rest: () => (timer = void clearTimeout(timer)),
    }
    let answered = false
    patience.wait()
    try {
      const response = await this.options.fetch(new URL(path, this.options.server).href, {
        method,
        signal: stop.signal,
        headers: {
          ...given,
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...(accept !== undefined && { accept }),
          'x-nizhal-wire': '2',
          'x-nizhal-contract-version': this.options.contractVersion(),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      })
      answered = true
      if (response.status === 200) return { status: 200, value: await read(response, patience) }
      return { status: response.status, text: await response.text(), retryAfter: response.headers.get('retry-after') }
    } catch (error) {
      if (error instanceof NotTaken) throw error.cause
      // Cut on its way, or a portal's page instead of our server's: time will tell, nothing is lost.
      const code = error instanceof SyntaxError || error instanceof MalformedAnswer ? 'malformed' : answered ? 'cut' : 'network'
      throw new SyncError('offline', code, error instanceof Error ? error.message : String(error))
    } finally {
      patience.rest()
      // What is left of a stream is not wanted; an answer that was read is past caring.
      stop.abort()
    }
  }
}

/** The network did its part. */
class NotTaken {
  constructor(readonly cause: unknown) {}
}

type Read<Answer> = (response: Response, patience: Patience) => Promise<Answer>

type Answered<Answer> = { status: 200; value: Answer } | Refused

interface Refused {
  status: number
  text: string
  retryAfter: string | null
}

function refusal({ status, text, retryAfter }: Refused): SyncError {
  let body: { code?: string; error?: string } = {}
  let results: MutationResult[] = []
  try {
    body = JSON.parse(text)
    results = readResults(body)
  } catch {
    // A body that is not ours says no more than its status.
  }
  const kind = status === 401 ? 'unauthorized' : status === 413 ? 'too_large' : status === 426 ? 'upgrade_required' : status === 429 || status >= 500 ? 'busy' : 'refused'
  const seconds = Number(retryAfter)
  const wait = retryAfter !== null && Number.isFinite(seconds) ? seconds * 1000 : undefined
  return new SyncError(kind, body.code ?? `http_${status}`, body.error ?? `the server answered ${status}`, wait, results)
}

/** Whom a bearer token speaks for, if it is a JWT that says so. Not verified: the server does that. */
export function userOf(headers: Record<string, string>): string | undefined {
  const [, value] = Object.entries(headers).find(([name]) => name.toLowerCase() === 'authorization') ?? []
  const payload = value?.replace(/^bearer\s+/i, '').split('.')[1]
  if (!payload) return undefined
  try {
    const bytes = Uint8Array.from(atob(payload.replaceAll('-', '+').replaceAll('_', '/')), (char) => char.charCodeAt(0))
    const { ownerId, userId } = JSON.parse(new TextDecoder().decode(bytes)) as { ownerId?: unknown; userId?: unknown }
    return typeof userId === 'string' ? JSON.stringify([ownerId ?? null, userId]) : undefined
  } catch {
    return undefined
  }
}
