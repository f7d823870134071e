// Blobs: bytes go straight to where they are kept, rows carry what names them.
import { BlobError, Endpoint } from './blob/endpoint'
import type { BlobStore, NizhalBlobs, NizhalClientBlobs, UploadedBlob } from './blob/store'
import type { NizhalClient } from './client'
import type { Auth } from './engine/transport'
import { mimeOf, type BlobRef } from './protocol/blob'

export { BlobError } from './blob/endpoint'
export type { NizhalBlobs, NizhalClientBlobs, UploadedBlob } from './blob/store'

/** The server alone. */
export interface BlobServer {
  server: string
  auth: Auth
  fetch?: typeof fetch
}

/** Blobs of a client, kept in a store of `@nizhal/db-collection/blobs`; or, without a client, the server's endpoints alone. */
export function createNizhalBlobs(options: { client: NizhalClient; store: BlobStore }): NizhalClientBlobs
export function createNizhalBlobs(options: BlobServer): NizhalBlobs
export function createNizhalBlobs(options: { client: NizhalClient; store: BlobStore } | BlobServer): NizhalBlobs {
  if (!('client' in options)) return new ServerBlobs(options)
  const { client, store } = options
  const { server, auth = { getHeaders: () => ({}) }, fetch } = client.options
  client.keepBlobs(store, (options) => new Endpoint(options))
  return store.blobsOf(client, server ? new ServerBlobs({ server, auth, ...(fetch && { fetch }) }) : undefined)
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
