// A store of blobs on files, whatever they lie on.
import { ClientBlobs } from './client'
import { MemoryFiles, type BlobFiles } from './files'
import { Keeper } from './keeper'
import type { BlobStore } from './store'

/** How much of what the server has is kept here too. */
export interface CacheOptions {
  /** In bytes; 200 MB by default. What is not uploaded yet, or not yet in a row that was pulled, is kept beyond it. */
  cacheBytes?: number
}

const CACHE_BYTES = 200_000_000

/** A store of blobs on files of your own. */
export function blobStoreOf(files: BlobFiles, { cacheBytes = CACHE_BYTES }: CacheOptions = {}): BlobStore {
  return { open: (host) => new Keeper(files, cacheBytes, host), blobsOf: (client, server) => new ClientBlobs(client, server, cacheBytes / 8) }
}

/** Blobs in memory: for tests, and for devices that may forget. Several clients may be opened on one after another. */
export function memoryBlobStore(options?: CacheOptions): BlobStore {
  return blobStoreOf(new MemoryFiles(), options)
}
