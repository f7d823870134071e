// Uploads, one after the other: each goes on where it was cut, and what fails waits while others go.
import { waitAfter } from '../engine/pace'
import type { Reconnect } from '../engine/source'
import { canceller, elapsedMs, later, report, type Timer } from '../platform'
import { BlobError, type Endpoint } from './endpoint'
import type { BlobNote } from './files'

/** Failures that no other try mends. */
const FINAL = ['too_large', 'mime_refused', 'hash_mismatch', 'bytes_lost']
/** Failures that other files would meet as well. */
const OUTAGES = ['network', 'no_credentials', 'wrong_user', 'unauthorized', 'too_many_requests', 'unavailable']
/** Uploads whose bytes may arrive as others, before the fault is the file's. */
const MAX_MISMATCHES = 2

/** What is uploaded, and who is told. */
export interface Queued {
  /** In the order to send them in. */
  queued(): readonly BlobNote[]
  read(sha256: string): Promise<Blob | undefined>
  /** Changes a note that is still there; its promise resolves when that lasts. */
  change(sha256: string, change: Partial<BlobNote>): Promise<void>
  /** Progress, or a failure that passes. */
  told(): void
}

/** How an upload stands, as far as memory tells. */
export interface Progress {
  sentBytes: number
  isSending: boolean
  error?: { code: string; message: string }
}

/** Sends the files of a device. */
export class Uploader {
  readonly #progress = new Map<string, Progress & { failures: number; dueMs: number }>()
  #online = false
  #running: { sha256: string; abort(): void } | undefined
  #timer: Timer | undefined
  /** Nothing goes before then: the network failed, or the server asked to be left alone. */
  #notBeforeMs = 0
  #outages = 0

  constructor(
    private readonly endpoint: Endpoint,
    private readonly files: Queued,
    private readonly reconnect: Reconnect,
  ) {}

  progress(sha256: string): Progress | undefined {
    return this.#progress.get(sha256)
  }

  setOnline(online: boolean): void {
    this.#online = online
    this.#timer?.stop()
    if (!online) return this.#running?.abort()
    // A network that is back need not be waited for.
    this.#notBeforeMs = 0
    this.#outages = 0
    for (const progress of this.#progress.values()) progress.dueMs = 0
    this.wake()
  }

  /** Sends what is due. */
  wake(): void {
    if (!this.#online || this.#running) return
    this.#timer?.stop()
    const now = elapsedMs()
    const waits = this.files.queued().map((note) => {
      const { dueMs = 0, failures = 0 } = this.#progress.get(note.sha256) ?? {}
      return { note, failures, ms: Math.max(0, this.#notBeforeMs - now, dueMs - now) }
    })
    // What has failed most goes last: it must not be in the way of the others whenever it is due.
    const [next] = waits.sort((one, other) => one.ms - other.ms || one.failures - other.failures)
    if (!next) return
    if (next.ms > 0) this.#timer = later(next.ms, () => this.wake())
    else void this.#run(next.note)
  }

  /** Gives up an upload that nobody wants any more. */
  forget(sha256: string): void {
    this.#progress.delete(sha256)
    if (this.#running?.sha256 === sha256) this.#running.abort()
  }

  async #run(note: BlobNote): Promise<void> {
    const { sha256 } = note
    const { signal, abort } = canceller()
    const progress = this.#progress.get(sha256) ?? { sentBytes: 0, isSending: true, failures: 0, dueMs: 0 }
    this.#progress.set(sha256, progress)
    progress.isSending = true
    let isAborted = false
    this.#running = {
      sha256,
      abort: () => {
        isAborted = true
        abort()
      },
    }
    this.files.told()
    try {
      await this.#send(note, progress, signal)
      this.#outages = 0
      await this.files.change(sha256, { state: 'sent', mismatches: 0 })
      this.#progress.delete(sha256)
    } catch (error) {
      progress.isSending = false
      if (!isAborted) await this.#failed(note, progress, error instanceof BlobError ? error : new BlobError(0, 'storage', String(error))).catch(report)
    } finally {
      this.#running = undefined
      this.files.told()
      this.wake()
    }
  }

  async #send(note: BlobNote, progress: Progress, signal: AbortSignal | undefined): Promise<void> {
    const { sha256, size, mime, bucket } = note
    const file = await this.files.read(sha256)
    if (file?.size !== size) throw new BlobError(0, 'bytes_lost', 'this device no longer has the bytes of the file: add it again')
    const begun = await this.endpoint.begin({ mime, sha256, size, maxBytes: size, bucket, key: note.upload }, size, signal)
    if (begun.blob) return
    // Before the first byte: a reload must find what it has to go on with.
    if (begun.key !== note.upload) await this.files.change(sha256, { upload: begun.key })
    const left = begun.parts.filter(({ done }) => !done)
    progress.sentBytes = size - left.reduce((bytes, part) => bytes + part.size, 0)
    this.files.told()
    for (const part of left) {
      await this.endpoint.put(part, file, signal)
      progress.sentBytes += part.size
      this.files.told()
    }
    const stored = await this.endpoint.complete(begun.key, signal)
    if (stored.sha256 !== sha256 || stored.size !== size) throw new BlobError(0, 'hash_mismatch', 'the server has stored another file')
  }

  async #failed({ sha256, upload, mismatches = 0 }: BlobNote, progress: Progress & { failures: number; dueMs: number }, error: BlobError): Promise<void> {
    const { code, message } = error
    progress.error = { code, message }
    progress.failures += 1
    const isAnother = code === 'hash_mismatch' && mismatches + 1 < MAX_MISMATCHES
    if (FINAL.includes(code) && !isAnother) {
      this.#progress.delete(sha256)
      return this.files.change(sha256, { state: 'failed', failure: { code, message }, upload: undefined, mismatches: 0 })
    }
    const wait = waitAfter(this.reconnect, progress.failures, error.retryAfterMs, Math.random)
    progress.dueMs = elapsedMs() + wait
    if (OUTAGES.includes(code)) {
      // Not this file's fault: the others would fail as well.
      this.#outages += 1
      this.#notBeforeMs = elapsedMs() + waitAfter(this.reconnect, this.#outages, error.retryAfterMs, Math.random)
    }
    // Bytes that arrived as others, or an upload that the server has forgotten, begin anew.
    if (isAnother) await this.files.change(sha256, { upload: undefined, mismatches: mismatches + 1 })
    else if (error.status === 404 && upload !== undefined) await this.files.change(sha256, { upload: undefined })
  }
}
