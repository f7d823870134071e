// The store on SQLite: four tables, bulk writes by `json_each`, one transaction a batch.
import type { Op } from '../engine/op'
import { report } from '../platform'
import type { Json, Row } from '../protocol/wire'
import type { SqlDriver, SqlValue, Statement } from './driver'
import { First } from './first'
import { imagesOf } from './image'
import { judged, matches } from './predicate'
import type { Batch, Opened, RowKey, StageImages, Store } from './store'
import type { Subset } from './subset'
import { extractOf, whereOf, type Piece } from './where'

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

/** In place of a row that cannot be written; no JSON of a row looks so. */
const UNSPEAKABLE = ''

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
    const ops = await this.driver.all('select seq, op from nizhal_ops order by seq')
    // A first sync that was cut goes on with the files that it has; whoever has rows needs none.
    if (meta['cursor']) await this.driver.files?.()?.clean([])
    const volatile = this.driver.volatile?.()
    return { meta, ops: ops.flatMap(({ seq, op }) => parsed<Op>(op, `write ${seq}`) ?? []), ...(volatile !== undefined && { volatile }) }
  }

  async get(table: string, keys: readonly string[]): Promise<Map<string, Row>> {
    const sql = 'select key, row from nizhal_rows where tbl = ? and key in (select value from json_each(?))'
    return new Map(rows(await this.driver.all(sql, [table, JSON.stringify(keys)])))
  }

  async scan(table: string): Promise<[string, Row][]> {
    return rows(await this.driver.all('select key, row from nizhal_rows where tbl = ?', [table]))
  }

  async find(table: string, subset: Subset): Promise<[string, Row][]> {
    const condition = whereOf(subset.where)
    try {
      return await this.#found(table, subset, condition, condition.exact)
    } catch {
      // A value that SQL cannot read, in one row, must not make the others unreadable: each is looked at outside.
      return this.#found(table, subset, { sql: '1', params: [] }, false, true)
    }
  }

  async #found(table: string, { where, orderBy, most }: Subset, { sql, params }: Piece, exact: boolean, outside = false): Promise<[string, Row][]> {
    if (!orderBy || most === undefined) {
      const found: [string, Row][] = []
      await this.#look(table, 'row', [], sql, params, (key, { row }) => {
        const read = parsed<Row>(row, `row ${key} of ${table}`)
        if (read && (exact || matches(where, read))) found.push([key, read])
      })
      return found
    }
    // Only keys and the columns of the order leave the database, as long as SQL can tell by itself which rows match.
    const columns = outside ? [] : orderBy.map(({ column }) => extractOf(column))
    const names = [...columns.map(({ sql }, at) => `${sql} as s${at}`), ...(exact ? [] : ['row'])].join(', ')
    const first = new First<string>(orderBy, most)
    await this.#look(table, names, columns.flatMap(({ params }) => params), sql, params, (key, found) => {
      const row = exact ? undefined : parsed<Row>(found['row'], `row ${key} of ${table}`)
      if (!exact && !row) return
      const is = row ? judged(where, row) : 'yes'
      const values = orderBy.map(({ column }, at): Json => (outside ? (row![column] ?? null) : (found[`s${at}`] ?? null)))
      if (is === 'yes') first.add(values, key)
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

  images(): StageImages | undefined {
    const files = this.driver.files?.()
    return files && imagesOf(this.driver, files)
  }

  async close(): Promise<void> {
    await this.driver.close()
  }

  async destroy(): Promise<void> {
    const all = ['nizhal_rows', 'nizhal_staged', 'nizhal_meta', 'nizhal_ops'].map((table) => ({ sql: `delete from ${table}` }))
    await this.driver.transaction(all)
    await this.driver.files?.()?.clean([])
    await this.driver.close()
    await this.driver.destroy?.()
  }
}

function puts(into: string, items: readonly (RowKey & { row: Row })[]): Statement[] {
  const statements: Statement[] = []
  const texts = items.flatMap(({ table, key, row }) => {
    const text = spelled(row, `row ${key} of ${table}`)
    return text === UNSPEAKABLE ? [] : [{ table, key, text }]
  })
  for (const [table, pairs] of grouped(texts, ({ key, text }) => [key, text] as const)) {
    for (let at = 0; at < pairs.length; at += CHUNK) {
      // By the primary key alone: no other column of a row can take another row's place. A row goes in as a text, since SQLite
      // refuses all of a JSON of which one part is nested too deep. `where true`: without it SQLite reads `on` as part of the join.
      const sql =
        `insert into ${into} (tbl, key, row) select ?, json_extract(value, '$[0]'), json_extract(value, '$[1]') ` +
        'from json_each(?) where true on conflict (tbl, key) do update set row = excluded.row'
      statements.push({ sql, params: [table, JSON.stringify(pairs.slice(at, at + CHUNK))] })
    }
  }
  return statements
}

function rows(found: Record<string, unknown>[]): [string, Row][] {
  return found.flatMap(({ key, row }): [string, Row][] => {
    const read = parsed<Row>(row, `row ${String(key)}`)
    return read ? [[String(key), read]] : []
  })
}

/** What a text says; one that says nothing is told of, and is nobody else's trouble. */
function parsed<Value>(text: unknown, what: string): Value | undefined {
  try {
    return JSON.parse(String(text)) as Value
  } catch {
    report(new Error(`${what} cannot be read from this device's store; it is left out`))
    return undefined
  }
}

function spelled(row: Row, what: string): string {
  try {
    return JSON.stringify(row)
  } catch {
    report(new Error(`${what} is nested too deep to be kept; it is left out`))
    return UNSPEAKABLE
  }
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
