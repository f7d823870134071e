// First syncs by image on Node's SQLite, against the real server: the same rows as without, whatever happens to the file.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { NizhalClient } from '../src/client'
import type { NizhalClientOptions } from '../src/options'
import { keyOf } from '../src/protocol/key'
import type { TableSchema } from '../src/protocol/schema'
import type { Row } from '../src/protocol/wire'
import { rowSqlOf, textOfCell } from '../src/store/image-sql'
import { nodeSqlitePersistence, type SyncDatabase } from '../src/store/persistence'
import { PrivateFolder } from '../src/store/private-images'
import { addCustomer, device, drain, schema, shown } from './harness/device'
import { Front } from './harness/front'
import { Globals } from './harness/globals'
import { KINDS, Server, token } from './harness/server'


// Not in every Node, and not in the types of the one that is supported least.
const sqlite = (await import('node:sqlite' as string).catch(() => undefined)) as { DatabaseSync: new (file: string) => SyncDatabase } | undefined

describe.skipIf(!sqlite).each(KINDS)('images on %s', (kind) => {
  let server: Server
  let front: Front
  let dir: string
  const clients: NizhalClient[] = []

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'nizhal-images-'))
    server = await Server.start(kind, { NIZHAL_BLOBS: `file://${dir}/store`, NIZHAL_IMAGE_MIN_ROWS: '20' })
    front = await Front.start(server)
    await server.shop('s1', ['ana', 'ben'])
    await server.customers('s1', 'c', 60)
  })
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.close()
    front.stop()
    await server.stop()
    rmSync(dir, { recursive: true, force: true })
  })

  /** A device on a file. */
  async function open(name = 'ben', options: Partial<NizhalClientOptions> = {}): Promise<NizhalClient> {
    const store = nodeSqlitePersistence(() => new sqlite!.DatabaseSync(join(dir, `${name}.db`)))
    const client = await device(front, 'ben', 's1', { store, ...options })
    clients.push(client)
    return client
  }

  /** Has the image of a bucket made, as it is now. */
  async function image(bucket = 'myShops:s1', user = 'ana'): Promise<void> {
    for (;;) {
      const { status } = await fetch(`${server.url}/sync/image?bucket=${bucket}`, { headers: { authorization: `Bearer ${token(user, 's1')}` }, redirect: 'manual' })
      if (status === 303) return
      expect(status).toBe(202)
    }
  }

  async function all(client: NizhalClient): Promise<Record<string, Row[]>> {
    const tables = await Promise.all(Object.keys(schema.tables).map(async (table) => [table, (await client.rows(table)).sort((a, b) => (String(a['id']) < String(b['id']) ? -1 : 1))] as const))
    return Object.fromEntries(tables)
  }

  /** The same rows as a device has that asks for rows alone. */
  async function expectSame(client: NizhalClient): Promise<void> {
    const plain = await device(server, 'ben', 's1')
    await plain.pull()
    expect(await all(client)).toEqual(await all(plain))
  }

  const leftovers = (name = 'ben') => (existsSync(join(dir, `${name}.db-images`)) ? readdirSync(join(dir, `${name}.db-images`)) : [])

  test.each([true, false])('inv03: a first sync by image has the same rows as one without (streamed: %s)', async (stream) => {
    await server.sql(`insert into customers (id, shop_id, name, phone, note) values ('odd', 's1', 'O''Neil "x" \\ ${kind === 'sqlite' ? "' || char(10) || '" : "' || chr(10) || '"} සුනිල් 😀', null, '')`)
    await server.sql(`insert into ledger_entries (id, shop_id, customer_id, amount, at, created_by, photo) values ('e1', 's1', 'odd', '-12.50', '${kind === 'sqlite' ? '2026-01-02T03:04:05.120000Z' : '2026-01-02 03:04:05.12Z'}', 'ana', null)`)
    await image()
    await server.sql("update customers set name = 'Changed' where id = 'c7'")
    await server.sql("insert into customers (id, shop_id, name) values ('late', 's1', 'Came later')")
    await server.sql("update customers set note = 'n' where id like 'c2%'")
    const ben = await open('ben', { pull: { stream, pageSize: 10 } })
    await ben.pull()
    expect(front.fetched).toEqual([0])
    // It asks for images with the first page alone.
    const [asked, ...later] = front.pulls.map(({ images }) => images)
    expect([asked, later.length > 0, later.includes(true)]).toEqual([true, !stream, false])
    await expectSame(ben)
    expect((await ben.get('customers', 'c7'))?.['name']).toBe('Changed')
    expect(leftovers()).toEqual([])
    // From there it goes on as any other.
    await ben.mutate(addCustomer('new', 'New', 's1'))
    await drain(ben)
    await server.sql("delete from customers where id = 'c8'")
    await ben.pull()
    await expectSame(ben)
    expect(front.fetched).toEqual([0])
  })

  test('an image is made for whoever comes after a sync that could have used one', async () => {
    const first = await open('first')
    await first.pull()
    expect(front.fetched).toEqual([])
    while ((await server.sql('select count(*) from _nizhal_images'))[0]![0] === '0') await first.pull()
    const ben = await open()
    await ben.pull()
    expect(front.fetched).toEqual([0])
    await expectSame(ben)
  })

  test.each(['gone', 'busy', 'corrupt', 'break'] as const)('inv05: a file that is no good costs nothing but time (%s)', async (spoilt) => {
    await image()
    front.spoilt.push(spoilt)
    const ben = await open()
    await ben.pull()
    expect(front.fetched).toEqual([0])
    expect(front.pulls.map(({ images }) => images)).toEqual([true, undefined])
    await expectSame(ben)
    expect(leftovers()).toEqual([])
  })

  /** Half of what the server sends, and then an error. */
  const cut: typeof fetch = async (url, init) => {
    const answer = await fetch(url, init)
    if (!String(url).includes('/nizhal/blob/')) return answer
    const bytes = new Uint8Array(await answer.arrayBuffer())
    let pulls = 0
    const pull = (controller: ReadableStreamDefaultController<Uint8Array>) => (pulls++ === 0 ? controller.enqueue(bytes.subarray(0, bytes.length >> 1)) : controller.error(new Error('the connection broke')))
    return new Response(new ReadableStream({ pull }), answer)
  }

  test.each(['short', 'cut'] as const)('inv05: a file that is cut goes on where it was, also on a device that was closed meanwhile (%s)', async (how) => {
    await image()
    if (how === 'short') front.spoilt.push('short')
    const ben = await open('ben', how === 'cut' ? { fetch: cut } : {})
    await expect(ben.pull()).rejects.toMatchObject({ code: 'cut' })
    expect((await ben.rows('customers')).length).toBe(0)
    expect(leftovers().length).toBe(1)
    await ben.close()
    const again = await open()
    await again.pull()
    expect(front.fetched.length).toBe(2)
    expect(front.fetched[1]).toBeGreaterThan(0)
    await expectSame(again)
    expect(leftovers()).toEqual([])
  })

  test.each(['process.getBuiltinModule', 'DecompressionStream'])('inv04: where there is no %s, rows are asked for', async (path) => {
    await image()
    const globals = new Globals()
    try {
      globals.put(path, undefined)
      const ben = await open()
      await ben.pull()
      expect(front.pulls.map(({ images }) => images)).toEqual([undefined])
      await expectSame(ben)
    } finally {
      globals.restore()
    }
  })

  test('inv07: a bucket that is revoked while its image comes is purged', async () => {
    await server.shop('s2', ['ben'])
    await server.customers('s2', 'd', 3)
    await image()
    let arrived: () => void = () => undefined
    const arriving = new Promise<void>((resolve) => (arrived = resolve))
    let release: () => void = () => undefined
    front.before = () => new Promise((resolve) => {
      release = resolve
      arrived()
    })
    const ben = await open()
    const pulling = ben.pull()
    await arriving
    await server.leave('s1', 'ben')
    release()
    await pulling
    await ben.pull()
    expect((await shown(ben, 'customers', ['id'])).flat()).toEqual(['d1', 'd2', 'd3'])
    expect(front.fetched).toEqual([0])
  })

  test('inv10: an image of another epoch is not named, and one whose file says another epoch is not taken', async () => {
    await image()
    await server.verb('epoch', 'new')
    const ben = await open()
    await ben.pull()
    expect(front.fetched).toEqual([])
    await expectSame(ben)
    // The server's own list is wrong: the file tells.
    await server.sql('update _nizhal_images set epoch = (select epoch from _nizhal_control)')
    const other = await open('other')
    await other.pull()
    expect(front.fetched).toEqual([0])
    expect(front.pulls.at(-1)?.images).toBe(undefined)
    await expectSame(other)
    expect(leftovers('other')).toEqual([])
  })

  test('inv06: a bucket that is gained comes by image, beneath what waits and beside what is there', async () => {
    await server.shop('s2', ['ana'])
    await server.customers('s2', 'd', 40)
    await image('myShops:s2')
    await image()
    const ben = await open()
    await ben.pull()
    const seen: Map<string, Row> = new Map()
    ben.watch('customers', ({ reset, changes }) => {
      if (reset) seen.clear()
      for (const { key, row } of changes) row ? seen.set(key, row) : seen.delete(key)
    })
    await ben.mutate(addCustomer('mine', 'Mine', 's1'))
    await server.join('s2', 'ben')
    await ben.pull()
    expect(front.fetched.length).toBe(2)
    expect((await ben.rows('customers')).length).toBe(101)
    expect(seen.size).toBe(101)
    expect(seen.get('mine')?.['name']).toBe('Mine')
    await drain(ben)
    await expectSame(ben)
  })

  test('inv22: a device that is closed while its image comes begins again when it opens', async () => {
    await image()
    const ben = await open()
    front.before = () => ben.close()
    await ben.pull().catch(() => undefined)
    front.before = async () => undefined
    const again = await open()
    expect((await again.rows('customers')).length).toBe(0)
    await again.pull()
    await expectSame(again)
  })
})

test.skipIf(!sqlite)('each type of a cell is spelled as the wire has it', () => {
  const columns = [
    { name: 'id', type: 'text' }, { name: 'b', type: 'boolean' }, { name: 's', type: 'smallint' }, { name: 'i', type: 'integer' }, { name: 'l', type: 'bigint' },
    { name: 'f', type: 'double' }, { name: 'u', type: 'uuid_text' }, { name: 't', type: 'timestamp_with_timezone_text' }, { name: 'd', type: 'date_text' },
    { name: 'c', type: 'time_text' }, { name: 'j', type: 'json_text' }, { name: 'x', type: 'blob' }, { name: 'say "hi"', type: 'text' }, { name: 'server_only', type: 'text' },
  ]
  const keyed = (...primaryKey: string[]): TableSchema => ({ primaryKey, columns: columns.filter(({ name }) => name !== 'server_only'), buckets: [] })
  const db = new sqlite!.DatabaseSync(':memory:')
  db.function!('nizhal_text', { deterministic: true }, textOfCell)
  db.exec(`create table n (${columns.map(({ name, type }) => `"${name.replaceAll('"', '""')}" ${type}`).join(', ')})`)
  const put = db.prepare(`insert into n values (${columns.map(() => '?').join(', ')})`)
  const spelled = (table: TableSchema) => {
    const { key, row } = rowSqlOf(table, columns)!
    return (db.prepare(`select ${key} as k, ${row} as r from n`).all() as { k: string; r: string }[]).map(({ k, r }) => ({ key: k, row: JSON.parse(r) as Row }))
  }
  const text = 'a\u0001\u007f\u2028"\\/\n\t\b\f\r😀\'é'
  const uuid = '0123abcd-4567-89ab-cdef-0123456789ab'
  put.run(text, 1, -3, 7, 9007199254740993n, 0.1, Buffer.from(uuid.replaceAll('-', ''), 'hex'), '2026-01-02T03:04:05+00:00', '2026-01-02', '01:02:03', '{"a":[1,null,"x"]}', Buffer.from([0, 255, 7]), "it's", 'secret')
  put.run('b', 0, null, null, null, 5e-324, null, '2026-01-02T03:04:05.120+00:00', '+10000-01-02', '01:02:03.5', null, null, null, 'secret')
  put.run('c', null, 0, 0, -1n, 1, null, '+10000-01-02T03:04:05.000001+00:00', null, '01:02:03.123456', '"x"', Buffer.from([]), '', 'secret')
  put.run('d', null, 0, 0, 0, 1.7976931348623157e308, null, null, null, null, 'null', null, '', 'secret')
  const table = keyed('id')
  const found = spelled(table)
  expect(found.map(({ row }) => row)).toEqual([
    { id: text, b: true, s: -3, i: 7, l: '9007199254740993', f: 0.1, u: uuid, t: '2026-01-02T03:04:05.000000Z', d: '2026-01-02', c: '01:02:03', j: { a: [1, null, 'x'] }, x: 'AP8H', 'say "hi"': "it's" },
    { id: 'b', b: false, s: null, i: null, l: null, f: 5e-324, u: null, t: '2026-01-02T03:04:05.120000Z', d: '+010000-01-02', c: '01:02:03.500000', j: null, x: null, 'say "hi"': null },
    { id: 'c', b: null, s: 0, i: 0, l: '-1', f: 1, u: null, t: '+010000-01-02T03:04:05.000001Z', d: null, c: '01:02:03.123456', j: 'x', x: '', 'say "hi"': '' },
    { id: 'd', b: null, s: 0, i: 0, l: '0', f: 1.7976931348623157e308, u: null, t: null, d: null, c: null, j: null, x: null, 'say "hi"': '' },
  ])
  expect(found.map(({ key }) => key)).toEqual(found.map(({ row }) => keyOf(table, row)))
  // A key of several parts, and one of each type that a key can have: the first row has all of them.
  const several = keyed('id', 'b', 'i', 'l', 'u', 't', 'd', 'c')
  const [first] = spelled(several).map(({ key, row }) => [key, keyOf(several, row)])
  expect(first![0]).toBe(first![1])
  for (const column of ['b', 'i', 'l', 'u', 't', 'd', 'c']) {
    const alone = keyed(column)
    for (const { key, row } of spelled(alone)) if (row[column] !== null) expect(key, column).toBe(keyOf(alone, row))
  }
  // More columns than SQLite's function takes.
  const many = Array.from({ length: 120 }, (_, at) => ({ name: `m${at}`, type: ['text', 'integer', 'bigint', 'uuid_text'][at % 4]! }))
  db.exec(`create table m (id text, ${many.map(({ name, type }) => `${name} ${type}`).join(', ')})`)
  db.prepare(`insert into m values ('x', ${many.map(() => '?').join(', ')})`).run(...many.map(({ type }, at) => (at > 100 ? null : type === 'text' ? `"${at}` : type === 'uuid_text' ? Buffer.alloc(16, at) : at)))
  const wide: TableSchema = { primaryKey: ['id'], columns: many, buckets: [] }
  const sql = rowSqlOf({ ...wide, columns: [...many, { name: 'id' }] }, [{ name: 'id', type: 'text' }, ...many])!
  const [spread] = db.prepare(`select ${sql.row} as r from m`).all() as { r: string }[]
  const row = JSON.parse(spread!.r) as Row
  expect([Object.keys(row).length, row['m0'], row['m97'], row['m98'], row['m99'], row['m119']]).toEqual([121, '"0', 97, '98', '63636363-6363-6363-6363-636363636363', null])
  // What is not known here is not guessed.
  expect(rowSqlOf(table, [...columns.slice(1), { name: 'id', type: 'interval' }])).toBe(undefined)
  expect(rowSqlOf(table, columns.slice(1))).toBe(undefined)
})

test('inv05: a file that the worker of an earlier page holds is deleted when it is let go of', async () => {
  const held = new Set(['old', 'kept'])
  const names = new Set(['old', 'kept', 'free'])
  const folder = {
    getDirectoryHandle: async () => folder,
    keys: () => Array.from(names),
    async removeEntry(name: string) {
      if (held.has(name)) throw new DOMException('somebody has it open', 'NoModificationAllowedError')
      names.delete(name)
    },
  }
  const images = new PrivateFolder(folder as never, 'x')
  await images.clean(['kept'])
  expect([...names]).toEqual(['old', 'kept'])
  held.clear()
  await expect.poll(() => [...names], { timeout: 20_000 }).toEqual(['kept'])
})
