// Files of images in a folder: what all folders have in common, and Node's.
import { sha256Of } from '../blob/hash'
import { fileOf, gunzipped, newId, type NodeFiles } from '../platform'
import type { ImageFiles } from './driver'

/** A folder's files by name. */
export interface Folder {
  size(name: string): Promise<number>
  /** Writes at a place; one at 0 takes the place of all that is there. */
  write(name: string, at: number, bytes: Uint8Array): Promise<void>
  read(name: string): Promise<Blob>
  /** Ends the writing of a file: where SQLite finds it. */
  end(name: string): string
  /** Deletes all files but these. */
  clean(kept: readonly string[]): Promise<void>
}

/** Images in a folder of their own. */
export class FolderImages implements ImageFiles {
  constructor(private readonly folder: Folder) {}

  size = (sha256: string) => this.folder.size(sha256)
  write = (sha256: string, at: number, bytes: Uint8Array) => this.folder.write(sha256, at, bytes)
  clean = (kept: readonly string[]) => this.folder.clean(kept)

  async unpack(sha256: string): Promise<string | undefined> {
    const packed = await this.folder.read(sha256)
    if ((await sha256Of(packed)) !== sha256) return undefined
    // A name of its own each time: whoever had a file of the same name open may take this one for that one.
    const name = `${newId()}.db`
    const reader = gunzipped(packed).getReader()
    try {
      for (let at = 0; ; ) {
        const { done, value } = await reader.read()
        if (done) return this.folder.end(name)
        await this.folder.write(name, at, value)
        at += value.length
      }
    } catch {
      return undefined
    }
  }
}

/** A folder of Node. It is there as long as it has files. */
export class NodeFolder implements Folder {
  constructor(
    private readonly fs: NodeFiles,
    private readonly dir: string,
  ) {}

  end = (name: string) => this.#path(name)

  async size(name: string): Promise<number> {
    return this.fs.stat(this.#path(name)).then(({ size }) => size, () => 0)
  }

  async write(name: string, at: number, bytes: Uint8Array): Promise<void> {
    await this.fs.mkdir(this.dir, { recursive: true })
    if (at === 0) await this.fs.writeFile(this.#path(name), bytes)
    else await this.fs.appendFile(this.#path(name), bytes)
  }

  async read(name: string): Promise<Blob> {
    return fileOf([(await this.fs.readFile(this.#path(name))) as Uint8Array<ArrayBuffer>], '')
  }

  async clean(kept: readonly string[]): Promise<void> {
    if (kept.length === 0) return this.fs.rm(this.dir, { recursive: true, force: true })
    const names = await this.fs.readdir(this.dir).catch(() => [])
    for (const name of names) if (!kept.includes(name)) await this.fs.rm(this.#path(name), { force: true })
  }

  #path(name: string): string {
    return `${this.dir}/${name}`
  }
}
