// The device's memory, as the engine sees it: a few reads, and one write that happens whole or not at all.
import type { Op } from '../engine/op'
import type { Row } from '../protocol/wire'

/** Names one row. */
export interface RowKey {
  table: string
  key: string
}

/** Everything that one step changes; a store writes all of it in one transaction. */
export interface Batch {
  /** Forget every row first. */
  reset?: boolean
  put?: (RowKey & { row: Row })[]
  drop?: RowKey[]
  /** `null` forgets the name. */
  meta?: Record<string, string | null>
  putOps?: Op[]
  /** By `seq`. */
  dropOps?: number[]
}

/** What is there when a store opens. */
export interface Opened {
  meta: Record<string, string>
  /** In order. */
  ops: Op[]
}

/** A place that keeps rows, cursor and outbox together. */
export interface Store {
  open(): Promise<Opened>
  /** The rows that exist under these keys. */
  get(table: string, keys: readonly string[]): Promise<Map<string, Row>>
  /** All rows of a table. */
  scan(table: string): Promise<[key: string, row: Row][]>
  commit(batch: Batch): Promise<void>
  /** How many rows a table has. */
  count(table: string): Promise<number>
  close(): Promise<void>
  /** Removes everything, for good. */
  destroy(): Promise<void>
}
