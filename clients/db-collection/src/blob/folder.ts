// Blobs in a folder of Node.
import { fileOf } from '../platform'
import { blobStoreOf, type CacheOptions } from './kept'
import type { BlobFiles, BlobNote } from './files'
import type { BlobStore } from './store'

/** The part of `node:fs/promises` that is used. */
export interface FolderFs {
  mkdir(path: string, options: { recursive: true }): Promise<unknown>
  readdir(path: string): Promise<string[]>
  readFile(path: string): Promise<Uint8Array>
  writeFile(path: string, data: Uint8Array | string, options?: { flush?: boolean }): Promise<void>
  rename(from: string, to: string): Promise<void>
  rm(path: string, options: { force: true }): Promise<void>
}

const NOTE = '.json'
const HALF = '.half'

/** Blobs in a folder of their own, one for each user. `fs` is `node:fs/promises`. Two processes must not share one. */
export function folderBlobStore({ path, fs, ...options }: { path: string; fs: FolderFs } & CacheOptions): BlobStore {
  return blobStoreOf(new FolderFiles(path, fs), options)
}

/** Files with a note beside each. A file without a note is half. */
export class FolderFiles implements BlobFiles {
  constructor(
    private readonly path: string,
    private readonly fs: FolderFs,
  ) {}

  async open(): Promise<{ notes: BlobNote[] }> {
    await this.fs.mkdir(this.path, { recursive: true })
    const names = await this.fs.readdir(this.path)
    const notes: BlobNote[] = []
    for (const name of names) {
      const isOurs = /^[0-9a-f]{64}(\.json)?(\.half)?$/.test(name)
      if (!isOurs) continue
      const note = name.endsWith(NOTE) ? await this.#noted(name) : undefined
      if (note && names.includes(note.sha256)) notes.push(note)
      else if (!names.includes(name + NOTE)) await this.#drop(name)
    }
    return { notes }
  }

  async read(sha256: string): Promise<Blob | undefined> {
    const bytes = await this.fs.readFile(`${this.path}/${sha256}`).catch(() => undefined)
    return bytes && fileOf([bytes as Uint8Array<ArrayBuffer>], '')
  }

  async write(note: BlobNote, file: Blob): Promise<void> {
    try {
      await this.#put(note.sha256, new Uint8Array(await file.arrayBuffer()))
      await this.note(note)
    } catch (error) {
      await this.remove(note.sha256)
      throw error
    }
  }

  note = (note: BlobNote) => this.#put(note.sha256 + NOTE, JSON.stringify(note))

  async remove(sha256: string): Promise<void> {
    // The note first: without it the file counts for nothing.
    for (const name of [sha256 + NOTE, sha256, sha256 + HALF, sha256 + NOTE + HALF]) await this.#drop(name)
  }

  async clear(): Promise<void> {
    for (const name of await this.fs.readdir(this.path)) if (/^[0-9a-f]{64}/.test(name)) await this.#drop(name)
  }

  async close(): Promise<void> {}

  async #noted(name: string): Promise<BlobNote | undefined> {
    try {
      return JSON.parse(await fileOf([(await this.fs.readFile(`${this.path}/${name}`)) as Uint8Array<ArrayBuffer>], '').text()) as BlobNote
    } catch {
      return undefined
    }
  }

  #drop(name: string): Promise<void> {
    return this.fs.rm(`${this.path}/${name}`, { force: true })
  }

  /** In place by its name when all of it is on the disk. */
  async #put(name: string, data: Uint8Array | string): Promise<void> {
    const half = `${this.path}/${name}${HALF}`
    await this.fs.writeFile(half, data, { flush: true })
    await this.fs.rename(half, `${this.path}/${name}`)
  }
}
