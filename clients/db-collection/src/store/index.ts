// Stores that last, by platform.
export type { SqlDriver, SqlValue, Statement } from './driver'
export { MemoryStore } from './memory'
export {
  expoSqlitePersistence,
  lazyStore,
  migrateClientStore,
  nodeSqlitePersistence,
  opSqlitePersistence,
  waSqliteMemoryPersistence,
  waSqlitePersistence,
  type ExpoSqlite,
  type OpSqlite,
  type SyncDatabase,
} from './persistence'
export { SqlStore } from './sql'
export type { Batch, Opened, RowKey, Store } from './store'
export type { WaApi } from './wa-sqlite'
export type { Expression, Order, Subset } from './subset'
