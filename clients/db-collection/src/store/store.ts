// The device's memory, as the engine sees it: a few reads, and one write that happens whole or not at all.
import type { Op } from '../engine/op'
import type { Schema } from '../protocol/schema'
import type { Row } from '../protocol/wire'
import type { Subset } from './subset'

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
  /** Rows of a pull that is still under way: kept beside the others until `staged` says what becomes of them. */
  stage?: (RowKey & { row: Row })[]
  /** `take`: after `reset` and `drop`, what was staged is put. `forget`: it is thrown away, before `stage`. */
  staged?: 'take' | 'forget'
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
  /** Why what is kept here is gone when the page is, in a store that was meant to last. */
  volatile?: string
}

/** Where files are fetched that a pull names. */
export interface FileSource {
  server: string
  /** The page's own when left out. */
  fetch?: typeof fetch | undefined
  timeoutMs: number
}

/** What images are staged by. */
export interface Staging {
  schema: Schema
  /** The epoch of the answer that names them. */
  epoch: string
  source: FileSource
  /** Runs one step of it alone; throws when the answer is no longer awaited. */
  step<Value>(run: () => Promise<Value>): Promise<Value>
}

/**
 * Fetches images and stages their rows, under those that are staged already. False: one of them cannot be had or read here, and the rows
 * are to be asked for. Rejects when it may go well another time; what came of the files by then is gone on with.
 */
export type StageImages = (images: readonly unknown[], staging: Staging) => Promise<boolean>

/** A place that keeps rows, cursor and outbox together. */
export interface Store {
  open(): Promise<Opened>
  /** The rows that exist under these keys. */
  get(table: string, keys: readonly string[]): Promise<Map<string, Row>>
  /** All rows of a table. */
  scan(table: string): Promise<[key: string, row: Row][]>
  /** The rows that may belong to a subset, in no order: never too few, and of a limited one little more than it asks for. */
  find(table: string, subset: Subset): Promise<[key: string, row: Row][]>
  commit(batch: Batch): Promise<void>
  /** How many rows a table has. */
  count(table: string): Promise<number>
  /** How images are staged, where the store can take them; asked when it is open. */
  images?(): StageImages | undefined
  close(): Promise<void>
  /** Removes everything, for good. */
  destroy(): Promise<void>
}
