// Requests to the server: authorised, timed, and every failure sorted into what may be done about it.
import { messageOf, readsStreams, within } from '../platform'
import { fromBase64, textOf } from '../protocol/base64'
import { isSha256 } from '../protocol/blob'
import { retryAfterMs } from '../protocol/number'
import { addressOf } from '../protocol/url'
import { MalformedAnswer, jsonOf, readLine, readPage, readPush, readRefusal, type Mutation, type MutationResult, type Page, type Row } from '../protocol/wire'
import type { FileSource } from '../store/store'
import { linesOf } from './lines'
import { requested, type Patience } from './request'

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
    /** HTTP's, where there was an answer. */
    readonly status?: number,
    /** Hashes of the blobs that the server lacks, where that is why. */
    readonly blobs: readonly string[] = [],
  ) {
    super(message)
  }
}

/** A pull's question. */
export interface PullAsked {
  cursor: string
  deviceId: string
  /** Whether files may stand for rows. */
  images?: boolean
  /** Whether the answer is to say how many rows are to come. */
  total?: boolean
  /** The buckets on demand that are wanted; all of them when left out. */
  buckets?: readonly string[]
}

/** A connection to one server. */
export interface Transport {
  /** Where files are fetched that a pull names; without it none is asked for. */
  readonly source?: FileSource
  pull(asked: PullAsked & { limit: number }): Promise<Page>
  /**
   * A whole pull as a stream from one snapshot, where it can be had: rows go to `take` one batch after the other, and the rest is the
   * answer. `undefined`: ask for pages; nothing was taken.
   */
  lines?(asked: PullAsked, take: (table: string, rows: Row[], total?: number) => Promise<void>): Promise<Page | undefined>
  push(mutations: Mutation[]): Promise<MutationResult[]>
  contract(): Promise<unknown>
}

/** What a transport over HTTP needs. */
export interface HttpOptions {
  server: string
  auth: Auth
  /** The page's own when left out, looked up at each request. */
  fetch?: typeof fetch | undefined
  timeoutMs: number
  nowMs?(): number
  contractVersion(): string
  /** Looks at the headers before they are used; throws when they are another user's. */
  check?(headers: Record<string, string>): Promise<void>
}

const LINES = 'application/x-ndjson'

/** Speaks wire 2 over HTTP. */
export class HttpTransport implements Transport {
  #canStream = true

  constructor(private readonly options: HttpOptions) {}

  get source(): FileSource {
    return this.options
  }

  async pull(asked: PullAsked & { limit: number }): Promise<Page> {
    return this.#request('POST', '/sync/pull', asked, readPage)
  }

  async lines(asked: PullAsked, take: (table: string, rows: Row[], total?: number) => Promise<void>): Promise<Page | undefined> {
    // React Native's answers have no body to read from; all of one in memory is what pages are for.
    if (!this.#canStream || !readsStreams()) return undefined
    const read = async (response: Response, patience: Patience): Promise<Page | undefined> => {
      if (!response.headers.get('content-type')?.includes(LINES)) return readPage(JSON.parse(await response.text()))
      if (!response.body) {
        this.#canStream = false
        return undefined
      }
      for await (const text of linesOf(response.body, patience)) {
        const line = readLine(JSON.parse(text))
        if (line.last) return line.last
        await take(line.table, line.rows, line.total).catch((error: unknown) => {
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
    return this.#request('POST', '/sync/push', { mutations }, (body) => readPush(body, mutations), (status, body) => readRefusal(status, body, mutations))
  }

  async contract(): Promise<unknown> {
    return this.#request('GET', '/nizhal/contract', undefined, (body) => body)
  }

  async #request<Answer>(method: string, path: string, body: unknown, read: (body: unknown) => Answer, refused?: ReadRefusal<Answer>): Promise<Answer> {
    return this.#taken(await this.#authorised(method, path, body, undefined, async (response) => read(JSON.parse(await response.text()))), refused)
  }

  /** The answer; a refusal is thrown, unless it is one in wire 1 and says finally what became of a mutation. */
  #taken<Answer>(answer: Answered<Answer>, refused?: ReadRefusal<Answer>): Answer {
    if ('value' in answer) return answer.value
    const error = this.#refusal(answer, refused)
    if (refused && error.kind === 'refused' && error.results.some(({ status }) => status !== 'applied' && status !== 'duplicate')) return error.results as Answer
    throw error
  }

  async #authorised<Answer>(method: string, path: string, body: unknown, accept: string | undefined, read: Read<Answer>): Promise<Answered<Answer>> {
    const first = await this.#send(method, path, body, accept, read)
    if (first.status !== 401 || !this.options.auth.refresh) return first
    await this.#inTime(this.options.auth.refresh())
    return this.#send(method, path, body, accept, read)
  }

  async #headers(): Promise<Record<string, string>> {
    try {
      return await this.#inTime(this.options.auth.getHeaders())
    } catch (error) {
      // Whoever gives out tokens is out of reach, as the server may be.
      throw new SyncError('offline', 'no_credentials', messageOf(error))
    }
  }

  async #send<Answer>(method: string, path: string, body: unknown, accept: string | undefined, read: Read<Answer>): Promise<Answered<Answer>> {
    const given = await this.#headers()
    await this.options.check?.(given)
    let answered = false
    const headers = {
      ...given,
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...(accept !== undefined && { accept }),
      'x-nizhal-wire': '2',
      'x-nizhal-contract-version': this.options.contractVersion(),
    }
    try {
      const init = { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) }
      return await requested(this.options, addressOf(this.options.server, path), init, async (response, patience): Promise<Answered<Answer>> => {
        answered = true
        const { status, headers } = response
        if (status === 200) return { status, value: await read(response, patience) }
        return { status, text: await response.text(), retryAfter: headers.get('retry-after'), date: headers.get('date') }
      })
    } catch (error) {
      if (error instanceof NotTaken) throw error.cause
      // Cut on its way, or a portal's page instead of our server's: time will tell, nothing is lost.
      const code = error instanceof SyntaxError || error instanceof MalformedAnswer ? 'malformed' : answered ? 'cut' : 'network'
      throw new SyncError('offline', code, messageOf(error))
    }
  }

  #inTime<Value>(given: Value | Promise<Value>): Promise<Value> {
    return within(this.options.timeoutMs, given, () => new Error(`the app did not give credentials within ${this.options.timeoutMs} ms`))
  }

  #refusal<Answer>({ status, text, retryAfter, date }: Refused, read?: ReadRefusal<Answer>): SyncError {
    // A body that is not ours says no more than its status.
    const said = (jsonOf(text) ?? {}) as { code?: unknown; error?: unknown; sha256?: unknown }
    let results: MutationResult[] = []
    try {
      results = read?.(status, said) ?? []
    } catch {
      // Nor does one that is not as it should be.
    }
    const code = typeof said.code === 'string' ? said.code : `http_${status}`
    const message = typeof said.error === 'string' ? said.error : `the server answered ${status}`
    return new SyncError(kindOf(status), code, message, retryAfterMs(retryAfter, date, (this.options.nowMs ?? Date.now)()), results, status, Array.isArray(said.sha256) ? said.sha256.filter(isSha256) : [])
  }
}

/** The network did its part. */
class NotTaken {
  constructor(readonly cause: unknown) {}
}

type Read<Answer> = (response: Response, patience: Patience) => Promise<Answer>

type Answered<Answer> = { status: 200; value: Answer } | Refused

/** Reads what the body of a refused push says of its mutations. */
type ReadRefusal<Answer> = (status: number, body: unknown) => Answer & MutationResult[]

interface Refused {
  status: number
  text: string
  retryAfter: string | null
  date: string | null
}

function kindOf(status: number): SyncError['kind'] {
  if (status === 401) return 'unauthorized'
  if (status === 413) return 'too_large'
  if (status === 426) return 'upgrade_required'
  return status === 429 || status >= 500 ? 'busy' : 'refused'
}

/** Whom a bearer token speaks for, if it is a JWT that says so. Not verified: the server does that. */
export function userOf(headers: Record<string, string>): string | undefined {
  const [, value] = Object.entries(headers).find(([name]) => name.toLowerCase() === 'authorization') ?? []
  const payload = value?.replace(/^bearer\s+/i, '').split('.')[1]
  if (!payload) return undefined
  try {
    const { ownerId, userId } = JSON.parse(textOf(fromBase64(payload))) as { ownerId?: unknown; userId?: unknown }
    return typeof userId === 'string' ? JSON.stringify([ownerId ?? null, userId]) : undefined
  } catch {
    return undefined
  }
}
