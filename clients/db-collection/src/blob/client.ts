// Blobs as a tab sees them: whichever tab leads keeps them, and this one has the URLs that it shows.
import { fileOf, objectUrls } from '../platform'
import type { BlobRef } from '../protocol/blob'
import { BlobError } from './endpoint'
import type { BlobCalls, BlobClient, BlobUpload, NizhalBlobs, NizhalClientBlobs } from './store'

/** Types that a page may show as its own without running what is in them. */
const SHOWN = /^(image\/(?!svg)|audio\/|video\/|text\/plain$|application\/pdf$)/

/** The blobs of a client, in each of its tabs. */
export class ClientBlobs implements NizhalClientBlobs {
  /** The URLs of this tab, by hash, and how many show each. */
  readonly #urls = new Map<string, { url: Promise<string | undefined>; shown: number }>()

  constructor(
    private readonly client: BlobClient,
    private readonly server: NizhalBlobs | undefined,
    /** Up to this size a blob that is looked at is fetched and kept. */
    private readonly maxFetchedBytes: number,
  ) {
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
    if (!file && blob.size <= this.maxFetchedBytes) {
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

  get #online(): NizhalBlobs {
    if (!this.server) throw new BlobError(0, 'no_server', 'this client has no server to ask for blobs')
    return this.server
  }

  async #ask<Method extends keyof BlobCalls>(method: Method, ...args: Parameters<BlobCalls[Method]>): Promise<Awaited<ReturnType<BlobCalls[Method]>>> {
    const answer = await this.client.askBlobs(method, args)
    if ('value' in answer) return answer.value as Awaited<ReturnType<BlobCalls[Method]>>
    const { status, code, message } = answer.error
    throw new BlobError(status, code, message)
  }
}
