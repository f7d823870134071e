// Priorities, buckets on demand, and how far a first sync has come.
import { afterEach, describe, expect, test, vi } from 'vitest'
import { createNizhalClient, type NizhalClient } from '../src/client'
import { subscribeBucket } from '../src/demand'
import type { PullAsked } from '../src/engine/transport'
import type { Page, Row } from '../src/protocol/wire'
import { MemoryStore } from '../src/store/memory'
import type { Store } from '../src/store/store'
import { nizhalCollectionOptions } from '../src/tanstack'
import { drain, shown } from './harness/device'
import { Channels, Locks } from './harness/globals'
import { KINDS, type Server } from './harness/server'
import { shopDevice, shopMutators, startShop } from './harness/shop'
import { Disk } from './harness/wasm'
import { createCollection } from '@tanstack/db'

const HOUR_MS = 3600_000

/** A clock that stands where the test puts it. */
class Wall {
  ms = Date.now()
  readonly environment = { nowMs: () => this.ms, newId: () => crypto.randomUUID() }
}

describe.each(KINDS)('on %s', (kind) => {
  let server: Server
  afterEach(() => server.stop())

  async function start(products = 5): Promise<void> {
    server = await startShop(kind)
    await server.sql("insert into settings (id, owner) values ('a1', 'ann'), ('a2', 'ann'), ('a3', 'ann'), ('b1', 'ben')")
    await server.sql("insert into notes (id, shop) values ('n1', 's'), ('n2', 's'), ('n3', 's'), ('o1', 'other')")
    const numbers = `with recursive n(i) as (select 1 union all select i + 1 from n where i < ${products})`
    await server.sql(`${numbers} insert into products (id) select 'p' || i from n`)
  }

  const ids = async (client: NizhalClient, table: string) => (await shown(client, table, ['id'])).flat()

  test.each([true, false])('inv11: small priorities show before large ones are here (stream: %s)', async (stream) => {
    await start(9)
    const client = await shopDevice(server, 'ann', { pull: { stream, pageSize: 2 } })
    const shows: string[] = []
    const seen = { settings: 0, products: 0 }
    for (const table of ['settings', 'products'] as const) {
      client.watch(table, ({ changes }) => {
        seen[table] = Math.max(seen[table], changes.length)
        shows.push(`${seen.settings} ${seen.products} ${client.cursor() !== ''}`)
      })
    }
    await client.rows('products')
    const told: string[] = []
    client.onStatus(({ incomplete }) => told.push(`${incomplete} ${client.buckets.laterRules.join(' ')}`))
    await client.pull()
    expect(shows.some((one) => one.startsWith('3 0'))).toBe(true)
    expect(shows.at(-1)).toBe('3 9 true')
    expect(told.filter((one, at) => one !== told[at - 1])).toEqual(expect.arrayContaining(['2 catalog shops', '1 catalog', '0 ']))
    expect(client.status.incomplete).toBe(0)
    expect(await ids(client, 'notes')).toEqual([])
  })

  test('inv07: what is subscribed to comes, and goes when its time is over', async () => {
    await start()
    const wall = new Wall()
    const store = (await Disk.make()).store()
    const client = await shopDevice(server, 'ann', { store, environment: wall.environment })
    await client.pull()
    expect(await ids(client, 'notes')).toEqual([])
    const [one, two] = [subscribeBucket(client, 'shopNotes', ['s']), subscribeBucket(client, 'shopNotes', ['s'])]
    const theirs = subscribeBucket(client, 'shopNotes', ['other'])
    expect(one.bucket).toBe('shopNotes:s')
    await expect.poll(() => client.status.incomplete).toBe(2)
    await client.pull()
    await Promise.all([one.ready, two.ready, theirs.ready])
    expect(await ids(client, 'notes')).toEqual(['n1', 'n2', 'n3'])
    expect(client.buckets).toEqual({ laterRules: [], subscribed: [{ bucket: 'shopNotes:s', complete: true }, { bucket: 'shopNotes:other', complete: true }] })

    const after = async (ms: number) => {
      wall.ms += ms
      await client.pull()
      return ids(client, 'notes')
    }
    one.close()
    two.close()
    // Here already: nothing is asked.
    await subscribeBucket(client, 'shopNotes', ['s']).ready
    expect(await after(HOUR_MS - 1)).toEqual(['n1', 'n2', 'n3'])
    // A restart changes nothing about it.
    await client.close()
    const next = await shopDevice(server, 'ann', { store, environment: wall.environment })
    await next.pull()
    expect(await ids(next, 'notes')).toEqual(['n1', 'n2', 'n3'])
    wall.ms += 1
    await next.pull()
    expect([await ids(next, 'notes'), next.buckets.subscribed]).toEqual([[], []])
    // What another rule shows stays.
    expect(await ids(next, 'settings')).toEqual(['a1', 'a2', 'a3'])
    const back = subscribeBucket(next, 'shopNotes', ['s'])
    await next.pull()
    await back.ready
    expect(await ids(next, 'notes')).toEqual(['n1', 'n2', 'n3'])
  })

  test('a write into a bucket that is not here shows until it is applied', async () => {
    await start()
    const client = await shopDevice(server, 'ann')
    await client.pull()
    const { confirmed } = await shopMutators(client).addNote({ id: 'mine', shop: 's' })
    expect(await ids(client, 'notes')).toEqual(['mine'])
    await drain(client)
    await confirmed
    expect(await ids(client, 'notes')).toEqual([])
    expect((await server.sql("select id from notes where id = 'mine'")).flat()).toEqual(['mine'])
  })

  test('a collection is subscribed to its bucket as long as it syncs', async () => {
    await start()
    const client = await shopDevice(server, 'ann')
    await client.pull()
    const notes = createCollection(nizhalCollectionOptions<{ id: string; shop: string }>({ client, name: 'notes', syncRule: 'shopNotes', params: ['s'] }))
    await notes.preload()
    await expect.poll(() => client.buckets.subscribed).toEqual([{ bucket: 'shopNotes:s', complete: false }])
    await client.pull()
    await expect.poll(() => [...notes.keys()].sort()).toEqual(['n1', 'n2', 'n3'])
    await notes.cleanup()
  })

  test('a tab that follows subscribes, and hears when it is ready', async () => {
    await start()
    const disk = await Disk.make()
    const locks = new Locks()
    const tab = async () => shopDevice(server, 'ann', { store: disk.store(), name: `demand-${kind}`, locks, channel: new Channels().open })
    const [first, second] = [await tab(), await tab()]
    expect([first.status.leader, second.status.leader]).toEqual([true, false])
    const subscription = subscribeBucket(second, 'shopNotes', ['s'])
    await expect.poll(() => first.buckets.subscribed.length).toBe(1)
    await second.pull()
    await subscription.ready
    expect(await ids(second, 'notes')).toEqual(['n1', 'n2', 'n3'])
    await expect.poll(() => second.status.incomplete).toBe(0)
    await second.close()
    await first.close()
  })

  test.each([true, false])('a first sync says how many rows there will be (stream: %s)', async (stream) => {
    await start(5000)
    const client = await shopDevice(server, 'ann', { pull: { stream, pageSize: 1000 } })
    const told: { rows: number; total: number | undefined }[] = []
    client.onStatus(({ progress }) => progress && told.push(progress))
    await client.pull()
    expect(told.length).toBeGreaterThan(3)
    expect(new Set(told.map(({ total }) => total))).toEqual(new Set([5003]))
    expect(told.map(({ rows }) => rows)).toEqual(told.map(({ rows }) => rows).sort((a, b) => a - b))
    expect(told.at(-1)!.rows).toBe(5003)
    expect(client.status.progress).toBeUndefined()
  })
})

/** A backend of pages. */
class Script {
  pages: object[] = []
  asked: PullAsked[] = []
  #cursor = 0

  pull = async (asked: PullAsked): Promise<Page> => {
    this.asked.push(asked)
    return { changed: [], tombstoned: [], removed: [], removedBuckets: [], cursor: `c${++this.#cursor}`, epoch: 'e', cursorReset: false, hasMore: false, lastMutationId: 0, ...this.pages.shift() }
  }
  push = async () => []
  contract = async () => ({})
}

const column = (name: string) => ({ name, type: 'text' })
const schema = {
  version: '1.0.0',
  hash: 'h',
  tables: { items: { primaryKey: ['id'], columns: [column('id')], buckets: [{ rule: 'mine', columns: [] }] } },
  onDemand: { notes: { params: [{ name: 'shop', type: 'integer' }, { name: 'part', type: 'text' }], ttlSeconds: 3600 } },
}
const items = (...ids: string[]) => [{ table: 'items', rows: ids.map((id): Row => ({ id })) }]

async function scripted(store: Store = new MemoryStore(), options: object = {}) {
  const script = new Script()
  const client = createNizhalClient({ syncTarget: script, schema, store, online: false, locks: null, subscribeSource: null, witness: null, user: 'ann', ...options })
  await client.ready
  return { script, client }
}

test('inv11: a reset takes nothing away until all of the new is there', async () => {
  const { script, client } = await scripted()
  const shows: string[] = []
  let rows = new Map<string, unknown>()
  await client.rows('items')
  client.watch('items', ({ reset, changes }) => {
    if (reset) rows = new Map()
    for (const { key, row } of changes) if (row) rows.set(key, row)
    else rows.delete(key)
    shows.push([...rows.keys()].join(''))
  })
  await client.rows('items')
  const part = { hasMore: true, complete: true, laterRules: ['sent'] }
  script.pages = [{ changed: items('a'), ...part }, { changed: items('b'), complete: true }]
  await client.pull()
  expect(shows.filter((one) => one !== '')).toEqual(['a', 'ab'])
  shows.length = 0
  script.pages = [{ changed: items('c'), cursorReset: true, ...part }, { changed: items('d'), ...part }, { changed: items('e'), complete: true }]
  await client.pull()
  expect(shows).toEqual(['cde'])
  expect(script.asked.map(({ total }) => total ?? false)).toEqual([true, false, false, false, false])
})

test('inv04: parts without end are not asked for', async () => {
  const { script, client } = await scripted()
  script.pages = Array.from({ length: 1000 }, () => ({ hasMore: true, complete: true, laterRules: ['sent'] }))
  await expect(client.pull()).rejects.toThrow('more waits')
  expect(script.asked.length).toBeLessThan(300)
})

test('what does not fit is refused where it is said', async () => {
  const { client } = await scripted()
  expect(() => subscribeBucket(client, 'mine', [])).toThrow('not on demand')
  expect(() => subscribeBucket(client, 'notes', ['1'])).toThrow('has 2 parameters, and there are 1')
  expect(() => subscribeBucket(client, 'notes', ['1', 'é'.repeat(1100)])).toThrow('longer than')
  expect(subscribeBucket(client, 'notes', ['007', 'a/b']).bucket).toBe('notes:7/a%2Fb')
})

test('inv22: what is asked for lasts, and there is an end to it', async () => {
  const wall = new Wall()
  const store = new MemoryStore()
  const { client } = await scripted(store, { environment: wall.environment })
  const all = Array.from({ length: 1000 }, (_, at) => subscribeBucket(client, 'notes', [at, 'x']))
  await client.pull()
  await Promise.all(all.map(({ ready }) => ready))
  await expect(subscribeBucket(client, 'notes', [1000, 'x']).ready).rejects.toThrow('at most 1,000')
  expect(await client.keepBucket('notes:0/x', wall.ms + 2 * HOUR_MS)).toBe(true)
  await client.close()
  wall.ms += HOUR_MS
  const { script, client: again } = await scripted(store, { environment: wall.environment })
  expect(again.buckets.subscribed.length).toBe(1000)
  await again.pull()
  expect(script.asked[0]!.buckets).toEqual(['notes:0/x'])
  expect(again.buckets.subscribed).toEqual([{ bucket: 'notes:0/x', complete: true }])
})

test('a bucket that was not asked for yet does not count as here', async () => {
  const { script, client } = await scripted()
  const subscribed: { ready: Promise<void> }[] = []
  const { pull } = script
  script.pull = async (asked) => {
    if (subscribed.length === 0) {
      subscribed.push(subscribeBucket(client, 'notes', [1, 'x']))
      await client.keepBucket('notes:1/x', Date.now() + HOUR_MS)
    }
    return pull(asked)
  }
  await client.pull()
  expect([script.asked[0]!.buckets, client.buckets.subscribed]).toEqual([[], [{ bucket: 'notes:1/x', complete: false }]])
  await client.pull()
  await subscribed[0]!.ready
  expect(script.asked[1]!.buckets).toEqual(['notes:1/x'])
})

test('a bucket is kept as long as somebody is subscribed, and for its time after that', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
  try {
    const { script, client } = await scripted()
    const [one, two] = [subscribeBucket(client, 'notes', [1, 'x']), subscribeBucket(client, 'notes', [1, 'x'])]
    const asked = async (afterMs: number) => {
      await vi.advanceTimersByTimeAsync(afterMs)
      await client.pull()
      return script.asked.at(-1)!.buckets
    }
    expect(await asked(0)).toEqual(['notes:1/x'])
    one.close()
    one.close()
    expect(await asked(10 * HOUR_MS)).toEqual(['notes:1/x'])
    two.close()
    expect(await asked(HOUR_MS - 1)).toEqual(['notes:1/x'])
    expect(await asked(1)).toEqual([])
    const third = subscribeBucket(client, 'notes', [1, 'x'])
    expect(await asked(0)).toEqual(['notes:1/x'])
    await third.ready
    await client.close()
    expect(vi.getTimerCount()).toBe(0)
  } finally {
    vi.useRealTimers()
  }
})

test('an app without such rules asks for all', async () => {
  const { script, client } = await scripted(undefined, { schema: { ...schema, onDemand: undefined } })
  await client.pull()
  expect(script.asked[0]).not.toHaveProperty('buckets')
})
