// Blobs: bytes go straight to where they are kept, rows carry what names them.
import { BlobError, Endpoint } from './blob/endpoint'
import type { BlobCalls, BlobStore, BlobUpload } from './blob/store'
import type { NizhalClient } from './client'
import type { Auth } from './engine/transport'
import { fileOf, objectUrls } from './platform'
import { mimeOf, type BlobRef } from './protocol/blob'

export { BlobError } from './blob/endpoint'

/** A file that was sent. */
export interface UploadedBlob {
  /** What `url` takes: the SHA-256. */
  key: string
  /** What goes into a row. */
  blob: BlobRef
}

/** Sends and finds blobs while there is a network. */
export interface NizhalBlobs {
  /** Sends a file now. `key` goes on with an upload that was begun. */
  upload(data: Blob, options?: { bucket?: string; key?: string; maxBytes?: number; signal?: AbortSignal; onProgress?: (sentBytes: number) => void }): Promise<UploadedBlob>
  /** A URL to read it from for a while; only where a row that the actor sees names the blob. */
  url(blob: BlobRef | string): Promise<string>
}

/** Keeps blobs on the device: they are added and looked at without a network too. */
export interface NizhalClientBlobs extends NizhalBlobs {
  /** Keeps a file on this device's disk and queues its upload; the answer goes into a mutation's arguments. */
  add(file: Blob, options?: { bucket?: string; mime?: string }): Promise<BlobRef>
  /** A URL to show it by: of the bytes that are kept here, else of the server. Give it to `release` when it is not shown any more. */
  url(blob: BlobRef | string): Promise<string>
  /** The bytes: those that are kept here, else fetched from the server, and kept. */
  read(blob: BlobRef): Promise<Blob>
  /** Lets go of a URL; one of the server's needs no release. */
  release(url: string): void
  /** What the server does not have yet, and what it will not have. */
  readonly uploads: readonly BlobUpload[]
  /** Why what is kept here is gone when the page is; `undefined` where it lasts. */
  readonly volatile: string | undefined
  onUploads(listener: (uploads: readonly BlobUpload[]) => void): () => void
  /** Tries a failed upload again; `client.retry` does so too. */
  retry(blob: BlobRef): Promise<void>
  /** Forgets a blob that no write names, uploaded or not. Returns false when a write names it. */
  discard(blob: BlobRef): Promise<boolean>
  /** Forgets all blobs of this device, for a user who signs out. */
  wipe(): Promise<void>
  /** Releases all URLs; closing the client does so too. */
  close(): void
}

/** The server alone. */
export interface BlobServer {
  server: string
  auth: Auth
  fetch?: typeof fetch
}

/** Types that a page may show as its own without running what is in them. */
const SHOWN = /^(image\/(?!svg)|audio\/|video\/|text\/plain$|application\/pdf$)/

/** Blobs of a client, kept in a store of `@nizhal/db-collection/blobs`; or, without a client, the server's endpoints alone. */
export function createNizhalBlobs(options: { client: NizhalClient; store: BlobStore }): NizhalClientBlobs
export function createNizhalBlobs(options: BlobServer): NizhalBlobs
export function createNizhalBlobs(options: { client: NizhalClient; store: BlobStore } | BlobServer): NizhalBlobs {
  return 'client' in options ? new ClientBlobs(options.client, options.store) : new ServerBlobs(options)
}

class ServerBlobs implements NizhalBlobs {
  readonly #endpoint: Endpoint

  constructor(options: BlobServer) {
    this.#endpoint = new Endpoint(options)
  }

  async upload(data: Blob, { bucket, key, maxBytes = data.size, signal, onProgress }: Parameters<NizhalBlobs['upload']>[1] = {}): Promise<UploadedBlob> {
    if (data.size === 0) throw new BlobError(0, 'empty', 'the file has no bytes: a blob has at least one')
    const begun = await this.#endpoint.begin({ mime: mimeOf(data.type), size: data.size, maxBytes, bucket, key }, data.size, signal)
    if (begun.blob) return { key: begun.blob.sha256, blob: begun.blob }
    let sentBytes = 0
    for (const part of begun.parts) {
      if (!part.done) await this.#endpoint.put(part, data, signal)
      onProgress?.((sentBytes += part.size))
    }
    const blob = await this.#endpoint.complete(begun.key, signal)
    return { key: blob.sha256, blob }
  }

  async url(blob: BlobRef | string): Promise<string> {
    return this.#endpoint.url(typeof blob === 'string' ? blob : blob.sha256)
  }
}

class ClientBlobs implements NizhalClientBlobs {
  readonly #server: ServerBlobs | undefined
  /** The URLs of this tab, by hash, and how many show each. */
  readonly #urls = new Map<string, { url: Promise<string | undefined>; shown: number }>()

  constructor(
    private readonly client: NizhalClient,
    private readonly store: BlobStore,
  ) {
    const { server, auth = { getHeaders: () => ({}) }, fetch } = client.options
    this.#server = server ? new ServerBlobs({ server, auth, ...(fetch && { fetch }) }) : undefined
    client.keepBlobs(store)
    client.onClose(() => this.close())
  }

  get uploads(): readonly BlobUpload[] {
    return this.client.blobNews.uploads
  }

  get volatile(): string | undefined {
    return this.client.blobNews.volatile
  }

  onUploads(listener: (uploads: readonly BlobUpload[]) => void): () => void {
    return this.client.onBlobNews(({ uploads }) => listener(uploads))
  }

  add = (file: Blob, options: { bucket?: string; mime?: string } = {}) => this.#ask('add', file, options)
  read = (blob: BlobRef) => this.#ask('read', blob)
  retry = ({ sha256 }: BlobRef) => this.#ask('retry', sha256)
  discard = ({ sha256 }: BlobRef) => this.#ask('discard', sha256)

  upload: NizhalBlobs['upload'] = (data, options) => this.#online.upload(data, options)

  async url(blob: BlobRef | string): Promise<string> {
    if (typeof blob === 'string') return this.#online.url(blob)
    const shown = this.#urls.get(blob.sha256) ?? { url: this.#made(blob), shown: 0 }
    this.#urls.set(blob.sha256, shown)
    shown.shown += 1
    const made = await shown.url.catch((error: unknown) => {
      this.#urls.delete(blob.sha256)
      throw error
    })
    if (made !== undefined) return made
    this.#urls.delete(blob.sha256)
    return this.#online.url(blob)
  }

  release(url: string): void {
    for (const [sha256, shown] of this.#urls) {
      void shown.url.then((made) => {
        if (made !== url || this.#urls.get(sha256) !== shown || --shown.shown > 0) return
        this.#urls.delete(sha256)
        objectUrls()?.revoke(url)
      }, () => undefined)
    }
  }

  async wipe(): Promise<void> {
    this.close()
    await this.#ask('wipe')
  }

  close(): void {
    for (const { url } of this.#urls.values()) void url.then((made) => made !== undefined && objectUrls()?.revoke(made), () => undefined)
    this.#urls.clear()
  }

  /** A URL of the bytes, kept or fetched; `undefined` where the server's has to do. */
  async #made(blob: BlobRef): Promise<string | undefined> {
    const urls = objectUrls()
    if (!urls) return undefined
    let file = await this.#ask('kept', blob.sha256)
    if (!file && blob.size <= this.store.maxFetchedBytes) {
      // A store of another origin may let pages show its files and not read them.
      file = await this.#ask('read', blob).catch((error: unknown) => {
        if (error instanceof BlobError && error.code === 'network') return undefined
        throw error
      })
    }
    if (!file) return undefined
    // A copy: what is dropped from the disk must not vanish from a screen. Under a type that nobody's scripts run in as this app's.
    return urls.make(fileOf([await file.arrayBuffer()], SHOWN.test(blob.mime) ? blob.mime : 'application/octet-stream'))
  }

  get #online(): ServerBlobs {
    if (!this.#server) throw new BlobError(0, 'no_server', 'this client has no server to ask for blobs')
    return this.#server
  }

  async #ask<Method extends keyof BlobCalls>(method: Method, ...args: Parameters<BlobCalls[Method]>): Promise<Awaited<ReturnType<BlobCalls[Method]>>> {
    const answer = await this.client.askBlobs(method, args)
    if ('value' in answer) return answer.value as Awaited<ReturnType<BlobCalls[Method]>>
    const { status, code, message } = answer.error
    throw new BlobError(status, code, message)
  }
}
