// What a client sees of the place where blobs are kept: the tab that leads opens it, and every tab asks through that one.
import type { BlobGate } from '../engine/held'
import type { Replica } from '../engine/replica'
import type { Reconnect } from '../engine/source'
import type { BlobRef } from '../protocol/blob'
import type { Endpoint, EndpointOptions } from './endpoint'

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

/** A blob of this device that the server does not have yet. */
export interface BlobUpload {
  blob: BlobRef
  /** `failed`: the server will not have it, and the writes that name it are parked. */
  state: 'queued' | 'sending' | 'failed'
  sentBytes: number
  /** The last failure; one of a queued upload passes. */
  error?: { code: string; message: string }
}

/** What is told of blobs to every tab. */
export interface BlobNews {
  uploads: BlobUpload[]
  /** Why what is kept here is gone when the page is; `undefined` where it lasts. */
  volatile: string | undefined
}

/** What may be asked of the tab that leads. All of it may be asked twice without harm. */
export interface BlobCalls {
  /** Keeps a file and queues its upload. */
  add(file: Blob, options: { bucket?: string; mime?: string }): Promise<BlobRef>
  /** The bytes that are kept here, if they are. */
  kept(sha256: string): Promise<Blob | undefined>
  /** The bytes, fetched where they are not kept. */
  read(blob: BlobRef): Promise<Blob>
  /** Tries a failed upload again. */
  retry(sha256: string): Promise<void>
  /** Forgets a blob that no write names. */
  discard(sha256: string): Promise<boolean>
  /** Forgets everything. */
  wipe(): Promise<void>
}

/** A call's answer as it travels between tabs. */
export type BlobAnswer = { value: unknown } | { error: { status: number; code: string; message: string } }

/** What a store of blobs is given by the tab that leads. */
export interface BlobHost {
  replica: Replica
  /** `undefined` without a server. */
  endpoint: Endpoint | undefined
  reconnect: Reconnect
  nowMs(): number
  tell(news: BlobNews): void
  /** Writes that waited may go. */
  push(): void
}

/** The blobs of a device, in the tab that leads. */
export interface BlobKeeper extends BlobGate {
  readonly news: BlobNews
  call(method: keyof BlobCalls, args: unknown[]): Promise<BlobAnswer>
  setOnline(online: boolean): void
  close(): Promise<void>
}

/** Reaches the server's endpoints; whoever keeps blobs is given it by whoever has it. */
export type ReachBlobs = (options: EndpointOptions) => Endpoint

/** What a tab's blobs ask of its client. */
export interface BlobClient {
  readonly blobNews: BlobNews
  onBlobNews(listener: (news: BlobNews) => void): () => void
  askBlobs(method: keyof BlobCalls, args: unknown[]): Promise<BlobAnswer>
  onClose(listener: () => void): () => void
}

/** A place for blobs, as `@nizhal/db-collection/blobs` makes it. */
export interface BlobStore {
  open(host: BlobHost): BlobKeeper
  /** The blobs of a client, as its app sees them; `server` sends and finds them while there is a network. */
  blobsOf(client: BlobClient, server: NizhalBlobs | undefined): NizhalClientBlobs
}
