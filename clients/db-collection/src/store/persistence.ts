// Stores by the platform they run on. Each opens its database when the engine opens the store, which only a leader does.
import { nodeFiles, unpacks } from '../platform'
import type { ImageFiles, SqlDriver, SqlValue, Statement } from './driver'
import { FolderImages, NodeFolder } from './image-files'
import { textOfCell } from './image-sql'
import { SqlStore } from './sql'
import type { Store } from './store'
import { WaDatabase, WorkerDriver, type WaApi } from './wa-sqlite'

/** A store whose driver is opened with it. */
export function lazyStore(open: () => Promise<SqlDriver>): Store {
  let opening: Promise<SqlDriver> | undefined
  let opened: SqlDriver | undefined
  const driver = async () => (opened = await (opening ??= open()))
  const sql = new SqlStore({
    volatile: () => opened?.volatile?.(),
    files: () => opened?.files?.(),
    all: async (text, params) => (await driver()).all(text, params),
    transaction: async (statements) => (await driver()).transaction(statements),
    close: async () => {
      const last = opening
      opening = undefined
      await (await last)?.close()
    },
  })
  return sql
}

/**
 * Browsers: wa-sqlite on OPFS, in a worker that the app's bundler makes from `@nizhal/db-collection/store/wa-worker`.
 *
 * Where the page has no private file system (plain http, some private windows), it is kept in memory, and `status.volatile` says why.
 */
export function waSqlitePersistence(options: { name: string; worker: () => Worker }): Store {
  return lazyStore(() => WorkerDriver.open(options.worker(), options.name))
}

/** wa-sqlite in this thread, in memory: tests, and pages that may forget. */
export function waSqliteMemoryPersistence(api: WaApi, name = ':memory:'): Store {
  return lazyStore(() => WaDatabase.open(api, name))
}

/** The shape of `node:sqlite`'s `DatabaseSync` and of `better-sqlite3`'s `Database`. */
export interface SyncDatabase {
  exec(sql: string): unknown
  // Their types disagree on what may be bound, so that nothing narrower takes both.
  prepare(sql: string): { all(...params: any[]): unknown[]; run(...params: any[]): unknown }
  function?(name: string, options: { deterministic: boolean }, of: (...values: any[]) => any): unknown
  close(): unknown
}

/**
 * Node: a `DatabaseSync` of `node:sqlite` or a `Database` of `better-sqlite3`.
 *
 * First syncs come by images, which are kept in a folder beside the database's file while they are fetched, in a Node that unpacks them.
 */
export function nodeSqlitePersistence(open: () => SyncDatabase | Promise<SyncDatabase>): Store {
  return lazyStore(async () => {
    const db = await open()
    // Held from the first write to the end: a second process is told at once, not after it pushed the same outbox.
    db.exec('pragma locking_mode = exclusive')
    db.exec('pragma journal_mode = wal')
    return syncDriver(db, imagesBeside(db))
  })
}

/** Where images go, for a database in a file, in a Node that has all that they need. */
function imagesBeside(db: SyncDatabase): ImageFiles | undefined {
  const [main] = db.prepare('pragma database_list').all() as { file: string }[]
  const fs = nodeFiles()
  if (!main?.file || !fs || !unpacks() || !db.function) return undefined
  db.function('nizhal_text', { deterministic: true }, textOfCell)
  return new FolderImages(new NodeFolder(fs, `${main.file}-images`))
}

function syncDriver(db: SyncDatabase, files: ImageFiles | undefined): SqlDriver {
  const bound = (params: readonly SqlValue[] = []) => [...params]
  return {
    all: async (sql, params) => db.prepare(sql).all(...bound(params)) as Record<string, SqlValue>[],
    async transaction(statements) {
      db.exec('begin immediate')
      try {
        for (const { sql, params } of statements) db.prepare(sql).run(...bound(params))
        db.exec('commit')
      } catch (error) {
        try {
          db.exec('rollback')
        } catch {
          // Rolled back already.
        }
        throw error
      }
    },
    files: () => files,
    close: async () => void db.close(),
  }
}

/** The shape of an op-sqlite connection. */
export interface OpSqlite {
  execute(sql: string, params?: SqlValue[]): Promise<{ rows?: Record<string, unknown>[] | { _array?: Record<string, unknown>[] } }>
  executeBatch(commands: [string, SqlValue[]][]): Promise<unknown>
  close(): unknown
}

/** React Native with `@op-engineering/op-sqlite`. */
export function opSqlitePersistence(open: () => OpSqlite | Promise<OpSqlite>): Store {
  return lazyStore(async () => {
    const db = await open()
    return {
      async all(sql, params = []) {
        const { rows } = await db.execute(sql, [...params])
        return (Array.isArray(rows) ? rows : (rows?._array ?? [])) as Record<string, SqlValue>[]
      },
      // The library runs a batch in one transaction.
      transaction: async (statements) => void (await db.executeBatch(statements.map(({ sql, params = [] }) => [sql, [...params]]))),
      close: async () => void db.close(),
    }
  })
}

/** The shape of an expo-sqlite database. */
export interface ExpoSqlite {
  getAllAsync(sql: string, params: SqlValue[]): Promise<unknown[]>
  withExclusiveTransactionAsync(task: (tx: { runAsync(sql: string, params: SqlValue[]): Promise<unknown> }) => Promise<void>): Promise<void>
  closeAsync(): Promise<void>
}

/** React Native with `expo-sqlite`. */
export function expoSqlitePersistence(open: () => ExpoSqlite | Promise<ExpoSqlite>): Store {
  return lazyStore(async () => {
    const db = await open()
    return {
      all: async (sql, params = []) => (await db.getAllAsync(sql, [...params])) as Record<string, SqlValue>[],
      transaction: (statements: readonly Statement[]) =>
        db.withExclusiveTransactionAsync(async (tx) => {
          for (const { sql, params = [] } of statements) await tx.runAsync(sql, [...params])
        }),
      close: () => db.closeAsync(),
    }
  })
}

/** Copies everything from one store into an empty one, for example from memory to OPFS; refuses to mix two devices. */
export async function migrateClientStore(from: Store, to: Store, tables: readonly string[]): Promise<void> {
  const [source, target] = [await from.open(), await to.open()]
  if (target.meta['clientID'] !== undefined) throw new Error('the target store is in use already: migrate into an empty one')
  for (const table of tables) {
    const rows = await from.scan(table)
    for (let at = 0; at < rows.length; at += 5000) {
      await to.commit({ put: rows.slice(at, at + 5000).map(([key, row]) => ({ table, key, row })) })
    }
  }
  // Last: until its identity is there, the target counts as empty and the copy is begun again.
  await to.commit({ meta: source.meta, putOps: source.ops })
}
