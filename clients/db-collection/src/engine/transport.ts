// Requests to the server: authorised, timed, and every failure sorted into what may be done about it.
import { MalformedAnswer, readPage, readResults, type Mutation, type MutationResult, type Page } from '../protocol/wire'

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

/** Speaks wire 2 over HTTP. */
export class HttpTransport implements Transport {
  constructor(private readonly options: HttpOptions) {}

  async pull(asked: { cursor: string; deviceId: string; limit: number }): Promise<Page> {
    return this.#request('POST', '/sync/pull', asked, readPage)
  }

  async push(mutations: Mutation[]): Promise<MutationResult[]> {
    return this.#request('POST', '/sync/push', { mutations }, readResults)
  }

  async contract(): Promise<unknown> {
    return this.#request('GET', '/nizhal/contract', undefined, (body) => body)
  }

  async #request<Answer>(method: string, path: string, body: unknown, read: (body: unknown) => Answer): Promise<Answer> {
    const first = await this.#send(method, path, body)
    let answer = first
    if (first.status === 401 && this.options.auth.refresh) {
      await this.options.auth.refresh()
      answer = await this.#send(method, path, body)
    }
    if (answer.status === 200) {
      try {
        return read(JSON.parse(answer.text))
      } catch (error) {
        // Cut on its way, or a portal's page instead of our server's: time will tell, nothing is lost.
        if (error instanceof SyntaxError || error instanceof MalformedAnswer) throw new SyncError('offline', 'malformed', error.message)
        throw error
      }
    }
    throw refusal(answer)
  }

  async #headers(): Promise<Record<string, string>> {
    try {
      return await this.options.auth.getHeaders()
    } catch (error) {
      // Whoever gives out tokens is out of reach, as the server may be.
      throw new SyncError('offline', 'no_credentials', error instanceof Error ? error.message : String(error))
    }
  }

  async #send(method: string, path: string, body: unknown): Promise<Answered> {
    const given = await this.#headers()
    await this.options.check?.(given)
    const stop = new AbortController()
    const timer = setTimeout(() => stop.abort(), this.options.timeoutMs)
    try {
      const response = await this.options.fetch(new URL(path, this.options.server).href, {
        method,
        signal: stop.signal,
        headers: {
          ...given,
          ...(body !== undefined && { 'content-type': 'application/json' }),
          'x-nizhal-wire': '2',
          'x-nizhal-contract-version': this.options.contractVersion(),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      })
      // The body within the same deadline: a server may fall silent in the middle.
      return { status: response.status, text: await response.text(), retryAfter: response.headers.get('retry-after') }
    } catch (error) {
      throw new SyncError('offline', 'network', error instanceof Error ? error.message : String(error))
    } finally {
      clearTimeout(timer)
    }
  }
}

interface Answered {
  status: number
  text: string
  retryAfter: string | null
}

function refusal({ status, text, retryAfter }: Answered): SyncError {
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
