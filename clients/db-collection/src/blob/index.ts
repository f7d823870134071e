// Stores of blobs, by platform.
import { sha256Of } from './hash'

export { browserBlobStore } from './browser'
export type { BlobFiles, BlobNote } from './files'
export { folderBlobStore, type FolderFs } from './folder'
export { blobStoreOf, memoryBlobStore, type CacheOptions } from './kept'
export type { BlobStore, BlobUpload } from './store'
export { isBlobRef, type BlobRef } from '../protocol/blob'

/** The key of a file: its SHA-256, which is the key that `upload` answers with and the `sha256` of its reference. */
export function keyForBlob(file: Blob): Promise<string> {
  return sha256Of(file)
}
