// The server's blob endpoints, and the places that they sign addresses of.
import type { Auth } from '../engine/transport'
import { requested } from '../engine/request'
import { messageOf, within } from '../platform'
import { isBlobRef, type BlobRef } from '../protocol/blob'
import { retryAfterMs } from '../protocol/number'
import { addressOf } from '../protocol/url'

/** A blob request that did not succeed. `status` is HTTP's; 0 where there was no answer, or the device itself refused. */
export class BlobError extends Error {
  override name = 'BlobError'
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    /** What the server asked to wait. */
    readonly retryAfterMs?: number,
  ) {
    super(message)
  }
}

/** How the endpoints are reached. */
export interface EndpointOptions {
  server: string
  auth: Auth
  fetch?: typeof fetch | undefined
  /** How long the server may be silent; 30 s by default. */
  timeoutMs?: number | undefined
  /** Looks at the headers before they are used; throws when they are another user's. */
  check?(headers: Record<string, string>): Promise<void>
}

/** What is to be uploaded. */
export interface Wanted {
  mime: string
  sha256?: string
  size?: number
  maxBytes?: number
  bucket?: string | undefined
  /** An upload of ours that was begun. */
  key?: string | undefined
}

/** A piece of a file, and where it goes. */
export interface Part {
  url: string
  method: string
  headers: Record<string, string>
  offset: number
  size: number
  /** It is there already. */
  done: boolean
}

/** An upload that was begun; or nothing to upload, since the blob is there. */
export type Begun = { blob: BlobRef } | { blob?: undefined; key: string; parts: Part[] }

const TIMEOUT_MS = 30_000
/** The slowest network that an upload is waited for, in bytes for each ms. */
const MIN_BYTES_PER_MS = 8

/** Asks the server, and sends and fetches bytes by what it signed. */
export class Endpoint {
  constructor(private readonly options: EndpointOptions) {}

  /** Begins an upload of a file of this many bytes, or goes on with one. */
  async begin(wanted: Wanted, bytes: number, signal?: AbortSignal): Promise<Begun> {
    const answer = await this.#ask('POST', 'presign-upload', signal, wanted)
    if (answer['done'] === true && isBlobRef(answer['blob'])) return { blob: answer['blob'] }
    const { key, parts } = answer
    if (typeof key !== 'string') throw malformed
    return { key, parts: (Array.isArray(parts) ? parts : [{ ...answer, offset: 0, size: bytes }]).map(partOf) }
  }

  /** Sends one part of a file. */
  async put({ url, method, headers, offset, size }: Part, file: Blob, signal?: AbortSignal): Promise<void> {
    // No token of ours here: the URL itself says what is allowed, and it may be another company's. Without a type, since a signed
    // address may allow no other header than those that it names.
    const body = file.slice(offset, offset + size)
    await this.#send(url, { method, headers, body }, signal, size, async () => undefined)
  }

  /** Ends an upload; the server has all parts and has checked them. */
  async complete(key: string, signal?: AbortSignal): Promise<BlobRef> {
    const blob = await this.#ask('POST', `${encodeURIComponent(key)}/complete`, signal, {})
    if (!isBlobRef(blob)) throw malformed
    return blob
  }

  /** An address to read a blob from for a while. */
  async url(sha256: string, signal?: AbortSignal): Promise<string> {
    const { url } = await this.#ask('GET', `${encodeURIComponent(sha256)}/url`, signal)
    if (typeof url !== 'string') throw malformed
    return addressOf(this.options.server, url)
  }

  /** The bytes behind such an address. */
  async get(url: string, bytes: number, signal?: AbortSignal): Promise<Blob> {
    return this.#send(url, {}, signal, bytes, (answer) => answer.blob())
  }

  async #ask(method: string, path: string, signal?: AbortSignal, body?: object): Promise<Record<string, unknown>> {
    const send = async () => {
      const given = await this.#headers()
      const headers = { ...given, ...(body && { 'content-type': 'application/json' }) }
      return this.#send(`/nizhal/blob/${path}`, { method, headers, ...(body && { body: JSON.stringify(body) }) }, signal, 0, (answer) => answer.json())
    }
    const answer: unknown = await send().catch(async (error: unknown) => {
      if (!(error instanceof BlobError) || error.status !== 401 || !this.options.auth.refresh) throw error
      await this.#inTime(this.options.auth.refresh())
      return send()
    })
    if (typeof answer !== 'object' || answer === null) throw malformed
    return answer as Record<string, unknown>
  }

  async #headers(): Promise<Record<string, string>> {
    try {
      const given = await this.#inTime(this.options.auth.getHeaders())
      await this.options.check?.(given)
      return given
    } catch (error) {
      // Whoever gives out tokens is out of reach, or they are another user's.
      const { code = 'no_credentials', message = String(error) } = error as Partial<BlobError>
      throw new BlobError(0, code, message)
    }
  }

  #inTime<Value>(given: Value | Promise<Value>): Promise<Value> {
    const { timeoutMs = TIMEOUT_MS } = this.options
    return within(timeoutMs, given, () => new BlobError(0, 'no_credentials', `the app did not give credentials within ${timeoutMs} ms`))
  }

  async #send<Answer>(url: string, init: RequestInit, signal: AbortSignal | undefined, bytes: number, read: (answer: Response) => Promise<Answer>): Promise<Answer> {
    const { server, fetch, timeoutMs = TIMEOUT_MS } = this.options
    try {
      return await requested({ fetch, timeoutMs: timeoutMs + bytes / MIN_BYTES_PER_MS, signal }, addressOf(server, url), init, async (answer) => {
        if (!answer.ok) throw await refusal(answer)
        return read(answer)
      })
    } catch (error) {
      if (error instanceof BlobError) throw error
      throw new BlobError(0, signal?.aborted ? 'aborted' : 'network', messageOf(error))
    }
  }
}

const malformed = new BlobError(0, 'malformed', 'the server’s answer about a blob cannot be read')

function partOf(value: unknown): Part {
  const { url, method = 'PUT', headers = {}, offset, size, done } = (value ?? {}) as Partial<Part>
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(size) || (typeof url !== 'string' && done !== true)) throw malformed
  return { url: url ?? '', method, headers, offset: offset!, size: size!, done: done === true }
}

async function refusal(answer: Response): Promise<BlobError> {
  const { code, error } = ((await answer.json().catch(() => undefined)) ?? {}) as { code?: string; error?: string }
  const wait = retryAfterMs(answer.headers.get('retry-after'), answer.headers.get('date'), Date.now())
  return new BlobError(answer.status, code ?? `http_${answer.status}`, error ?? `the blob store answered ${answer.status}`, wait)
}
