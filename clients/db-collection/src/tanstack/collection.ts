// The TanStack DB adapter: rows from the engine in, writes to the engine out; nothing is decided here.
import type { CollectionConfig, LoadSubsetOptions, SyncConfig } from '@tanstack/db'
import type { NizhalClient } from '../client'
import { subscribeBucket } from '../demand'
import type { Effect } from '../engine/op'
import { completed, pendingOf, plain, timeText, type Pending } from '../mutators'
import { keyOf } from '../protocol/key'
import type { Json, Row } from '../protocol/wire'
import { Some, Whole, type Run } from './stage'

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
  /** One bucket of `syncRule`, a rule on demand: the collection is subscribed to it as long as it syncs. */
  params?: readonly Json[]
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
  /** As in TanStack DB. A limited query loads its first rows only where its order has an index; without one it loads all. */
  autoIndex?: 'off' | 'eager'
  /** The class for `autoIndex`, such as TanStack DB's `BTreeIndex`. */
  defaultIndexType?: CollectionConfig<T, string>['defaultIndexType']
  /**
   * How texts are compared where an order does not say; as the language does by default.
   * TanStack DB from 0.9 on pages through texts only with `{ stringSort: 'lexical' }`: of another order it loads all.
   */
  defaultStringCollation?: CollectionConfig<T, string>['defaultStringCollation']
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

  const sync: SyncConfig<T, string>['sync'] = (given) => {
    const run = given as unknown as Run<T>
    const leave = config.params ? subscribeBucket(client, config.syncRule ?? '', config.params).close : client.subscribe(config.syncRule)
    // A store that cannot be opened will never have rows.
    client.ready.catch((error: unknown) => given.markError?.(error))
    if (config.syncMode !== 'on-demand') {
      const whole = new Whole<T>(run)
      const stop = client.watch(table, ({ reset, changes }) => whole.take(reset, changes as { key: string; row: T | undefined }[]))
      return () => (stop(), leave())
    }
    const some = new Some<T>(run, client, table, config.defaultStringCollation)
    const stop = client.watchSome(table, ({ reread, changes }) => some.take(reread, changes as { key: string; row: T | undefined }[]))
    client.ready.then(() => run.markReady(), () => undefined)
    return { cleanup: () => (stop(), leave()), loadSubset: (options: LoadSubsetOptions) => some.load(options), unloadSubset: (options: LoadSubsetOptions) => some.unload(options) }
  }

  const write = async (call: Call | undefined, effects: Effect[], verb: string) => {
    if (!call) throw new Error(`collection ${table}: say which mutator ${verb} calls, with on${verb[0]!.toUpperCase()}${verb.slice(1)}`)
    const made = await client.mutate({ name: call.name, args: plain(call.args), effects })
    const pending: Pending = pendingOf(client, made)
    // The engine has staged the row before `mutate` resolved, so that TanStack lets go of its own copy without a flicker.
    if (config.writes === 'ack') await pending.confirmed
  }

  const now = () => timeText(client.environment.nowMs())
  return {
    id: config.id ?? `nizhal:${client.options.name ?? 'default'}:${table}`,
    getKey: key,
    syncMode: config.syncMode ?? 'eager',
    // A row as it is, never a patch: what is not in it is not there.
    sync: { sync, rowUpdateMode: 'full' },
    ...(config.gcTime !== undefined && { gcTime: config.gcTime }),
    ...(config.startSync !== undefined && { startSync: config.startSync }),
    ...(config.autoIndex !== undefined && { autoIndex: config.autoIndex }),
    ...(config.defaultIndexType !== undefined && { defaultIndexType: config.defaultIndexType }),
    ...(config.defaultStringCollation !== undefined && { defaultStringCollation: config.defaultStringCollation }),
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
    },
  } as unknown as CollectionConfig<T, string, never, NizhalCollectionUtils> & { utils: NizhalCollectionUtils }
}

interface Handled<T> {
  transaction: { mutations: { modified: T; original: T | object; changes: Partial<T> }[] }
}
