// What a client sees of the place where blobs are kept: the tab that leads opens it, and every tab asks through that one.
import type { BlobGate } from '../engine/held'
import type { Replica } from '../engine/replica'
import type { Reconnect } from '../engine/source'
import type { BlobRef } from '../protocol/blob'
import type { EndpointOptions } from './endpoint'

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
  endpoint: EndpointOptions | undefined
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

/** A place for blobs, as `@nizhal/db-collection/blobs` makes it. */
export interface BlobStore {
  open(host: BlobHost): BlobKeeper
  /** Up to this size a blob that is looked at is fetched and kept. */
  readonly maxFetchedBytes: number
}
