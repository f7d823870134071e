// What the client has to know of the server's tables: their keys, and the buckets that their rows are in.
import type { Json } from './wire'

/** One column, as the contract describes it. */
export interface ColumnSchema {
  name: string
  type?: string
  nullable?: boolean
  default?: Json
  /** Whether its values are references to blobs. */
  blob?: boolean
}

/** One synced table. */
export interface TableSchema {
  primaryKey: readonly string[]
  columns: readonly ColumnSchema[]
  buckets: readonly { rule: string; columns: readonly string[] }[]
}

/** The tables and mutators of one server; `nizhal gen ts` writes it, or it is read from `GET /nizhal/contract`. */
export interface Schema {
  /** The contract's version, sent as `x-nizhal-contract-version`. */
  version: string
  /** Changes whenever tables or mutators do; rows that were stored under another hash are fetched anew. */
  hash: string
  tables: Readonly<Record<string, TableSchema>>
  mutators?: readonly string[]
  /** The mutators whose results may change after they were answered. */
  replayed?: readonly string[]
  /** The rules whose buckets a device has only while somebody is subscribed to them, or was within this time. */
  onDemand?: Readonly<Record<string, { params: readonly { name: string; type?: string }[]; ttlSeconds: number }>>
}

/** Reads a contract document (OpenAPI 3.1 with `x-nizhal`). */
export function schemaOf(contract: unknown): Schema {
  const document = contract as {
    info?: { version?: string }
    'x-nizhal'?: {
      hash?: string
      tables?: Record<string, TableSchema>
      mutators?: Record<string, { replay?: object }>
      rules?: Record<string, { params: { name: string; type?: string }[]; onDemand?: { ttlSeconds: number } }>
    }
  }
  const described = document?.['x-nizhal']
  if (!described?.tables || !described.hash) {
    throw new TypeError('this is no Nizhal contract: it has no x-nizhal part; ask the server at /nizhal/contract')
  }
  const tables: Record<string, TableSchema> = {}
  for (const [name, { primaryKey, columns, buckets }] of Object.entries(described.tables)) {
    tables[name] = { primaryKey, columns, buckets }
  }
  const mutators = Object.keys(described.mutators ?? {})
  const replayed = mutators.filter((name) => described.mutators![name]?.replay)
  const onDemand = Object.fromEntries(Object.entries(described.rules ?? {}).flatMap(([name, { params, onDemand }]) => (onDemand ? [[name, { params, ...onDemand }]] : [])))
  return { version: document.info?.version ?? '0.0.0', hash: described.hash, tables, mutators, replayed, onDemand }
}
