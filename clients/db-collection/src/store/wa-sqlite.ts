// wa-sqlite as a driver: in this thread for memory, in a worker on OPFS for browsers.
import { within } from '../platform'
import type { ImageFiles, SqlDriver, SqlValue, Statement } from './driver'

/** The part of wa-sqlite's API that is used. */
export interface WaApi {
  open_v2(name: string, flags?: number, vfs?: string): Promise<number>
  statements(db: number, sql: string): AsyncIterable<number>
  bind_collection(statement: number, values: readonly SqlValue[]): number
  step(statement: number): Promise<number>
  column_names(statement: number): string[]
  row(statement: number): unknown[]
  create_function(db: number, name: string, args: number, flags: number, app: number, of: (context: number, values: Uint32Array) => void): number
  value(value: number): unknown
  result(context: number, value: string | null): void
  close(db: number): Promise<number>
}

const ROW = 100
/** UTF-8, and the same answer for the same values. */
const PURE = 0x801
/** How long a worker may take to open its database. */
const OPEN_MS = 60_000

/** One open database of wa-sqlite; calls must come one after the other, as the engine's do. */
export class WaDatabase implements SqlDriver {
  private constructor(
    private readonly api: WaApi,
    private readonly db: number,
  ) {}

  static async open(api: WaApi, name: string, vfs?: string): Promise<WaDatabase> {
    return new WaDatabase(api, await api.open_v2(name, undefined, vfs))
  }

  async all(sql: string, params: readonly SqlValue[] = []): Promise<Record<string, SqlValue>[]> {
    const rows: Record<string, SqlValue>[] = []
    for await (const statement of this.api.statements(this.db, sql)) {
      if (params.length > 0) this.api.bind_collection(statement, params)
      const names = this.api.column_names(statement)
      while ((await this.api.step(statement)) === ROW) {
        const values = this.api.row(statement) as SqlValue[]
        rows.push(Object.fromEntries(names.map((name, at) => [name, values[at] ?? null])))
      }
    }
    return rows
  }

  async transaction(statements: readonly Statement[]): Promise<void> {
    await this.all('begin immediate')
    try {
      for (const { sql, params } of statements) await this.all(sql, params)
      await this.all('commit')
    } catch (error) {
      // A failed commit may have rolled back already; the first error is the one to tell.
      await this.all('rollback').catch(() => undefined)
      throw error
    }
  }

  /** Gives SQL a function of two values. */
  define(name: string, of: (one: unknown, other: unknown) => string | null): void {
    this.api.create_function(this.db, name, 2, PURE, 0, (context, [one, other]) => this.api.result(context, of(this.api.value(one!), this.api.value(other!))))
  }

  async close(): Promise<void> {
    await this.api.close(this.db)
  }
}

/** What goes to the worker. */
export type WorkerRequest = { id: number } & (
  /** Answers with an `OpenReply`. */
  | { kind: 'open'; name: string }
  | { kind: 'all'; sql: string; params: readonly SqlValue[] }
  | { kind: 'transaction'; statements: readonly Statement[] }
  | { kind: 'files'; method: keyof ImageFiles; args: unknown[] }
  | { kind: 'close' }
)

/** What is known of a database that was opened. */
export interface OpenReply {
  /** Why it does not last, where it does not. */
  volatile?: string
  /** Whether it keeps files of images. */
  images?: boolean
}

/** What comes back. */
export type WorkerReply = { id: number; value?: unknown; error?: string }

type Body = WorkerRequest extends infer Request ? (Request extends { id: number } ? Omit<Request, 'id'> : never) : never

/** A database in a worker: one message a statement list, not one a row. */
export class WorkerDriver implements SqlDriver {
  #next = 1
  #volatile: string | undefined
  #files: ImageFiles | undefined
  /** It answers nothing any more: who asks is told at once. */
  #broken: Error | undefined
  #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()

  private constructor(private readonly worker: Worker) {
    worker.onmessage = ({ data }: MessageEvent<WorkerReply>) => {
      const waiting = this.#waiting.get(data.id)
      this.#waiting.delete(data.id)
      if (data.error !== undefined) waiting?.reject(new Error(data.error))
      else waiting?.resolve(data.value)
    }
    worker.onerror = (event) => {
      this.#broken = new Error(`the SQLite worker failed: ${event.message ?? 'it did not load'}`)
      for (const { reject } of this.#waiting.values()) reject(this.#broken)
      this.#waiting.clear()
    }
  }

  static async open(worker: Worker, name: string): Promise<WorkerDriver> {
    const driver = new WorkerDriver(worker)
    try {
      const opened = await within(OPEN_MS, driver.#ask<OpenReply>({ kind: 'open', name }), () => new Error('the SQLite worker does not answer'))
      driver.#volatile = opened.volatile
      if (opened.images) driver.#files = driver.#imageFiles()
      return driver
    } catch (error) {
      worker.terminate()
      throw error
    }
  }

  volatile(): string | undefined {
    return this.#volatile
  }

  files(): ImageFiles | undefined {
    return this.#files
  }

  all(sql: string, params: readonly SqlValue[] = []): Promise<Record<string, SqlValue>[]> {
    return this.#ask({ kind: 'all', sql, params })
  }

  async transaction(statements: readonly Statement[]): Promise<void> {
    await this.#ask({ kind: 'transaction', statements })
  }

  async close(): Promise<void> {
    await this.#ask({ kind: 'close' })
    this.#broken = new Error('the database is closed')
    this.worker.terminate()
  }

  /** The worker's files. */
  #imageFiles(): ImageFiles {
    const call =
      <Method extends keyof ImageFiles>(method: Method) =>
      (...args: Parameters<ImageFiles[Method]>) =>
        this.#ask<Awaited<ReturnType<ImageFiles[Method]>>>({ kind: 'files', method, args })
    return { size: call('size'), write: call('write'), unpack: call('unpack'), clean: call('clean') }
  }

  #ask<Value>(request: Body): Promise<Value> {
    return new Promise((resolve, reject) => {
      if (this.#broken) return reject(this.#broken)
      const id = this.#next++
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject })
      this.worker.postMessage({ ...request, id })
    })
  }
}
