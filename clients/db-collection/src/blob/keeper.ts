// The blobs of a device, in the tab that leads: kept, uploaded, fetched, and let go of when nothing needs them.
import { isPending, type Op } from '../engine/op'
import { Queue } from '../engine/queue'
import { messageOf, report, soon, within } from '../platform'
import { blobsIn, mimeOf, type BlobRef } from '../protocol/blob'
import { BlobError, type Endpoint } from './endpoint'
import type { BlobFiles, BlobNote } from './files'
import { sha256Of } from './hash'
import { Leaving, namedBlobs } from './named'
import type { BlobAnswer, BlobCalls, BlobHost, BlobKeeper, BlobNews } from './store'
import { Uploader } from './uploader'

/** How long files may take to be opened, before writes go without them. */
const OPEN_MS = 20_000
/** Uploads in a row after which the server may lack a blob, before the write that names it is parked. */
const MAX_LACKS = 3
/** How exact the order of use is. */
const USE_MS = 60_000

/** Keeps blobs; see `BlobNote` for what becomes of each. */
export class Keeper implements BlobKeeper, BlobCalls {
  readonly #notes = new Map<string, BlobNote>()
  /** Steps that change notes and files. */
  readonly #queue = new Queue()
  readonly #uploader: Uploader | undefined
  readonly #endpoint: Endpoint | undefined
  /** The blobs that arguments name. */
  readonly #names = new WeakMap<object, ReadonlySet<string>>()
  readonly #fetching = new Map<string, Promise<Blob>>()
  readonly #stops: (() => void)[]
  readonly #opened: Promise<void>
  /** `undefined` until the files are open; an error where they cannot be. */
  #state: { volatile?: string; error?: BlobError } | undefined
  #closed = false
  #telling = false

  constructor(
    private readonly files: BlobFiles,
    private readonly cacheBytes: number,
    private readonly host: BlobHost,
  ) {
    const { endpoint, replica, reconnect } = host
    this.#endpoint = endpoint
    const queued = () => [...this.#notes.values()].filter(({ state }) => state === 'queued').sort((one, other) => one.usedAt - other.usedAt)
    const read = (sha256: string) => this.files.read(sha256)
    if (this.#endpoint) this.#uploader = new Uploader(this.#endpoint, { queued, read, change: (sha256, change) => this.#change(sha256, change), told: () => this.#tell() }, reconnect)
    this.#opened = this.#open()
    replica.watcher = new Leaving((unnamed) => void this.#sweep(unnamed).catch(report))
    this.#stops = [replica.outbox.changed.on(() => this.#look()), () => (replica.watcher = undefined)]
  }

  async #open(): Promise<void> {
    try {
      const { notes, volatile } = await within(OPEN_MS, this.#queue.run(() => this.files.open()), () => new Error('they do not answer'))
      // What an add has put there meanwhile is newer.
      for (const note of notes) if (!this.#notes.has(note.sha256)) this.#notes.set(note.sha256, note)
      this.#state = volatile === undefined ? {} : { volatile }
      await this.#expel()
    } catch (error) {
      this.#state = { error: new BlobError(0, 'storage', `this device’s storage for files cannot be opened: ${messageOf(error)}`) }
      report(error)
    }
    this.#look()
    this.#tell()
    this.#uploader?.wake()
    this.host.push()
    // What rows ceased to name while nobody was there to see it.
    if (this.host.replica.device.complete) void this.#sweep('all').catch(report)
  }

  isUnsent(sha256: string): boolean {
    if (!this.#endpoint) return false
    // Until it is known what is here, nothing goes that names any.
    if (!this.#state) return true
    const { state } = this.#notes.get(sha256) ?? {}
    return state === 'queued' || state === 'failed'
  }

  resend(sha256: string): boolean {
    const note = this.#notes.get(sha256)
    if (!note) return false
    if (note.state === 'queued') return true
    const lacks = (note.lacks ?? 0) + 1
    if (note.state === 'failed' || lacks > MAX_LACKS) return false
    this.#save(sha256, { state: 'queued', upload: undefined, lacks })
    this.#uploader?.wake()
    return true
  }

  get news(): BlobNews {
    const uploads = [...this.#notes.values()].flatMap((note): BlobNews['uploads'] => {
      const { state, failure } = note
      if (state !== 'queued' && state !== 'failed') return []
      const { isSending = false, sentBytes = 0, error = failure } = this.#uploader?.progress(note.sha256) ?? {}
      return [{ blob: refOf(note), state: state === 'queued' && isSending ? 'sending' : state, sentBytes, ...(error && { error }) }]
    })
    return { uploads, volatile: this.#state?.volatile }
  }

  setOnline(online: boolean): void {
    this.#uploader?.setOnline(online)
  }

  async call(method: keyof BlobCalls, args: unknown[]): Promise<BlobAnswer> {
    try {
      await this.#opened
      if (this.#state?.error) throw this.#state.error
      await this.#expel()
      return { value: await (this[method] as (...args: unknown[]) => Promise<unknown>)(...args) }
    } catch (error) {
      const { status, code } = error instanceof BlobError ? error : new BlobError(0, 'storage', '')
      return { error: { status, code, message: messageOf(error) } }
    }
  }

  add = async (file: Blob, { bucket, mime }: { bucket?: string; mime?: string } = {}): Promise<BlobRef> => {
    if (file.size === 0) throw new BlobError(0, 'empty', 'the file has no bytes: a blob has at least one')
    const sha256 = await sha256Of(file)
    const { size } = file
    const note = await this.#queue.run(async () => {
      const known = this.#notes.get(sha256)
      if (known) {
        // Wanted for a row that is to come: it stays until that one is there, and a refusal is not the last word.
        if (known.state === 'failed') await this.#write(known, { state: 'queued', failure: undefined, named: false })
        else if (known.state === 'cached') await this.#write(known, { state: 'sent', named: false })
        return known
      }
      const { user } = this.host.replica.device
      const note: BlobNote = { sha256, size, mime: mimeOf(mime ?? file.type), state: 'queued', named: false, usedAt: this.host.nowMs(), ...(user !== undefined && { user }), ...(bucket !== undefined && { bucket }) }
      await this.#store(note, file)
      return note
    })
    this.#tell()
    this.#uploader?.wake()
    return refOf(note)
  }

  kept = async (sha256: string): Promise<Blob | undefined> => {
    const note = this.#notes.get(sha256)
    if (!note) return undefined
    const file = await this.files.read(sha256)
    if (file?.size !== note.size) {
      // Its storage was taken away. One that is to be uploaded is missed when its turn comes.
      if (note.state === 'cached') await this.#remove([sha256])
      return undefined
    }
    const usedAt = this.host.nowMs()
    if (Math.abs(usedAt - note.usedAt) > USE_MS) this.#save(sha256, { usedAt })
    return file.slice(0, file.size, note.mime)
  }

  read = async (blob: BlobRef): Promise<Blob> => {
    const { sha256 } = blob
    const kept = await this.kept(sha256)
    if (kept) return kept
    const fetching = this.#fetching.get(sha256) ?? this.#fetch(blob).finally(() => this.#fetching.delete(sha256))
    this.#fetching.set(sha256, fetching)
    return fetching
  }

  retry = async (sha256: string): Promise<void> => {
    const note = this.#notes.get(sha256)
    if (note?.state !== 'failed') return
    await this.#change(sha256, { state: 'queued', failure: undefined })
    this.#uploader?.wake()
  }

  discard = async (sha256: string): Promise<boolean> => {
    if (!this.#notes.has(sha256) || this.#named().has(sha256)) return false
    await this.#remove([sha256])
    return true
  }

  wipe = async (): Promise<void> => {
    const all = [...this.#notes.keys()]
    this.#notes.clear()
    for (const sha256 of all) this.#uploader?.forget(sha256)
    await this.#queue.run(() => this.files.clear())
    this.#tell()
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const stop of this.#stops) stop()
    this.#uploader?.setOnline(false)
    await this.#queue.run(() => this.files.close())
  }

  async #fetch({ sha256, size, mime }: BlobRef): Promise<Blob> {
    if (!this.#endpoint) throw new BlobError(0, 'not_kept', 'this device does not have the file, and no server to ask for it')
    const got = await this.#endpoint.get(await this.#endpoint.url(sha256), size)
    if (got.size !== size || (await sha256Of(got)) !== sha256) throw new BlobError(0, 'hash_mismatch', 'the file that came is another than the row names')
    const file = got.slice(0, got.size, mime)
    const { user } = this.host.replica.device
    const note: BlobNote = { sha256, size, mime, state: 'cached', named: false, usedAt: this.host.nowMs(), ...(user !== undefined && { user }) }
    // A cache that is full keeps nobody from looking at the file.
    if (size <= this.cacheBytes && !this.#closed) {
      await this.#queue.run(async () => {
        if (!this.#notes.has(sha256)) await this.#store(note, file)
      }).catch(() => undefined)
      await this.#evict(this.cacheBytes)
    }
    return file
  }

  /**
   * Stores a file; where there is no space for it, in place of cached ones. A failure that does not say that the disk is full may pass, and a
   * browser does not name a full disk each time: the file is written once more before the failure counts.
   */
  async #store(note: BlobNote, file: Blob): Promise<void> {
    let isRetried = false
    for (;;) {
      try {
        await this.files.write(note, file)
        this.#notes.set(note.sha256, note)
        return
      } catch (error) {
        if (!isFull(error)) {
          if (isRetried) throw error
          isRetried = true
          continue
        }
        const bytes = bytesOf(this.#cached())
        if (bytes === 0) throw new BlobError(0, 'storage_full', `this device has no space for the file: ${messageOf(error)}`)
        await this.#evicted(Math.floor(bytes / 2))
      }
    }
  }

  /** What may be dropped, least recently used first. */
  #cached(): BlobNote[] {
    const named = this.#named()
    return [...this.#notes.values()].filter(({ state, sha256 }) => state === 'cached' && !named.has(sha256)).sort((one, other) => one.usedAt - other.usedAt)
  }

  async #evict(most: number): Promise<void> {
    await this.#queue.run(() => this.#evicted(most))
  }

  /** Drops the least recently used until the cached ones are at most so many bytes. */
  async #evicted(most: number): Promise<void> {
    const cached = this.#cached()
    let bytes = bytesOf(cached)
    for (const { sha256, size } of cached) {
      if (bytes <= most) return
      bytes -= size
      this.#notes.delete(sha256)
      await this.files.remove(sha256)
    }
  }

  /** Looks at the outbox: which blobs it names, and which it names no longer. */
  #look(): void {
    if (!this.#state || this.#notes.size === 0) return
    const named = this.#named()
    for (const note of this.#notes.values()) {
      const { sha256, state } = note
      if (state === 'cached') continue
      if (named.has(sha256)) {
        if (!note.named) this.#save(sha256, { named: true })
      } else if (note.named) {
        // Its write is in the rows, or was discarded.
        if (state === 'sent') this.#save(sha256, { state: 'cached', lacks: 0 })
        else void this.#remove([sha256]).catch(report)
      }
    }
    for (const op of this.host.replica.outbox.ops) if (isPending(op)) this.#park(op)
  }

  /** Parks a write that names a blob which the server will not have. */
  #park(op: Op): void {
    for (const sha256 of this.#blobsOf(op)) {
      const { state, failure } = this.#notes.get(sha256) ?? {}
      if (state !== 'failed' || !failure) continue
      return void this.host.replica.outbox.park(op.id, failure.code, failure.message).catch(report)
    }
  }

  #named(): Set<string> {
    return new Set(this.host.replica.outbox.ops.flatMap((op) => [...this.#blobsOf(op)]))
  }

  /** The blobs that a write names; a long outbox is looked at often. */
  #blobsOf({ args }: Op): ReadonlySet<string> {
    if (typeof args !== 'object' || args === null) return new Set()
    const found = this.#names.get(args) ?? blobsIn(args)
    this.#names.set(args, found)
    return found
  }

  /** Drops what is cached and no row names any more. */
  async #sweep(unnamed: ReadonlySet<string> | 'all'): Promise<void> {
    const candidates = () => this.#cached().filter(({ sha256 }) => unnamed === 'all' || unnamed.has(sha256))
    const unseen = [...this.#notes.values()].filter((note) => unnamed === 'all' && note.state === 'sent' && !note.named)
    if (candidates().length + unseen.length === 0) return
    const named = await namedBlobs(this.host.replica)
    if (!named) return
    // A crash came between the write's end and its note.
    for (const { sha256 } of unseen) if (named.has(sha256)) await this.#change(sha256, { state: 'cached', named: true })
    await this.#remove(candidates().flatMap(({ sha256 }) => (named.has(sha256) ? [] : [sha256])))
  }

  /** Drops what is another user's. */
  async #expel(): Promise<void> {
    const { user } = this.host.replica.device
    const others = [...this.#notes.values()].filter((note) => note.user !== undefined && user !== undefined && note.user !== user)
    if (others.length > 0) await this.#remove(others.map(({ sha256 }) => sha256))
  }

  async #remove(all: readonly string[]): Promise<void> {
    for (const sha256 of all) {
      this.#notes.delete(sha256)
      this.#uploader?.forget(sha256)
    }
    await this.#queue.run(async () => {
      for (const sha256 of all) if (!this.#notes.has(sha256)) await this.files.remove(sha256)
    })
    this.#tell()
  }

  /** Changes a note; in memory at once. */
  async #change(sha256: string, change: Partial<BlobNote>): Promise<void> {
    const note = this.#notes.get(sha256)
    if (!note) return
    Object.assign(note, change)
    if (change.state !== undefined) {
      this.#look()
      this.#tell()
      if (change.state === 'sent') this.host.push()
      if (change.state === 'cached') void this.#evict(this.cacheBytes).catch(report)
    }
    await this.#queue.run(async () => {
      if (this.#notes.get(sha256) === note && !this.#closed) await this.files.note(note)
    })
  }

  #save(sha256: string, change: Partial<BlobNote>): void {
    void this.#change(sha256, change).catch(report)
  }

  /** The same within a step. */
  async #write(note: BlobNote, change: Partial<BlobNote>): Promise<void> {
    await this.files.note(Object.assign(note, change))
  }

  /** What changes in one step is told of together. */
  #tell(): void {
    if (this.#telling) return
    this.#telling = true
    soon(() => {
      this.#telling = false
      if (!this.#closed) this.host.tell(this.news)
    })
  }
}

function refOf({ sha256, size, mime }: BlobRef): BlobRef {
  return { sha256, size, mime }
}

function bytesOf(notes: readonly BlobNote[]): number {
  return notes.reduce((sum, { size }) => sum + size, 0)
}

/** Whether a failure is for want of space, as browsers and Node say it. */
function isFull(error: unknown): boolean {
  const { name, code } = (error ?? {}) as { name?: unknown; code?: unknown }
  return name === 'QuotaExceededError' || code === 'ENOSPC' || code === 'EDQUOT'
}
