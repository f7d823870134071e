// A store that lives as long as the object: for tests, for servers that render, and for devices that may forget.
import type { Op } from '../engine/op'
import type { Row } from '../protocol/wire'
import { judged, matches } from './predicate'
import type { Batch, Opened, RowKey, Store } from './store'
import { firstOf, type Subset } from './subset'

/** Keeps everything in memory. Several clients may be opened on one after another, as on a file. */
export class MemoryStore implements Store {
  #tables = new Map<string, Map<string, Row>>()
  #meta = new Map<string, string>()
  #ops = new Map<number, Op>()
  #staged = new Map<string, Map<string, Row>>()

  async open(): Promise<Opened> {
    this.#staged.clear()
    const ops = [...this.#ops.values()].sort((a, b) => a.seq - b.seq)
    return { meta: Object.fromEntries(this.#meta), ops: copied(ops) }
  }

  async get(table: string, keys: readonly string[]): Promise<Map<string, Row>> {
    const rows = this.#tables.get(table)
    const found = new Map<string, Row>()
    for (const key of keys) {
      const row = rows?.get(key)
      if (row) found.set(key, row)
    }
    return found
  }

  async scan(table: string): Promise<[string, Row][]> {
    return [...(this.#tables.get(table) ?? [])]
  }

  async find(table: string, { where, orderBy, most }: Subset): Promise<[string, Row][]> {
    const rows = [...(this.#tables.get(table) ?? [])]
    if (!orderBy || most === undefined) return rows.filter(([, row]) => matches(where, row))
    const sure = rows.filter(([, row]) => judged(where, row) === 'yes').map((item) => ({ values: orderBy.map(({ column }) => item[1][column] ?? null), item }))
    // What may belong in takes nobody's place.
    const maybe = rows.filter(([, row]) => judged(where, row) === 'maybe')
    return [...firstOf(sure, orderBy, most).map(({ item }) => item), ...maybe]
  }

  async count(table: string): Promise<number> {
    return this.#tables.get(table)?.size ?? 0
  }

  // Nothing in here waits, so nobody can see half of it.
  async commit(batch: Batch): Promise<void> {
    if (batch.reset) this.#tables.clear()
    for (const { table, key } of batch.drop ?? []) this.#tables.get(table)?.delete(key)
    if (batch.staged === 'take') {
      for (const [table, rows] of this.#staged) put(this.#tables, [...rows].map(([key, row]) => ({ table, key, row })))
    }
    if (batch.staged) this.#staged.clear()
    put(this.#staged, batch.stage ?? [])
    put(this.#tables, batch.put ?? [])
    for (const [name, value] of Object.entries(batch.meta ?? {})) {
      if (value === null) this.#meta.delete(name)
      else this.#meta.set(name, value)
    }
    for (const seq of batch.dropOps ?? []) this.#ops.delete(seq)
    for (const op of batch.putOps ?? []) this.#ops.set(op.seq, copied(op))
  }

  async close(): Promise<void> {}

  async destroy(): Promise<void> {
    this.#tables.clear()
    this.#staged.clear()
    this.#meta.clear()
    this.#ops.clear()
  }
}

function put(into: Map<string, Map<string, Row>>, rows: readonly (RowKey & { row: Row })[]): void {
  for (const { table, key, row } of rows) {
    let of = into.get(table)
    if (!of) into.set(table, (of = new Map()))
    of.set(key, row)
  }
}

/** A copy, as a database would give back; an outbox is JSON. */
function copied<Value>(value: Value): Value {
  return JSON.parse(JSON.stringify(value)) as Value
}
