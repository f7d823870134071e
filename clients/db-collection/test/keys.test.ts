// Keys have one text, rows one place each, and an unreadable value is its own row's trouble.
import { afterEach, describe, expect, test, vi } from 'vitest'
import { Replica } from '../src/engine/replica'
import { bucketsOf, keyFrom, keyOf, keyText } from '../src/protocol/key'
import type { Schema, TableSchema } from '../src/protocol/schema'
import type { Json, Page, Row } from '../src/protocol/wire'
import { MemoryStore } from '../src/store/memory'
import type { Store } from '../src/store/store'
import { Disk } from './harness/wasm'

afterEach(() => vi.restoreAllMocks())

const stores: [string, () => Promise<Store>][] = [
  ['memory', async () => new MemoryStore()],
  ['wa-sqlite', async () => (await Disk.make()).store()],
]

const table = (primaryKey: string[], type?: string): TableSchema => ({ primaryKey, columns: primaryKey.map((name) => ({ name, ...(type !== undefined && { type }) })), buckets: [{ rule: 'r', columns: primaryKey }] })

function page(cursor: string, more: Partial<Page>): Page {
  return { changed: [], tombstoned: [], removed: [], removedBuckets: [], cursor, epoch: 'e', cursorReset: false, hasMore: false, lastMutationId: 0, ...more }
}

const UUID = '0190f3b2-7c4e-7a1b-8c2d-3e4f5a6b7c8d'

/** Spellings of one value, the canonical first. */
const spellings: [type: string, values: Json[]][] = [
  ['text', ['a']],
  ['text', ['["a","b"]']],
  ['text', ['']],
  ['text', ['null']],
  ['text', ['a"b\\c\u0007\u2028ü\u{1f600}']],
  ['boolean', ['true', true, 't', '1', 1, 'TRUE']],
  ['boolean', ['false', false, 'f', '0', 0]],
  ['smallint', ['7', 7]],
  ['bigint', ['9007199254740993']],
  ['numeric', ['1.50']],
  ['uuid', [UUID, UUID.toUpperCase(), UUID.replaceAll('-', ''), `{${UUID}}`]],
  ['date', ['2026-11-28']],
  ['time', ['08:30:00', '08:30:00.000000', '08:30:00.0']],
  ['time', ['08:30:00.500000', '08:30:00.5']],
  ['time', ['08:30:00.123456', '08:30:00.123456']],
  ['timestamptz', ['2026-11-28T22:00:00.000000Z', '2026-11-28T22:00:00Z', '2026-11-28T22:00:00.000Z', '2026-11-28T22:00:00+00:00', '2026-11-28 22:00:00+00', '2026-11-28T23:30:00.000000+01:30', '2026-11-28T17:00:00-0500']],
  ['timestamptz', ['2026-11-28T22:00:00.123456Z', '2026-11-28 22:00:00.123456+00']],
  ['timestamptz', ['0099-01-01T00:00:00.100000Z', '0099-01-01T00:00:00.1Z']],
  ['timestamptz', ['9999-12-31T23:59:59.999999Z']],
  ['timestamptz', ['infinity']],
  ['timestamptz', ['+294276-12-31T23:59:59Z']],
  // As the server's own table has them.
  ['timestamptz', ['2026-01-02T03:04:05.120000Z', '2026-01-02T03:04:05.12Z', '2026-01-02T08:34:05.12+05:30', '2026-01-02 03:04:05.12', '2026-01-02 08:34:05.12+0530']],
  ['timestamptz', ['+012345-01-02T03:04:05.000000Z', '+12345-01-02T03:04:05Z', '+012345-01-02T03:04:05+00:00']],
  ['timestamptz', ['-000043-03-15T00:00:00.000000Z', '-0043-03-15T00:00:00Z']],
  ['date', ['+012345-01-02', '+12345-01-02']],
  ['date', ['0000-01-02']],
  ['bigint', ['-7', '-07']],
  ['integer', ['0', 0, '-0', '00']],
]

describe('one text', () => {
  test.each(spellings)('inv09: %s %j', (type, values) => {
    const [canonical] = values
    for (const value of values) {
      expect(keyText(value, type)).toBe(canonical)
      expect(keyOf(table(['id'], type), { id: value })).toBe(canonical)
      if (typeof value === 'string') expect(keyFrom(table(['id'], type), value)).toBe(canonical)
      const composite = table(['a', 'b'], type)
      const key = JSON.stringify([canonical, canonical])
      expect(keyOf(composite, { a: value, b: value })).toBe(key)
      for (const id of [JSON.stringify([value, value]), JSON.stringify([value, value], null, 1), JSON.stringify([String(value), String(value)])]) expect(keyFrom(composite, id)).toBe(key)
      expect(bucketsOf(table(['id'], type), { id: value })).toEqual([`r:${String(canonical)}`])
    }
  })

  test('a composite key that is none stays as it is', () => {
    for (const id of ['a', '[', '["a"]', '["a","b","c"]', '{"a":1}', '']) expect(keyFrom(table(['a', 'b']), id)).toBe(id)
  })

  test('inv07: several values of a bucket are percent-encoded as the server does, byte by byte', () => {
    const name = (a: string) => bucketsOf(table(['a', 'b']), { a, b: 'x' })?.[0]
    expect(name("!'()*~-._ /%ü")).toBe('r:%21%27%28%29%2A~-._%20%2F%25%C3%BC/x')
    expect(name('\ud800')).toBe('r:%EF%BF%BD/x')
  })
})

describe.each(stores)('%s', (_, make) => {
  const schema: Schema = {
    version: '1.0.0',
    hash: 'h',
    tables: {
      visits: { primaryKey: ['day', 'at', 'open', 'who'], columns: [{ name: 'day', type: 'date' }, { name: 'at', type: 'timestamptz' }, { name: 'open', type: 'boolean' }, { name: 'who', type: 'uuid' }], buckets: [] },
      people: { primaryKey: ['id'], columns: [{ name: 'id', type: 'text' }, { name: 'email', type: 'text' }], buckets: [] },
    },
  }
  const replicaOf = async (store: Store) => Replica.open(store, { nowMs: () => 0, newId: () => crypto.randomUUID() }, schema)
  const asked = ({ device }: Replica) => ({ cursor: device.cursor, clientID: device.clientID })
  const rowsOf = async (replica: Replica, table: string) => {
    let found: Row[] = []
    await replica.rows(table, (rows) => (found = [...rows.values()]))
    return found
  }
  const visit = { day: '2026-11-28', at: '2026-11-28T22:00:00.000000Z', open: true, who: UUID, note: 'first' }

  test.each([
    '["2026-11-28","2026-11-28T22:00:00.000000Z","true","' + UUID + '"]',
    '["2026-11-28", "2026-11-28T22:00:00Z", true, "' + UUID.toUpperCase() + '"]',
    '["2026-11-28","2026-11-28 22:00:00+00","t","' + UUID + '"]',
  ])('inv09: a deleted row goes, however its tombstone is spelled: %s', async (id) => {
    for (const kind of ['tombstoned', 'removed'] as const) {
      const replica = await replicaOf(await make())
      await replica.applyPage(page('c1', { changed: [{ table: 'visits', rows: [visit] }] }), asked(replica))
      expect(await rowsOf(replica, 'visits')).toEqual([visit])
      expect(await replica.get('visits', id)).toEqual(visit)
      await replica.applyPage(page('c2', { [kind]: [{ table: 'visits', id }] }), asked(replica))
      expect(await rowsOf(replica, 'visits')).toEqual([])
    }
  })

  test('inv11: a row that the device spelled otherwise is the server’s row', async () => {
    const replica = await replicaOf(await make())
    const own = { ...visit, at: '2026-11-28T22:00:00.000Z', note: 'mine' }
    await replica.outbox.mutate({ name: 'visit', args: null, effects: [{ table: 'visits', key: JSON.stringify([own.day, own.at, true, own.who]), kind: 'insert', row: own }] })
    await replica.applyPage(page('c1', { changed: [{ table: 'visits', rows: [visit] }] }), asked(replica))
    expect((await rowsOf(replica, 'visits')).map(({ note }) => note)).toEqual(['mine'])
  })

  test('inv40: two rows with the same unique value are two rows, in a page and in a stream', async () => {
    const store = await make()
    const replica = await replicaOf(store)
    const people = [{ id: 'a', email: 'x@y' }, { id: 'b', email: 'x@y' }, { id: 'c', email: null }, { id: 'd', email: null }]
    await replica.applyPage(page('c1', { changed: [{ table: 'people', rows: people }] }), asked(replica))
    expect(await rowsOf(replica, 'people')).toEqual(people)
    const intake = replica.receive(asked(replica))
    await intake.take('people', [{ id: 'e', email: 'x@y' }, { id: 'a', email: 'new' }])
    await intake.flush()
    await replica.applyPage(page('c2', {}), asked(replica), intake)
    expect((await rowsOf(replica, 'people')).map(({ id, email }) => `${id} ${email}`).sort()).toEqual(['a new', 'b x@y', 'c null', 'd null', 'e x@y'])
  })

  test('inv40: a row without its key is told of, and takes no other’s place', async () => {
    const told = vi.spyOn(console, 'error').mockImplementation(() => undefined)
    const replica = await replicaOf(await make())
    const rows: Row[] = [{ email: '1' }, { id: 'a', email: '2' }, { id: null, email: '3' }]
    await replica.applyPage(page('c1', { changed: [{ table: 'people', rows }] }), asked(replica))
    expect(await rowsOf(replica, 'people')).toEqual([{ id: 'a', email: '2' }])
    expect(told.mock.calls.map(([error]) => String(error))).toEqual([expect.stringContaining('people'), expect.stringContaining('people')])
  })

  test('inv40: a value that is nested without end, or holds half a character, is its own row’s trouble', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => undefined)
    const deep = (depth: number): Json => JSON.parse('['.repeat(depth) + ']'.repeat(depth))
    const replica = await replicaOf(await make())
    const odd: Row[] = [
      { id: 'fine', email: 'a' },
      { id: 'deep', email: 'b', at: deep(1500) },
      { id: 'half', email: '\ud800' },
      { id: 'zero', email: 'a\u0000b' },
      { id: 'far', email: '+294276-12-31T23:59:59Z', n: 1e308 },
    ]
    await replica.applyPage(page('c1', { changed: [{ table: 'people', rows: odd }] }), asked(replica))
    const found = await rowsOf(replica, 'people')
    expect(found.map(({ id }) => id).sort()).toEqual(['deep', 'far', 'fine', 'half', 'zero'])
    expect(found.find(({ id }) => id === 'zero')?.['email']).toBe('a\u0000b')
    // Searches, also in an order, find the others and this one.
    const where = { type: 'func', name: 'eq', args: [{ type: 'ref', path: ['email'] }, { type: 'val', value: 'a' }] }
    for (const subset of [{ where }, { where, orderBy: [{ column: 'email', descending: false, nulls: 'first' as const }], most: 2 }]) {
      let ids: string[] = []
      await replica.find('people', { subsets: [subset], keys: [] }, (rows) => (ids = [...rows.keys()]))
      expect(ids).toContain('fine')
    }
  })
})

test('inv40: a row that the disk has spoiled is left out, the others are there, and so is the outbox', async () => {
  const told = vi.spyOn(console, 'error').mockImplementation(() => undefined)
  const disk = await Disk.make()
  const store = disk.store()
  await store.open()
  await store.commit({ put: ['a', 'b'].map((key) => ({ table: 't', key, row: { id: key, n: 1 } })), meta: { schema: 'spoiled', nextNumber: 'spoiled', nextSeq: '-4', node: 'spoiled', hlc: 'spoiled' } })
  await disk.run("update nizhal_rows set row = substr(row, 1, 5) where key = 'a'")
  expect(await store.scan('t')).toEqual([['b', { id: 'b', n: 1 }]])
  expect((await store.get('t', ['a', 'b'])).size).toBe(1)
  const where = { type: 'func', name: 'gte', args: [{ type: 'ref', path: ['n'] }, { type: 'val', value: 1 }] }
  expect(await store.find('t', { where })).toEqual([['b', { id: 'b', n: 1 }]])
  expect(await store.find('t', { where, orderBy: [{ column: 'n', descending: true, nulls: 'last' }], most: 1 })).toEqual([['b', { id: 'b', n: 1 }]])
  const replica = await Replica.open(store, { nowMs: () => Number.NaN, newId: () => 'not hex' })
  const op = await replica.outbox.mutate({ name: 'add', args: null, effects: [] })
  expect([op.number, op.seq]).toEqual([1, 1])
  expect(op.hlc).toMatch(/^1970-01-01T00:00:00\.\d{3}Z-[0-9a-f]{4}-[0-9a-f]{32}$/)
  expect(told).toHaveBeenCalled()
})
