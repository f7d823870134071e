// A store that lives as long as the object: for tests, for servers that render, and for devices that may forget.
import type { Op } from '../engine/op'
import type { Row } from '../protocol/wire'
import type { Batch, Opened, Store } from './store'

/** Keeps everything in memory. Several clients may be opened on one after another, as on a file. */
export class MemoryStore implements Store {
  #tables = new Map<string, Map<string, Row>>()
  #meta = new Map<string, string>()
  #ops = new Map<number, Op>()

  async open(): Promise<Opened> {
    const ops = [...this.#ops.values()].sort((a, b) => a.seq - b.seq)
    return { meta: Object.fromEntries(this.#meta), ops: structuredClone(ops) }
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

  async count(table: string): Promise<number> {
    return this.#tables.get(table)?.size ?? 0
  }

  // Nothing in here waits, so nobody can see half of it.
  async commit(batch: Batch): Promise<void> {
    if (batch.reset) this.#tables.clear()
    for (const { table, key } of batch.drop ?? []) this.#tables.get(table)?.delete(key)
    for (const { table, key, row } of batch.put ?? []) {
      let rows = this.#tables.get(table)
      if (!rows) this.#tables.set(table, (rows = new Map()))
      rows.set(key, row)
    }
    for (const [name, value] of Object.entries(batch.meta ?? {})) {
      if (value === null) this.#meta.delete(name)
      else this.#meta.set(name, value)
    }
    for (const seq of batch.dropOps ?? []) this.#ops.delete(seq)
    for (const op of batch.putOps ?? []) this.#ops.set(op.seq, structuredClone(op))
  }

  async close(): Promise<void> {}

  async destroy(): Promise<void> {
    this.#tables.clear()
    this.#meta.clear()
    this.#ops.clear()
  }
}
