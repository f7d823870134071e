// What is stored already and shown later: the rows of pages whose snapshot is not complete yet.
import type { Row } from '../protocol/wire'
import type { Batch, RowKey } from '../store/store'

/** More changed rows than this of a table that nobody holds whole are not carried: who shows some of them reads again. */
const MANY = 5000

/** Rows by table and key; `undefined` for one that is gone. */
export class Unshown {
  #tables = new Map<string, Map<string, Row | undefined> | 'many'>()
  reset = false

  /** `whole` says of which tables somebody holds all rows: those changes are wanted, however many. */
  constructor(private readonly whole: ReadonlySet<string>) {}

  note({ reset = false, drop = [], put = [] }: Pick<Batch, 'reset' | 'drop' | 'put'>): void {
    if (reset) {
      this.#tables.clear()
      this.reset = true
    }
    // After a reset the tables are read anew: what is in them need not be kept here too.
    if (this.reset) return
    for (const { table, key } of drop) this.#set({ table, key }, undefined)
    for (const { table, key, row } of put) this.#set({ table, key }, row)
  }

  /** Takes over what a stream brought. */
  take(other: Unshown): void {
    if (this.reset) return
    for (const [table, rows] of other.#tables) {
      if (rows === 'many') this.#tables.set(table, rows)
      else for (const [key, row] of rows) this.#set({ table, key }, row)
    }
  }

  has(table: string, key: string): boolean {
    const rows = this.#tables.get(table)
    return rows === 'many' || (rows?.has(key) ?? false)
  }

  rows(): [table: string, rows: Map<string, Row | undefined>][] {
    return [...this.#tables].flatMap(([table, rows]) => (rows === 'many' ? [] : [[table, rows] as [string, Map<string, Row | undefined>]]))
  }

  /** The tables whose changes were too many. */
  many(): string[] {
    return [...this.#tables].flatMap(([table, rows]) => (rows === 'many' ? [table] : []))
  }

  #set({ table, key }: RowKey, row: Row | undefined): void {
    let rows = this.#tables.get(table)
    if (rows === 'many') return
    if (!rows) this.#tables.set(table, (rows = new Map()))
    rows.set(key, row)
    if (rows.size > MANY && !this.whole.has(table)) this.#tables.set(table, 'many')
  }
}
