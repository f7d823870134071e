// Where the bytes of blobs lie: a few files with a note beside each.
import type { BlobRef } from '../protocol/blob'

/** What a device knows of a blob that it has. */
export interface BlobNote extends BlobRef {
  /**
   * `queued`: to be uploaded; `failed`: the server will not have it; `sent`: uploaded, and needed here until the row that names it has come
   * back with a pull; `cached`: to be had from the server, and dropped when there is no space.
   */
  state: 'queued' | 'failed' | 'sent' | 'cached'
  /** A write has named it. */
  named: boolean
  /** When it was last looked at, in ms since 1970. */
  usedAt: number
  /** To whom it belongs. */
  user?: string
  /** The bucket that its upload was declared for. */
  bucket?: string
  /** The upload that was begun. */
  upload?: string
  /** Uploads in a row whose bytes were others when they arrived. */
  mismatches?: number
  /** Times in a row that it was uploaded and the server lacked it. */
  lacks?: number
  failure?: { code: string; message: string }
}

/** Files and notes, by SHA-256. Calls come one after the other. */
export interface BlobFiles {
  /** The notes whose files are whole; what a crash left half is removed. */
  open(): Promise<{ notes: BlobNote[]; volatile?: string }>
  read(sha256: string): Promise<Blob | undefined>
  /** Keeps a file and its note; when it resolves, both last. A failure leaves neither behind. */
  write(note: BlobNote, file: Blob): Promise<void>
  /** Changes a note. */
  note(note: BlobNote): Promise<void>
  remove(sha256: string): Promise<void>
  clear(): Promise<void>
  close(): Promise<void>
}

/** Files that live as long as the object: for tests, and for devices that may forget. */
export class MemoryFiles implements BlobFiles {
  readonly #files = new Map<string, { note: BlobNote; file: Blob }>()

  async open(): Promise<{ notes: BlobNote[] }> {
    return { notes: [...this.#files.values()].map(({ note }) => ({ ...note })) }
  }

  async read(sha256: string): Promise<Blob | undefined> {
    return this.#files.get(sha256)?.file
  }

  async write(note: BlobNote, file: Blob): Promise<void> {
    this.#files.set(note.sha256, { note: { ...note }, file })
  }

  async note(note: BlobNote): Promise<void> {
    const kept = this.#files.get(note.sha256)
    if (kept) kept.note = { ...note }
  }

  async remove(sha256: string): Promise<void> {
    this.#files.delete(sha256)
  }

  async clear(): Promise<void> {
    this.#files.clear()
  }

  async close(): Promise<void> {}
}
