// The store on SQLite: four tables, bulk writes by `json_each`, one transaction a batch.
import type { Op } from '../engine/op'
import type { Row } from '../protocol/wire'
import type { SqlDriver, SqlValue, Statement } from './driver'
import { judged, matches } from './predicate'
import type { Batch, Opened, RowKey, Store } from './store'
import { First, type Subset } from './subset'
import { extractOf, whereOf } from './where'

const rowTable = (name: string): Statement => ({
  // Rows are small and read by table: clustered by key, a scan is one range.
  sql: `create table if not exists ${name} (tbl text, key text, row text not null, primary key (tbl, key)) without rowid`,
})

const TABLES: Statement[] = [
  { sql: 'create table if not exists nizhal_meta (name text primary key, value text not null) without rowid' },
  { sql: 'create table if not exists nizhal_ops (seq integer primary key, op text not null)' },
  rowTable('nizhal_rows'),
  rowTable('nizhal_staged'),
]

/** Rows in one statement: a bound text of a few MB at most, whatever the page's size. */
const CHUNK = 2000
/** Rows that a search holds at a time. */
const LOOK = 4000

/** Keeps everything in one SQLite database. */
export class SqlStore implements Store {
  constructor(private readonly driver: SqlDriver) {}

  async open(): Promise<Opened> {
    // What a pull had brought when the device died is brought again.
    await this.driver.transaction([...TABLES, { sql: 'delete from nizhal_staged' }])
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

  async find(table: string, { where, orderBy, most }: Subset): Promise<[string, Row][]> {
    const { sql, params, exact } = whereOf(where)
    if (!orderBy || most === undefined) {
      const found: [string, Row][] = []
      await this.#look(table, 'row', [], sql, params, (key, { row }) => {
        const parsed = JSON.parse(String(row)) as Row
        if (exact || matches(where, parsed)) found.push([key, parsed])
      })
      return found
    }
    // Only keys and the columns of the order leave the database, as long as SQL can tell by itself which rows match.
    const columns = orderBy.map(({ column }) => extractOf(column))
    const names = columns.map(({ sql }, at) => `${sql} as s${at}`).join(', ') + (exact ? '' : ', row')
    const first = new First<string>(orderBy, most)
    await this.#look(table, names, columns.flatMap(({ params }) => params), sql, params, (key, found) => {
      const is = exact ? 'yes' : judged(where, JSON.parse(String(found['row'])) as Row)
      if (is === 'yes') first.add(orderBy.map((_, at) => found[`s${at}`] ?? null), key)
      else if (is === 'maybe') first.addMaybe(key)
    })
    return [...(await this.get(table, first.items()))]
  }

  /** Goes through the rows of a table in the order of their keys, a bounded number at a time. */
  async #look(table: string, columns: string, bound: SqlValue[], where: string, params: SqlValue[], see: (key: string, found: Record<string, SqlValue>) => void): Promise<void> {
    const sql = `select key, ${columns} from nizhal_rows where tbl = ? and key > ? and ${where} order by key limit ${LOOK}`
    for (let after = ''; ; ) {
      const found = await this.driver.all(sql, [...bound, table, after, ...params])
      for (const row of found) see(String(row['key']), row)
      if (found.length < LOOK) return
      after = String(found.at(-1)!['key'])
    }
  }

  async count(table: string): Promise<number> {
    const [found] = await this.driver.all('select count(*) as n from nizhal_rows where tbl = ?', [table])
    return Number(found?.['n'] ?? 0)
  }

  async commit(batch: Batch): Promise<void> {
    const statements: Statement[] = []
    // A whole snapshot takes the place of the rows by its name: nothing is copied.
    const swaps = batch.reset && batch.staged === 'take'
    if (swaps) statements.push({ sql: 'drop table nizhal_rows' }, { sql: 'alter table nizhal_staged rename to nizhal_rows' }, rowTable('nizhal_staged'))
    else if (batch.reset) statements.push({ sql: 'delete from nizhal_rows' })
    // After a reset there is nothing to drop.
    for (const [table, keys] of batch.reset ? [] : grouped(batch.drop ?? [], ({ key }) => key)) {
      const sql = 'delete from nizhal_rows where tbl = ? and key in (select value from json_each(?))'
      statements.push({ sql, params: [table, JSON.stringify(keys)] })
    }
    if (batch.staged === 'take' && !swaps) statements.push({ sql: 'insert or replace into nizhal_rows select tbl, key, row from nizhal_staged' })
    if (batch.staged && !swaps) statements.push({ sql: 'delete from nizhal_staged' })
    statements.push(...puts('nizhal_staged', batch.stage ?? []), ...puts('nizhal_rows', batch.put ?? []))
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
    const all = ['nizhal_rows', 'nizhal_staged', 'nizhal_meta', 'nizhal_ops'].map((table) => ({ sql: `delete from ${table}` }))
    await this.driver.transaction(all)
    await this.driver.close()
    await this.driver.destroy?.()
  }
}

function puts(into: string, items: readonly (RowKey & { row: Row })[]): Statement[] {
  const statements: Statement[] = []
  for (const [table, pairs] of grouped(items, ({ key, row }) => [key, row] as const)) {
    for (let at = 0; at < pairs.length; at += CHUNK) {
      // `where true`: without it SQLite reads `on` as part of the join.
      const sql =
        `insert into ${into} (tbl, key, row) select ?, json_extract(value, '$[0]'), json_extract(value, '$[1]') ` +
        'from json_each(?) where true on conflict (tbl, key) do update set row = excluded.row'
      statements.push({ sql, params: [table, JSON.stringify(pairs.slice(at, at + CHUNK))] })
    }
  }
  return statements
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
