// Blobs in a browser: on the origin's private file system, in IndexedDB where that cannot be written, in memory where neither is there.
import { fileOf, indexedDatabases, privateFiles } from '../platform'
import { blobStoreOf, type CacheOptions } from './kept'
import { MemoryFiles, type BlobFiles, type BlobNote } from './files'
import type { BlobStore } from './store'

/** How long the private file system may take to be there. */
const FILES_MS = 5000
/** The folder of all stores of blobs in the private file system. */
const FOLDER = 'nizhal-blobs'
const NOTE = '.json'

/**
 * Blobs in a browser. Give each user a name of their own: what another user left under it is removed.
 *
 * Where the page may keep nothing (plain http, some private windows) they are in memory, and `volatile` of the blobs says why.
 */
export function browserBlobStore({ name, ...options }: { name: string } & CacheOptions): BlobStore {
  return blobStoreOf(new BrowserFiles(name), options)
}

/** Files in the first place that opens. */
class BrowserFiles implements BlobFiles {
  #files: BlobFiles = new MemoryFiles()

  constructor(private readonly name: string) {}

  async open(): Promise<{ notes: BlobNote[]; volatile?: string }> {
    const root = await privateFiles(FILES_MS)
    const databases = indexedDatabases()
    for (const files of [root && new PrivateFiles(root, this.name), databases && new DatabaseFiles(databases, this.name)]) {
      const opened = await files?.open().catch(() => undefined)
      if (!files || !opened) continue
      this.#files = files
      return opened
    }
    return { ...(await this.#files.open()), volatile: 'this page may keep no files: neither its private file system nor IndexedDB opens' }
  }

  read = (sha256: string) => this.#files.read(sha256)
  write = (note: BlobNote, file: Blob) => this.#files.write(note, file)
  note = (note: BlobNote) => this.#files.note(note)
  remove = (sha256: string) => this.#files.remove(sha256)
  clear = () => this.#files.clear()
  close = () => this.#files.close()
}

/** Files of the private file system, with a note beside each. A file without a note is half. */
export class PrivateFiles implements BlobFiles {
  #folder: FileSystemDirectoryHandle | undefined

  constructor(
    private readonly root: FileSystemDirectoryHandle,
    private readonly name: string,
  ) {}

  async open(): Promise<{ notes: BlobNote[] }> {
    const all = await this.root.getDirectoryHandle(FOLDER, { create: true })
    const folder = (this.#folder = await all.getDirectoryHandle(encodeURIComponent(this.name), { create: true }))
    const names: string[] = []
    for await (const name of (folder as unknown as { keys(): AsyncIterable<string> }).keys()) names.push(name)
    const notes: BlobNote[] = []
    for (const name of names) {
      if (name.endsWith(NOTE)) {
        const note = await this.#noted(name)
        if (note && names.includes(note.sha256)) notes.push(note)
        else await folder.removeEntry(name)
      } else if (!names.includes(name + NOTE)) await folder.removeEntry(name)
    }
    return { notes }
  }

  async read(sha256: string): Promise<Blob | undefined> {
    try {
      return await (await this.#folder!.getFileHandle(sha256)).getFile()
    } catch {
      return undefined
    }
  }

  async write(note: BlobNote, file: Blob): Promise<void> {
    try {
      await this.#put(note.sha256, file)
      await this.note(note)
    } catch (error) {
      await this.remove(note.sha256)
      throw error
    }
  }

  async note(note: BlobNote): Promise<void> {
    await this.#put(note.sha256 + NOTE, JSON.stringify(note))
  }

  async remove(sha256: string): Promise<void> {
    // The note first: without it the file counts for nothing.
    for (const name of [sha256 + NOTE, sha256]) await this.#folder!.removeEntry(name).catch(() => undefined)
  }

  async clear(): Promise<void> {
    const all = await this.root.getDirectoryHandle(FOLDER, { create: true })
    await all.removeEntry(encodeURIComponent(this.name), { recursive: true })
    await this.open()
  }

  async close(): Promise<void> {}

  async #noted(name: string): Promise<BlobNote | undefined> {
    try {
      return JSON.parse(await (await (await this.#folder!.getFileHandle(name)).getFile()).text()) as BlobNote
    } catch {
      return undefined
    }
  }

  /** The browser puts the whole file in place when it is closed, or none of it. */
  async #put(name: string, content: Blob | string): Promise<void> {
    const writable = await (await this.#folder!.getFileHandle(name, { create: true })).createWritable()
    try {
      await writable.write(content)
      await writable.close()
    } catch (error) {
      await writable.abort().catch(() => undefined)
      throw error
    }
  }
}

/** Files in a database of IndexedDB. As bytes: some browsers lose files that were put there as such. */
export class DatabaseFiles implements BlobFiles {
  #database: IDBDatabase | undefined

  constructor(
    private readonly databases: IDBFactory,
    private readonly name: string,
  ) {}

  async open(): Promise<{ notes: BlobNote[] }> {
    const opening = this.databases.open(`${FOLDER}:${this.name}`, 1)
    opening.onupgradeneeded = () => {
      opening.result.createObjectStore('notes', { keyPath: 'sha256' })
      opening.result.createObjectStore('files')
    }
    this.#database = await answered(opening)
    return { notes: await answered<BlobNote[]>(this.#stores('readonly').notes.getAll()) }
  }

  async read(sha256: string): Promise<Blob | undefined> {
    const bytes = await answered<ArrayBuffer | undefined>(this.#stores('readonly').files.get(sha256))
    return bytes && fileOf([bytes], '')
  }

  async write(note: BlobNote, file: Blob): Promise<void> {
    const bytes = await file.arrayBuffer()
    await this.#done(({ notes, files }) => {
      files.put(bytes, note.sha256)
      notes.put(note)
    })
  }

  note = (note: BlobNote) => this.#done(({ notes }) => notes.put(note))

  remove = (sha256: string) =>
    this.#done(({ notes, files }) => {
      notes.delete(sha256)
      files.delete(sha256)
    })

  clear = () =>
    this.#done(({ notes, files }) => {
      notes.clear()
      files.clear()
    })

  async close(): Promise<void> {
    this.#database?.close()
  }

  #stores(mode: IDBTransactionMode): { notes: IDBObjectStore; files: IDBObjectStore; transaction: IDBTransaction } {
    const transaction = this.#database!.transaction(['notes', 'files'], mode)
    return { notes: transaction.objectStore('notes'), files: transaction.objectStore('files'), transaction }
  }

  /** Does this in one transaction, to its end. */
  #done(run: (stores: { notes: IDBObjectStore; files: IDBObjectStore }) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const { transaction, ...stores } = this.#stores('readwrite')
      transaction.oncomplete = () => resolve()
      // A request that fails aborts its transaction, which has the reason only then.
      transaction.onabort = () => reject(transaction.error ?? new Error('IndexedDB gave it up'))
      run(stores)
    })
  }
}

function answered<Value>(request: IDBRequest<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error ?? new Error('IndexedDB failed'))
  })
}
