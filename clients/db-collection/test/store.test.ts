// Every store keeps the same promises; and a device that loses its power anywhere goes on from there.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MemoryStore } from '../src/store/memory'
import { expoSqlitePersistence, migrateClientStore, nodeSqlitePersistence, opSqlitePersistence, waSqliteMemoryPersistence, type ExpoSqlite, type OpSqlite, type SyncDatabase } from '../src/store/persistence'
import type { SqlValue } from '../src/store/driver'
import type { Store } from '../src/store/store'
import { WaDatabase } from '../src/store/wa-sqlite'
import type { Op } from '../src/engine/op'
import { addCustomer, device, drain, rename, shown } from './harness/device'
import { Server } from './harness/server'
import { Disk, waApi } from './harness/wasm'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const op = (seq: number): Op => ({ seq, id: `m${seq}`, name: 'n', args: { quote: `'"\\ ☃` }, hlc: '', dependsOn: [], effects: [], clientID: 'c', number: seq, state: 'waiting', covered: false })

// From Node 22.5 on.
const sqlite = (await import('node:sqlite' as string).catch(() => undefined)) as { DatabaseSync: new (file: string) => SyncDatabase } | undefined
const dir = mkdtempSync(join(tmpdir(), 'nizhal-store-'))
afterAll(() => rmSync(dir, { recursive: true }))

const stores: [string, () => Promise<Store>][] = [
  ['memory', async () => new MemoryStore()],
  ['wa-sqlite', async () => waSqliteMemoryPersistence(await waApi())],
  ['op-sqlite’s shape', async () => opSqlitePersistence(async () => opShape(await WaDatabase.open(await waApi(), ':memory:')))],
  ['expo-sqlite’s shape', async () => expoSqlitePersistence(async () => expoShape(await WaDatabase.open(await waApi(), ':memory:')))],
]
const better = (await import('better-sqlite3' as string).catch(() => undefined)) as { default: new (file: string) => SyncDatabase } | undefined
if (better) stores.push(['better-sqlite3', async () => nodeSqlitePersistence(() => new better.default(join(dir, `${Math.random()}.db`)))])
if (sqlite) stores.push(['node:sqlite', async () => nodeSqlitePersistence(() => new sqlite.DatabaseSync(join(dir, `${Math.random()}.db`)))])

describe.each(stores)('%s', (_, make) => {
  test('keeps what it is given, and forgets what it is told to', async () => {
    const store = await make()
    expect(await store.open()).toEqual({ meta: {}, ops: [] })
    const put = Array.from({ length: 4500 }, (_, at) => ({ table: 't', key: `k${at}`, row: { id: `k${at}`, n: at, big: '9007199254740993', nested: { a: [1, null, 'ü'] } } }))
    await store.commit({ put: [...put, { table: 'u', key: '["a","b"]', row: { x: null, f: 1.5, t: true } }], meta: { cursor: 'c1', epoch: 'e' }, putOps: [op(2), op(1)] })
    expect(await store.count('t')).toBe(4500)
    expect((await store.get('t', ['k7', 'nowhere'])).get('k7')).toEqual(put[7]!.row)
    expect(await store.scan('u')).toEqual([['["a","b"]', { x: null, f: 1.5, t: true }]])
    await store.commit({ drop: [{ table: 't', key: 'k7' }], put: [{ table: 't', key: 'k8', row: { id: 'new' } }], meta: { epoch: null }, putOps: [{ ...op(2), state: 'applied' }], dropOps: [1] })
    expect(await store.get('t', ['k7', 'k8'])).toEqual(new Map([['k8', { id: 'new' }]]))
    expect(await store.open()).toEqual({ meta: { cursor: 'c1' }, ops: [{ ...op(2), state: 'applied' }] })
    await store.commit({ reset: true, put: [{ table: 't', key: 'only', row: { id: 'only' } }] })
    expect([await store.count('t'), await store.count('u')]).toEqual([1, 0])
    expect((await store.open()).ops.length).toBe(1)
  })

  test('what is staged counts when it is taken, and not after a crash', async () => {
    const store = await make()
    await store.open()
    const rows = (from: number, count: number) => Array.from({ length: count }, (_, at) => ({ table: 't', key: `k${from + at}`, row: { id: `k${from + at}`, n: from + at } }))
    await store.commit({ put: [...rows(0, 3), { table: 'u', key: 'a', row: { id: 'a' } }], stage: rows(2, 2500) })
    expect(await store.count('t')).toBe(3)
    await store.commit({ staged: 'take', drop: [{ table: 't', key: 'k0' }, { table: 't', key: 'k2' }], put: [{ table: 't', key: 'k9', row: { id: 'new' } }] })
    expect([await store.count('t'), await store.count('u'), (await store.get('t', ['k2'])).size]).toEqual([2501, 1, 1])
    expect((await store.get('t', ['k9'])).get('k9')).toEqual({ id: 'new' })
    await store.commit({ stage: rows(9000, 5) })
    await store.commit({ staged: 'forget', stage: rows(100, 2) })
    await store.commit({ reset: true, staged: 'take', meta: { cursor: 'c' } })
    expect([await store.count('t'), await store.count('u')]).toEqual([2, 0])
    await store.commit({ stage: rows(0, 5) })
    await store.open()
    await store.commit({ staged: 'take' })
    expect(await store.count('t')).toBe(2)
    await store.commit({ put: rows(0, 1) })
    expect(await store.scan('t')).toHaveLength(3)
  })

  test('finds by a condition, and the first of an order', async () => {
    const store = await make()
    await store.open()
    const put = Array.from({ length: 300 }, (_, at) => ({ table: 't', key: `k${at}`, row: { id: `k${at}`, n: (at * 7) % 300, s: at % 3 ? 'ä' : 'z', none: null } }))
    await store.commit({ put })
    const where = { type: 'func', name: 'and', args: [{ type: 'func', name: 'eq', args: [{ type: 'ref', path: ['s'] }, { type: 'val', value: 'z' }] }, { type: 'func', name: 'gte', args: [{ type: 'ref', path: ['n'] }, { type: 'val', value: 200 }] }] }
    expect((await store.find('t', { where })).length).toBe(put.filter(({ row }) => row.s === 'z' && row.n >= 200).length)
    const first = await store.find('t', { where, orderBy: [{ column: 'n', descending: true, nulls: 'last' }], most: 4 })
    expect(first.map(([, row]) => row['n']).sort()).toEqual(put.filter(({ row }) => row.s === 'z').map(({ row }) => row.n).sort((a, b) => b - a).slice(0, 4).sort())
  })

  test.skipIf(_ === 'memory')('inv22: a batch of which a part fails did not happen', async () => {
    const store = await make()
    await store.open()
    await store.commit({ put: [{ table: 't', key: 'a', row: { id: 'a' } }], stage: [{ table: 't', key: 'b', row: { id: 'b' } }], meta: { cursor: 'c1' } })
    await expect(store.commit({ reset: true, staged: 'take', meta: { cursor: 'c2' }, put: [{ table: 't', key: 'bad', row: undefined as never }] })).rejects.toThrow(/NOT NULL/)
    expect([await store.scan('t'), (await store.open()).meta]).toEqual([[['a', { id: 'a' }]], { cursor: 'c1' }])
  })

  test('can be moved to another store, once', async () => {
    const [from, to] = [await make(), new MemoryStore()]
    await from.open()
    await from.commit({ put: [{ table: 't', key: 'a', row: { id: 'a' } }], meta: { clientID: 'me', cursor: 'x' }, putOps: [op(1)] })
    await migrateClientStore(from, to, ['t'])
    expect(await to.open()).toEqual(await from.open())
    expect(await to.scan('t')).toEqual([['a', { id: 'a' }]])
    await expect(migrateClientStore(from, to, ['t'])).rejects.toThrow('in use already')
  })
})

test.skipIf(!sqlite)('inv26: a second process is refused while one holds the file', async () => {
  const file = join(dir, 'held.db')
  const open = () => nodeSqlitePersistence(() => new sqlite!.DatabaseSync(file))
  const first = open()
  await first.open()
  await first.commit({ meta: { a: 'b' } })
  await expect(open().open()).rejects.toThrow(/locked/)
  await first.close()
  expect((await open().open()).meta).toEqual({ a: 'b' })
})

describe('a device that loses its power', () => {
  let server: Server
  beforeAll(async () => {
    server = await Server.start('sqlite')
    await server.shop('s1', ['ana', 'ben'])
    await server.customers('s1', 'old', 7)
  })
  afterAll(() => server.stop())

  test('inv22: at any statement, it goes on from what it committed', async () => {
    // Counted with power to spare first; then again and again with a little more each time.
    const durable: string[] = []
    const script = async (store: Store, id: string) => {
      durable.length = 0
      const client = await device(server, 'ana', 's1', { store, pull: { pageSize: 5 } })
      await client.pull()
      await client.mutate(addCustomer(id, 'New', 's1'))
      durable.push(id)
      await client.mutate(rename(id, 'Newer'))
      await client.push()
      await client.pull()
    }
    const counting = (await Disk.make()).store()
    await script(counting, 'count')
    const total = counting.used()
    expect(total).toBeGreaterThan(20)
    for (let left = 0; left <= total; left++) {
      const disk = await Disk.make()
      const id = `p${left}`
      try {
        await script(disk.store(left), id)
      } catch (error) {
        expect(String(error)).toContain('the power is gone')
      }
      const again = await device(server, 'ana', 's1', { store: disk.store() })
      // What was said to be durable is on the screen before any network.
      if (durable.length > 0) expect((await again.get('customers', id))?.['id']).toBe(id)
      await drain(again)
      expect(again.writes).toEqual([])
      expect(await shown(again, 'customers', ['id', 'name'])).toEqual((await server.sql('select id, name from customers where deleted_at is null')).sort())
      expect(Number((await server.sql(`select count(*) from customers where id = '${id}'`))[0]![0])).toBeGreaterThanOrEqual(durable.length)
    }
  })
})

/** As @op-engineering/op-sqlite 15.2 declares it. */
function opShape(db: WaDatabase): OpSqlite {
  return {
    execute: async (sql: string, params: SqlValue[] = []) => ({ rowsAffected: 0, rows: await db.all(sql, params) }),
    executeBatch: async (commands: [string, SqlValue[]][]) => {
      await db.transaction(commands.map(([sql, params]) => ({ sql, params })))
      return { rowsAffected: 0 }
    },
    close: () => void db.close(),
  }
}

/** As expo-sqlite 55 declares it. */
function expoShape(db: WaDatabase): ExpoSqlite {
  return {
    getAllAsync: (sql, params) => db.all(sql, params),
    async withExclusiveTransactionAsync(task) {
      await db.all('begin')
      try {
        await task({ runAsync: async (sql, params) => ({ lastInsertRowId: 0, changes: (await db.all(sql, params)).length }) })
        await db.all('commit')
      } catch (error) {
        await db.all('rollback')
        throw error
      }
    },
    closeAsync: () => db.close(),
  }
}
