// wa-sqlite as a driver: in this thread for memory, in a worker on OPFS for browsers.
import { within } from '../platform'
import type { SqlDriver, SqlValue, Statement } from './driver'

/** The part of wa-sqlite's API that is used. */
export interface WaApi {
  open_v2(name: string, flags?: number, vfs?: string): Promise<number>
  statements(db: number, sql: string): AsyncIterable<number>
  bind_collection(statement: number, values: readonly SqlValue[]): number
  step(statement: number): Promise<number>
  column_names(statement: number): string[]
  row(statement: number): unknown[]
  close(db: number): Promise<number>
}

const ROW = 100
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

  async close(): Promise<void> {
    await this.api.close(this.db)
  }
}

/** What goes to the worker. */
export type WorkerRequest = { id: number } & (
  /** Answers with one row where it does not last: `volatile` says why. */
  | { kind: 'open'; name: string }
  | { kind: 'all'; sql: string; params: readonly SqlValue[] }
  | { kind: 'transaction'; statements: readonly Statement[] }
  | { kind: 'close' }
)

/** What comes back. */
export type WorkerReply = { id: number; value?: Record<string, SqlValue>[]; error?: string }

type Body = WorkerRequest extends infer Request ? (Request extends { id: number } ? Omit<Request, 'id'> : never) : never

/** A database in a worker: one message a statement list, not one a row. */
export class WorkerDriver implements SqlDriver {
  #next = 1
  #volatile: string | undefined
  /** It answers nothing any more: who asks is told at once. */
  #broken: Error | undefined
  #waiting = new Map<number, { resolve(value: Record<string, SqlValue>[]): void; reject(error: Error): void }>()

  private constructor(private readonly worker: Worker) {
    worker.onmessage = ({ data }: MessageEvent<WorkerReply>) => {
      const waiting = this.#waiting.get(data.id)
      this.#waiting.delete(data.id)
      if (data.error !== undefined) waiting?.reject(new Error(data.error))
      else waiting?.resolve(data.value ?? [])
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
      const [opened] = await within(OPEN_MS, driver.#ask({ kind: 'open', name }), () => new Error('the SQLite worker does not answer'))
      driver.#volatile = opened?.['volatile'] === undefined ? undefined : String(opened['volatile'])
      return driver
    } catch (error) {
      worker.terminate()
      throw error
    }
  }

  volatile(): string | undefined {
    return this.#volatile
  }

  all(sql: string, params: readonly SqlValue[] = []): Promise<Record<string, SqlValue>[]> {
    return this.#ask({ kind: 'all', sql, params })
  }

  async transaction(statements: readonly Statement[]): Promise<void> {
    await this.#ask({ kind: 'transaction', statements })
  }

  async close(): Promise<void> {
    await this.#ask({ kind: 'close' })
    this.worker.terminate()
  }

  #ask(request: Body): Promise<Record<string, SqlValue>[]> {
    return new Promise((resolve, reject) => {
      if (this.#broken) return reject(this.#broken)
      const id = this.#next++
      this.#waiting.set(id, { resolve, reject })
      this.worker.postMessage({ ...request, id })
    })
  }
}
