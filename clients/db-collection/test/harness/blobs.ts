// A server of blobs after the wire protocol's text, over real HTTP, beside the sync endpoints of `Hostile`; and devices that keep blobs.
import { createHash, randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createNizhalBlobs, type NizhalClientBlobs } from '../../src/blobs'
import type { BlobStore } from '../../src/blob/store'
import { createNizhalClient, type NizhalClient } from '../../src/client'
import type { NizhalClientOptions } from '../../src/options'
import { blobsIn } from '../../src/protocol/blob'
import type { Schema } from '../../src/protocol/schema'
import { Hostile } from './hostile'
import { token } from './server'

/** A request for a blob: which it is, of how many of its kind (from 1). */
export interface BlobAsked {
  kind: 'begin' | 'part' | 'complete' | 'url' | 'get'
  count: number
  /** The part's number, from 1. */
  part?: number
}

/** In place of the server's answer: another one, none, a connection that breaks before or after it took effect, or other bytes. */
export type Fault = { status: number; body?: object; headers?: Record<string, string> } | 'silence' | 'break' | 'lostAnswer' | 'otherBytes'

interface Upload {
  mime: string
  sha256?: string
  size: number
  bucket?: string
  parts: Map<number, Buffer>
}

function json(response: ServerResponse, status: number, body: object = {}, headers = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
}

/** Stores blobs for one actor. */
export class BlobServer {
  readonly blobs = new Map<string, { bytes: Buffer; mime: string }>()
  readonly uploads = new Map<string, Upload>()
  /** What was asked, such as `part 2`. */
  readonly asked: string[] = []
  fault: (asked: BlobAsked) => Fault | undefined = () => undefined
  partBytes = 8 << 20
  maxBytes = 100 << 20
  refusedMime = ''
  /** Files of a page, by path. */
  files: ReadonlyMap<string, { type: string; body: Uint8Array | string }> = new Map()
  readonly #counts = new Map<string, number>()

  private constructor(readonly sync: Hostile) {
    sync.beside = (request, body, response) => this.#receive(request, body, response)
    // As a server answers a failure that may pass: what came before it in the batch is done.
    sync.script = ({ path, body: { mutations = [] } }) => {
      if (path !== '/sync/push') return undefined
      const at = mutations.findIndex(({ args }) => [...blobsIn(args)].some((sha256) => !this.blobs.has(sha256)))
      if (at < 0) return undefined
      const lacking = [...blobsIn(mutations[at]!.args)].filter((sha256) => !this.blobs.has(sha256))
      return { status: 409, body: { code: 'blob_missing', error: 'a blob is not stored', sha256: lacking, results: sync.push(mutations.slice(0, at)) } }
    }
  }

  static async start(): Promise<BlobServer> {
    return new BlobServer(await Hostile.start())
  }

  get url(): string {
    return this.sync.url
  }

  stop(): void {
    this.sync.stop()
  }

  put(bytes: Buffer, mime: string) {
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    this.blobs.set(sha256, { bytes, mime })
    return { sha256, size: bytes.length, mime }
  }

  #receive(request: IncomingMessage, body: Buffer, response: ServerResponse): boolean {
    const url = new URL(request.url ?? '', 'http://x')
    const [, path] = /^\/nizhal\/blob\/(.*)$/.exec(url.pathname) ?? []
    const page = this.files.get(url.pathname)
    if (page) {
      response.writeHead(200, { 'content-type': page.type }).end(page.body)
      return true
    }
    if (path === undefined) return false
    this.#answer(path, url, request, body, response)
    return true
  }

  #answer(path: string, url: URL, request: IncomingMessage, body: Buffer, response: ServerResponse): void {
    const [, id, part] = /^uploads\/(\w+)\/(\d+)$/.exec(path) ?? []
    const kind = request.method === 'PUT' ? 'part' : path === 'presign-upload' ? 'begin' : path.endsWith('/complete') ? 'complete' : path.endsWith('/url') ? 'url' : 'get'
    const count = (this.#counts.get(kind) ?? 0) + 1
    this.#counts.set(kind, count)
    this.asked.push(kind === 'part' ? `part ${part}` : kind)
    const fault = this.fault({ kind, count, ...(part !== undefined && { part: Number(part) }) })
    if (fault === 'silence') return
    if (fault === 'break') return void request.socket.destroy()
    if (typeof fault === 'object') return json(response, fault.status, fault.body, fault.headers)
    const bytes = fault === 'otherBytes' ? Buffer.alloc(body.length, 7) : body
    if (fault === 'lostAnswer') response.writeHead = (() => (request.socket.destroy(), { end: () => response })) as never
    if (part === undefined && kind !== 'get' && !request.headers.authorization?.startsWith('Bearer ')) return json(response, 401, { code: 'unauthorized', error: 'who?' })
    if (kind === 'part') this.#part(id!, Number(part), bytes, url, request, response)
    else if (kind === 'begin') this.#begin(JSON.parse(body.toString()), response)
    else if (kind === 'complete') this.#complete(decodeURIComponent(path.split('/')[0]!), response)
    else if (kind === 'url') this.#url(path.split('/')[0]!, response)
    else this.#get(path, url, response, fault === 'otherBytes')
  }

  #begin(wanted: { mime: string; sha256?: string; size?: number; maxBytes?: number; bucket?: string; key?: string }, response: ServerResponse): void {
    const size = wanted.size ?? wanted.maxBytes ?? 0
    if (size > this.maxBytes) return json(response, 413, { code: 'too_large', error: `at most ${this.maxBytes} bytes` })
    if (wanted.mime === this.refusedMime) return json(response, 415, { code: 'mime_refused', error: `no ${wanted.mime} here` })
    if (wanted.key !== undefined && !this.uploads.has(wanted.key)) return json(response, 404, { code: 'not_found', error: 'no such upload' })
    const stored = wanted.sha256 === undefined ? undefined : this.blobs.get(wanted.sha256)
    if (stored) return json(response, 200, { done: true, blob: { sha256: wanted.sha256, size: stored.bytes.length, mime: stored.mime } })
    const key = wanted.key ?? randomBytes(8).toString('hex')
    const upload = this.uploads.get(key) ?? { ...wanted, size, parts: new Map<number, Buffer>() }
    this.uploads.set(key, upload)
    const parts = Array.from({ length: Math.ceil(size / this.partBytes) }, (_, at) => ({
      number: at + 1,
      url: `/nizhal/blob/uploads/${key}/${at + 1}?token=t`,
      method: 'PUT',
      headers: { 'content-type': upload.mime },
      offset: at * this.partBytes,
      size: Math.min(this.partBytes, size - at * this.partBytes),
      ...(upload.parts.has(at + 1) && { done: true }),
    }))
    const { url, method, headers } = parts[0]!
    json(response, 200, { key, url, method, headers, partSize: this.partBytes, parts, expires: '2030-01-01T00:00:00Z' })
  }

  #part(id: string, number: number, bytes: Buffer, url: URL, request: IncomingMessage, response: ServerResponse): void {
    const upload = this.uploads.get(id)
    if (!upload || url.searchParams.get('token') !== 't') return json(response, 403, { code: 'forbidden', error: 'expired or forged' })
    if (request.headers.authorization !== undefined) return json(response, 400, { code: 'bad_request', error: 'no token of the actor belongs here' })
    upload.parts.set(number, bytes)
    json(response, 200, {})
  }

  #complete(key: string, response: ServerResponse): void {
    const upload = this.uploads.get(key)
    if (!upload) return json(response, 404, { code: 'not_found', error: 'no such upload' })
    const missing = Array.from({ length: Math.ceil(upload.size / this.partBytes) }, (_, at) => at + 1).filter((number) => !upload.parts.has(number))
    if (missing.length > 0) return json(response, 409, { code: 'parts_missing', error: 'parts are missing', parts: missing })
    const bytes = Buffer.concat([...upload.parts].sort(([one], [other]) => one - other).map(([, part]) => part))
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    if (bytes.length !== upload.size || (upload.sha256 !== undefined && sha256 !== upload.sha256)) return json(response, 422, { code: 'hash_mismatch', error: 'the bytes are others' })
    json(response, 200, this.put(bytes, upload.mime))
  }

  #url(sha256: string, response: ServerResponse): void {
    const isSeen = [...this.sync.rows.values()].some((row) => (row['photo'] as { sha256?: string } | undefined)?.sha256 === sha256)
    if (!isSeen || !this.blobs.has(sha256)) return json(response, 404, { code: 'not_found', error: 'no row that you see names it' })
    json(response, 200, { url: `/nizhal/blob/objects/${sha256}?token=r`, expires: '2030-01-01T00:00:00Z' })
  }

  #get(path: string, url: URL, response: ServerResponse, other: boolean): void {
    const blob = this.blobs.get(path.replace('objects/', ''))
    if (!blob || url.searchParams.get('token') !== 'r') return json(response, 403, { code: 'forbidden', error: 'expired or forged' })
    response.writeHead(200, { 'content-type': blob.mime }).end(other ? Buffer.alloc(blob.bytes.length) : blob.bytes)
  }
}

/** Customers with a photo. */
export const schema: Schema = {
  version: '1.0.0',
  hash: 'photos',
  tables: {
    customers: {
      primaryKey: ['id'],
      columns: [{ name: 'id', type: 'text' }, { name: 'shop_id', type: 'text' }, { name: 'name', type: 'text' }, { name: 'photo', type: 'jsonb', nullable: true, blob: true }],
      buckets: [{ rule: 'myShops', columns: ['shop_id'] }],
    },
  },
}

/** A device that keeps blobs; it is offline until the test says otherwise. */
export async function blobDevice(server: { url: string }, store: BlobStore, options: Partial<NizhalClientOptions> = {}): Promise<{ client: NizhalClient; blobs: NizhalClientBlobs }> {
  const client = createNizhalClient({
    server: server.url,
    auth: { getHeaders: () => ({ authorization: `Bearer ${token('ana', 's1')}` }) },
    schema,
    online: false,
    locks: null,
    subscribeSource: null,
    witness: null,
    reconnect: { minMs: 10, maxMs: 40, jitter: 0.5 },
    pull: { intervalMs: 50 },
    timeoutMs: 2000,
    ...options,
  })
  const blobs = createNizhalBlobs({ client, store })
  await client.ready
  return { client, blobs }
}

/** Waits until something is so; the limit is a test that hangs, not a measure of time. */
export async function until(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 20_000
  while (!(await look())) {
    if (Date.now() > end) throw new Error(`it never came to this: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** A mutation that gives a new customer a photo. */
export function withPhoto(id: string, photo: object | undefined, name = id) {
  const row = { id, shop_id: 's1', name, ...(photo && { photo }) }
  return { name: 'addCustomer', args: { clientId: id, name, ...(photo && { photo }) }, effects: [{ table: 'customers', key: id, kind: 'insert', row }] } as never
}

/** A mutation that changes a customer's name. */
export function renamed(id: string, value: string) {
  return { name: 'updateCustomerName', args: { customerId: id, value }, effects: [{ table: 'customers', key: id, kind: 'update', patch: { name: value } }] } as never
}
