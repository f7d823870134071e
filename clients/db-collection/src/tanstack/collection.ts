// The TanStack DB adapter: rows from the engine in, writes to the engine out; nothing is decided here.
import type { CollectionConfig, LoadSubsetOptions, SyncConfig } from '@tanstack/db'
import type { NizhalClient } from '../client'
import type { Effect } from '../engine/op'
import { completed, pendingOf, plain, type Pending } from '../mutators'
import { keyOf } from '../protocol/schema'
import type { Row } from '../protocol/wire'
import { matches } from './predicate'

/** A mutator call. */
export interface Call {
  name: string
  args: object
}

/** What `nizhalCollectionOptions` takes. */
export interface NizhalCollectionConfig<T extends object> {
  client: NizhalClient
  /** The synced table. */
  name: string
  /** The sync rule to hear of; all that the actor holds when left out. */
  syncRule?: string
  id?: string
  /** `on-demand` loads the rows that queries ask for; `eager`, the default, all of the table. */
  syncMode?: 'eager' | 'on-demand'
  /** Which mutator a plain `collection.insert(row)` calls; without one it throws. */
  onInsert?: (row: T) => Call
  onUpdate?: (row: T, changes: Partial<T>) => Call
  onDelete?: (row: T) => Call
  /** `local`: a write is done when it is on the device's disk. `ack`: when the server applied it. */
  writes?: 'local' | 'ack'
  gcTime?: number
  startSync?: boolean
}

/** What the collection's `utils` offer. */
export interface NizhalCollectionUtils extends Record<string, (...args: never[]) => unknown> {
  /** Writes to this table whose answer is still to come; `$hasPendingWrites` says nothing of the server. */
  pendingCount: () => number
  /** Resolves when every write made until now is answered and shown. */
  awaitWrites: () => Promise<void>
  pull: () => Promise<void>
}

/** The options of a collection over one synced table, for `createCollection`. */
export function nizhalCollectionOptions<T extends object>(config: NizhalCollectionConfig<T>): CollectionConfig<T, string, never, NizhalCollectionUtils> & { utils: NizhalCollectionUtils } {
  const { client, name: table } = config
  const key = (row: T) => keyOf(client.schema?.tables[table], row as unknown as Row)
  let stage: Stage<T> | undefined

  const sync: SyncConfig<T, string>['sync'] = (run) => {
    const mine = new Stage<T>(run as unknown as Run<T>, config.syncMode === 'on-demand')
    stage = mine
    const leave = client.subscribe(config.syncRule)
    const stop = client.watch(table, ({ reset, changes }) => mine.take(reset, changes as Change<T>[]))
    // A store that cannot be opened will never have rows.
    client.ready.catch((error: unknown) => run.markError?.(error))
    const cleanup = () => {
      stop()
      leave()
    }
    if (config.syncMode !== 'on-demand') return cleanup
    return { cleanup, loadSubset: (options: LoadSubsetOptions) => mine.load(options), unloadSubset: (options: LoadSubsetOptions) => mine.unload(options) }
  }

  const write = async (call: Call | undefined, effects: Effect[], verb: string) => {
    if (!call) throw new Error(`collection ${table}: say which mutator ${verb} calls, with on${verb[0]!.toUpperCase()}${verb.slice(1)}`)
    const made = await client.mutate({ name: call.name, args: plain(call.args), effects })
    const pending: Pending = pendingOf(client, made)
    // The engine has staged the row before `mutate` resolved, so that TanStack lets go of its own copy without a flicker.
    if (config.writes === 'ack') await pending.confirmed
  }

  const now = () => new Date(client.environment.nowMs()).toISOString()
  return {
    id: config.id ?? `nizhal:${client.options.name ?? 'default'}:${table}`,
    getKey: key,
    syncMode: config.syncMode ?? 'eager',
    // A row as it is, never a patch: what is not in it is not there.
    sync: { sync, rowUpdateMode: 'full' },
    ...(config.gcTime !== undefined && { gcTime: config.gcTime }),
    ...(config.startSync !== undefined && { startSync: config.startSync }),
    onInsert: async ({ transaction }: Handled<T>) => {
      for (const { modified } of transaction.mutations) {
        const row = completed(client.schema, table, plain(modified, table) as Row, now())
        await write(config.onInsert?.(modified), [{ table, key: key(modified), kind: 'insert', row }], 'insert')
      }
    },
    onUpdate: async ({ transaction }: Handled<T>) => {
      for (const { modified, changes } of transaction.mutations) {
        await write(config.onUpdate?.(modified, changes), [{ table, key: key(modified), kind: 'update', patch: plain({ updated_at: now(), ...changes }, table) as Row }], 'update')
      }
    },
    onDelete: async ({ transaction }: Handled<T>) => {
      for (const { original } of transaction.mutations) await write(config.onDelete?.(original as T), [{ table, key: key(original as T), kind: 'delete' }], 'delete')
    },
    utils: {
      pendingCount: () => client.writes.filter(({ state, rows }) => state === 'pending' && rows.some((row) => row.table === table)).length,
      awaitWrites: async () => {
        await Promise.allSettled(client.writes.filter(({ state }) => state !== 'rejected').map(({ id }) => client.confirmed(id)))
      },
      pull: () => client.pull(),
      loadedCount: () => stage?.size ?? 0,
    },
  } as unknown as CollectionConfig<T, string, never, NizhalCollectionUtils> & { utils: NizhalCollectionUtils }
}

interface Handled<T> {
  transaction: { mutations: { modified: T; original: T | object; changes: Partial<T> }[] }
}

interface Change<T> {
  key: string
  row: T | undefined
}

/** The part of the sync contract that every version in the peer range has. */
interface Run<T> {
  begin(): void
  write(message: { type: 'update'; value: T } | { type: 'delete'; key: string }): void
  commit(): unknown
  truncate(): void
  markReady(): void
}

/** What of the engine's rows is in the collection. */
class Stage<T extends object> {
  /** All rows of the table, for on-demand queries to choose from. */
  #rows = new Map<string, T>()
  #written = new Set<string>()
  #subsets: LoadSubsetOptions[] = []
  #arrived: () => void = () => undefined
  #first = new Promise<void>((resolve) => (this.#arrived = resolve))
  #ready = false

  constructor(
    private readonly run: Run<T>,
    private readonly onDemand: boolean,
  ) {}

  get size(): number {
    return this.#written.size
  }

  take(reset: boolean, changes: Change<T>[]): void {
    const { run } = this
    run.begin()
    if (reset) {
      // Not before the first rows: there is nothing to take away.
      if (this.#ready) run.truncate()
      this.#rows.clear()
      this.#written.clear()
    }
    for (const { key, row } of changes) {
      if (this.onDemand) {
        if (row) this.#rows.set(key, row)
        else this.#rows.delete(key)
      }
      if (row && (!this.onDemand || this.#written.has(key) || this.#wanted(row))) this.#put(key, row)
      else if (!row && this.#written.delete(key)) run.write({ type: 'delete', key })
    }
    // Never awaited: while a handler is open the commit waits for it, and the handler may wait for us.
    run.commit()
    if (!this.#ready) {
      this.#ready = true
      run.markReady()
    }
    this.#arrived()
  }

  load(options: LoadSubsetOptions): true | Promise<void> {
    this.#subsets.push(options)
    const load = () => {
      this.run.begin()
      for (const [key, row] of this.#rows) if (!this.#written.has(key) && matches(options.where, row as Row)) this.#put(key, row)
      this.run.commit()
    }
    if (!this.#ready) return this.#first.then(load)
    load()
    return true
  }

  unload(options: LoadSubsetOptions): void {
    this.#subsets = this.#subsets.filter((one) => one !== options)
  }

  /** An update in any case: on an unknown key it makes the row, where an insert on a known one throws. */
  #put(key: string, row: T): void {
    this.#written.add(key)
    // A fresh object: TanStack forbids to write one that was written and changed since.
    this.run.write({ type: 'update', value: { ...row } })
  }

  #wanted(row: T): boolean {
    return this.#subsets.some(({ where }) => matches(where, row as Row))
  }
}

