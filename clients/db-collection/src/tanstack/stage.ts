// What of the engine's rows is in a collection: all of a table, or what queries have asked for.
import type { LoadSubsetOptions } from '@tanstack/db'
import type { NizhalClient } from '../client'
import type { Row } from '../protocol/wire'
import { matches } from '../store/predicate'
import type { Subset } from '../store/subset'
import { subsetOf, type Collation } from './subset'

/** The part of the sync contract that every version in the peer range has. */
export interface Run<T> {
  begin(): void
  write(message: { type: 'update'; value: T } | { type: 'delete'; key: string }): void
  commit(): unknown
  truncate(): void
  markReady(): void
}

interface Change<T> {
  key: string
  row: T | undefined
}

/** Writes a table's rows into a collection. */
export class Whole<T extends object> {
  #ready = false

  constructor(private readonly run: Run<T>) {}

  take(reset: boolean, changes: readonly Change<T>[]): void {
    const { run } = this
    run.begin()
    // Also at the start: a persistence around the collection may have brought rows that are gone since.
    if (reset) run.truncate()
    for (const { key, row } of changes) write(run, key, row)
    // Never awaited: while a handler is open the commit waits for it, and the handler may wait for us.
    run.commit()
    if (this.#ready) return
    this.#ready = true
    run.markReady()
  }
}

/** Writes the rows that queries ask for, and keeps those up to date. */
export class Some<T extends object> {
  /** What is in the collection. A row is as it was written, for telling later who wants it. */
  #written = new Map<string, T>()
  #subsets = new Map<LoadSubsetOptions, Subset>()

  constructor(
    private readonly run: Run<T>,
    private readonly client: NizhalClient,
    private readonly table: string,
    private readonly collation?: Collation,
  ) {}

  take(reread: boolean, changes: readonly Change<T>[]): void {
    if (reread) return void this.#read([...this.#subsets.values()], [...this.#written.keys()]).catch(() => undefined)
    const wanted = changes.filter(({ key, row }) => this.#written.has(key) || (row && this.#isWanted(row)))
    if (wanted.length === 0) return
    this.run.begin()
    for (const { key, row } of wanted) this.#write(key, row)
    this.run.commit()
  }

  /** Resolves when the rows are in the collection. */
  load(options: LoadSubsetOptions): Promise<void> {
    const subset = subsetOf(options, this.collation)
    // From now on, changes to its rows are taken: what comes before the answer is in the answer.
    this.#subsets.set(options, subset)
    const isCurrent = () => this.#subsets.has(options) && !options.signal?.aborted
    return this.#read([subset], [], isCurrent)
  }

  /** Lets go of the rows that only this subset had asked for. */
  unload(options: LoadSubsetOptions): void {
    if (!this.#subsets.delete(options)) return
    const unwanted = [...this.#written].filter(([, row]) => !this.#isWanted(row)).map(([key]) => key)
    if (unwanted.length === 0) return
    this.run.begin()
    for (const key of unwanted) this.#write(key, undefined)
    this.run.commit()
  }

  async #read(subsets: readonly Subset[], keys: readonly string[], isCurrent = () => true): Promise<void> {
    let shown: unknown
    await this.client.find(this.table, { subsets, keys }, (rows) => {
      if (!isCurrent()) return
      this.run.begin()
      for (const [key, row] of rows) if (!this.#written.has(key) || keys.length > 0) this.#write(key, row as T)
      for (const key of keys) if (!rows.has(key)) this.#write(key, undefined)
      shown = this.run.commit()
    })
    await shown
  }

  #write(key: string, row: T | undefined): void {
    if (row) this.#written.set(key, row)
    else this.#written.delete(key)
    write(this.run, key, row)
  }

  #isWanted(row: T): boolean {
    for (const { where } of this.#subsets.values()) if (matches(where, row as Row)) return true
    return false
  }
}

function write<T extends object>(run: Run<T>, key: string, row: T | undefined): void {
  // An update in any case: on an unknown key it makes the row, where an insert on a known one throws.
  // And a fresh object: TanStack forbids to write one that was written and changed since.
  run.write(row ? { type: 'update', value: { ...row } } : { type: 'delete', key })
}
