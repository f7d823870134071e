// Files of images on the origin's private file system, as a worker has them: written in place, by handles that nobody else may have.
import { later } from '../platform'
import type { Folder } from './image-files'

const FOLDER = 'nizhal-images'
/** How long after each other a file is tried that somebody has not let go of: twice as long each time, for some minutes. */
const WAITS_MS = [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000]

/** A file that is written in place. The types of pages lack it. */
interface AccessHandle {
  write(bytes: Uint8Array, options: { at: number }): number
  truncate(bytes: number): void
  flush(): void
  close(): void
}

/** The folder of one database's images. */
export class PrivateFolder implements Folder {
  readonly #name: string
  /** Files that are being written, open. */
  readonly #open = new Map<string, AccessHandle>()
  /** Files that are not to be deleted. */
  #kept: readonly string[] = []

  constructor(
    private readonly root: FileSystemDirectoryHandle,
    database: string,
  ) {
    // Spelled as an address is: so does SQLite's file system look for it.
    this.#name = encodeURIComponent(database)
  }

  end(name: string): string {
    this.#close(name)
    return `/${FOLDER}/${this.#name}/${name}`
  }

  async size(name: string): Promise<number> {
    return this.read(name).then(({ size }) => size, () => 0)
  }

  async write(name: string, at: number, bytes: Uint8Array): Promise<void> {
    let handle = this.#open.get(name)
    if (!handle) {
      const file = await (await this.#folder()).getFileHandle(name, { create: true })
      this.#open.set(name, (handle = await (file as unknown as { createSyncAccessHandle(): Promise<AccessHandle> }).createSyncAccessHandle()))
    }
    if (at === 0) handle.truncate(0)
    if (handle.write(bytes, { at }) !== bytes.length) throw new Error('the disk is full')
  }

  async read(name: string): Promise<Blob> {
    this.#close(name)
    return (await (await this.#folder()).getFileHandle(name)).getFile()
  }

  async clean(kept: readonly string[]): Promise<void> {
    this.#kept = kept
    for (const name of this.#open.keys()) this.#close(name)
    const names: string[] = []
    for await (const name of ((await this.#folder()) as unknown as { keys(): AsyncIterable<string> }).keys()) names.push(name)
    await this.#remove(names, WAITS_MS)
  }

  /** Deletes files. One that SQLite, or the worker of a page that was left, has not let go of is tried again. */
  async #remove(names: readonly string[], [waitMs, ...waitsMs]: readonly number[]): Promise<void> {
    const folder = await this.#folder()
    const held: string[] = []
    for (const name of names) {
      if (!this.#kept.includes(name) && !this.#open.has(name)) await folder.removeEntry(name).catch(() => held.push(name))
    }
    if (held.length > 0 && waitMs !== undefined) later(waitMs, () => void this.#remove(held, waitsMs).catch(() => undefined))
  }

  /** Ends the writing of a file, so that it can be read and attached. */
  #close(name: string): void {
    const handle = this.#open.get(name)
    handle?.flush()
    handle?.close()
    this.#open.delete(name)
  }

  async #folder(): Promise<FileSystemDirectoryHandle> {
    const all = await this.root.getDirectoryHandle(FOLDER, { create: true })
    return all.getDirectoryHandle(this.#name, { create: true })
  }
}
