// The store on SQLite: three tables, bulk writes by `json_each`, one transaction a batch.
import type { Op } from '../engine/op'
import type { Row } from '../protocol/wire'
import type { SqlDriver, Statement } from './driver'
import type { Batch, Opened, Store } from './store'

const TABLES: Statement[] = [
  { sql: 'create table if not exists nizhal_meta (name text primary key, value text not null) without rowid' },
  { sql: 'create table if not exists nizhal_ops (seq integer primary key, op text not null)' },
  // Rows are small and read by table: clustered by key, a scan is one range.
  { sql: 'create table if not exists nizhal_rows (tbl text, key text, row text not null, primary key (tbl, key)) without rowid' },
]

/** Rows in one statement: a bound text of a few MB at most, whatever the page's size. */
const CHUNK = 2000

/** Keeps everything in one SQLite database. */
export class SqlStore implements Store {
  constructor(private readonly driver: SqlDriver) {}

  async open(): Promise<Opened> {
    await this.driver.transaction(TABLES)
    const meta: Record<string, string> = {}
    for (const { name, value } of await this.driver.all('select name, value from nizhal_meta')) meta[String(name)] = String(value)
    const ops = await this.driver.all('select op from nizhal_ops order by seq')
    return { meta, ops: ops.map(({ op }) => JSON.parse(String(op)) as Op) }
  }

  async get(table: string, keys: readonly string[]): Promise<Map<string, Row>> {
    const sql = 'select key, row from nizhal_rows where tbl = ? and key in (select value from json_each(?))'
    return new Map(rows(await this.driver.all(sql, [table, JSON.stringify(keys)])))
  }

  async scan(table: string): Promise<[string, Row][]> {
    return rows(await this.driver.all('select key, row from nizhal_rows where tbl = ?', [table]))
  }

  async count(table: string): Promise<number> {
    const [found] = await this.driver.all('select count(*) as n from nizhal_rows where tbl = ?', [table])
    return Number(found?.['n'] ?? 0)
  }

  async commit(batch: Batch): Promise<void> {
    const statements: Statement[] = []
    if (batch.reset) statements.push({ sql: 'delete from nizhal_rows' })
    for (const [table, keys] of grouped(batch.drop ?? [], ({ key }) => key)) {
      const sql = 'delete from nizhal_rows where tbl = ? and key in (select value from json_each(?))'
      statements.push({ sql, params: [table, JSON.stringify(keys)] })
    }
    for (const [table, pairs] of grouped(batch.put ?? [], ({ key, row }) => [key, row] as const)) {
      for (let at = 0; at < pairs.length; at += CHUNK) {
        // `where true`: without it SQLite reads `on` as part of the join.
        const sql =
          "insert into nizhal_rows (tbl, key, row) select ?, json_extract(value, '$[0]'), json_extract(value, '$[1]') " +
          'from json_each(?) where true on conflict (tbl, key) do update set row = excluded.row'
        statements.push({ sql, params: [table, JSON.stringify(pairs.slice(at, at + CHUNK))] })
      }
    }
    if (batch.meta) {
      // Two statements however many names: each is prepared anew.
      const meta = [JSON.stringify(batch.meta)]
      statements.push({ sql: "delete from nizhal_meta where name in (select key from json_each(?) where type = 'null')", params: meta })
      statements.push({ sql: "insert or replace into nizhal_meta (name, value) select key, value from json_each(?) where type <> 'null'", params: meta })
    }
    if (batch.dropOps?.length) {
      const sql = 'delete from nizhal_ops where seq in (select value from json_each(?))'
      statements.push({ sql, params: [JSON.stringify(batch.dropOps)] })
    }
    if (batch.putOps?.length) {
      const sql =
        "insert or replace into nizhal_ops (seq, op) select json_extract(value, '$.seq'), value from json_each(?)"
      statements.push({ sql, params: [JSON.stringify(batch.putOps)] })
    }
    if (statements.length > 0) await this.driver.transaction(statements)
  }

  async close(): Promise<void> {
    await this.driver.close()
  }

  async destroy(): Promise<void> {
    const all = ['nizhal_rows', 'nizhal_meta', 'nizhal_ops'].map((table) => ({ sql: `delete from ${table}` }))
    await this.driver.transaction(all)
    await this.driver.close()
    await this.driver.destroy?.()
  }
}

function rows(found: Record<string, unknown>[]): [string, Row][] {
  return found.map(({ key, row }) => [String(key), JSON.parse(String(row)) as Row])
}

function grouped<Item extends { table: string }, Value>(items: readonly Item[], of: (item: Item) => Value): Map<string, Value[]> {
  const groups = new Map<string, Value[]>()
  for (const item of items) {
    const group = groups.get(item.table)
    if (group) group.push(of(item))
    else groups.set(item.table, [of(item)])
  }
  return groups
}
