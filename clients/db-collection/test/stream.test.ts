// Pulls that come as lines: bounded, whole or not at all, and pages where they cannot be had.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { NizhalClient } from '../src/client'
import { pull } from '../src/engine/exchange'
import { Replica } from '../src/engine/replica'
import { SyncError, type Transport } from '../src/engine/transport'
import type { Page, Row } from '../src/protocol/wire'
import { MemoryStore } from '../src/store/memory'
import type { Batch, Store } from '../src/store/store'
import { addCustomer, device, drain, rename, schema, shown } from './harness/device'
import { KINDS, Server } from './harness/server'
import { Disk } from './harness/wasm'

const LINES = 'application/x-ndjson'
const bytes = new TextEncoder()

/** A network that notes what was asked for, and may cut streams. */
function network(cut?: (body: string) => { at: number; broken: boolean } | undefined) {
  const asked: ('lines' | 'page')[] = []
  const fetch = (async (url: string, init: RequestInit) => {
    if (url.endsWith('/sync/pull')) asked.push(new Headers(init.headers).get('accept')?.includes(LINES) ? 'lines' : 'page')
    const answer = await globalThis.fetch(url, init)
    if (!cut || answer.headers.get('content-type') !== LINES) return answer
    const body = await answer.text()
    const how = cut(body)
    if (!how) return new Response(body, { headers: answer.headers })
    // In odd pieces: a chunk ends where it likes.
    const left = bytes.encode(body).slice(0, how.at)
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < left.length; at += 7001) controller.enqueue(left.slice(at, at + 7001))
        if (how.broken) controller.error(new TypeError('the connection broke'))
        else controller.close()
      },
    })
    return new Response(stream, { headers: answer.headers })
  }) as typeof globalThis.fetch
  return { asked, fetch }
}

const stores: [string, () => Promise<() => Store>][] = [
  ['memory', async () => {
    const store = new MemoryStore()
    return () => store
  }],
  ['wa-sqlite', async () => {
    const disk = await Disk.make()
    return () => disk.store()
  }],
]

async function expectAsOnServer(client: NizhalClient, server: Server): Promise<void> {
  const may = "shop_id in (select shop_id from shop_members where user_id = 'ana')"
  const customers = await server.sql(`select id, name, shop_id from customers where deleted_at is null and ${may}`)
  expect(await shown(client, 'customers', ['id', 'name', 'shop_id'])).toEqual(customers.sort())
}

describe.each(KINDS)('on %s', (kind) => {
  let server: Server
  afterEach(() => server.stop())

  test('a first sync and a large catch-up come as lines, small news as a page', async () => {
    server = await Server.start(kind)
    await server.shop('s1', ['ana'])
    await server.customers('s1', 'a', 3200)
    const net = network()
    const ana = await device(server, 'ana', 's1', { fetch: net.fetch, store: (await Disk.make()).store(), pull: { pageSize: 100 } })
    await ana.pull()
    expect(net.asked.splice(0)).toEqual(['lines'])
    await expectAsOnServer(ana, server)
    await ana.mutate(addCustomer('c1', 'Mine', 's1'))
    await ana.push()
    await ana.pull()
    expect(net.asked.splice(0)).toEqual(['page'])
    expect(ana.writes).toEqual([])
    await server.sql("update customers set name = name || '!' where id like 'a1%'")
    await server.sql("delete from customers where id like 'a2%'")
    await ana.mutate(rename('a1', 'Mine'))
    const steps: { reset: boolean; rows: number }[] = []
    ana.watch('customers', ({ reset, changes }) => steps.push({ reset, rows: changes.length }))
    await ana.rows('customers')
    steps.length = 0
    await ana.push()
    steps.length = 0
    await ana.pull()
    expect(net.asked.splice(0)).toEqual(['page', 'lines'])
    // One step, however it came.
    expect(steps.map(({ reset }) => reset)).toEqual([false])
    await expectAsOnServer(ana, server)
    expect(ana.writes).toEqual([])
  })
})

describe('a stream that is cut', () => {
  let server: Server
  beforeEach(async () => {
    server = await Server.start('sqlite')
    await server.shop('s1', ['ana'])
  })
  afterEach(() => server.stop())

  /** At every line's end, in the middle of every line, and one byte before its end. */
  function cuts(body: string): number[] {
    const at = new Set<number>([0])
    let begun = 0
    for (const line of bytes.encode(body).reduce<number[]>((ends, byte, index) => (byte === 10 ? [...ends, index + 1] : ends), [])) {
      at.add(begun + Math.floor((line - begun) / 2)).add(line - 1).add(line)
      begun = line
    }
    at.delete(begun)
    return [...at]
  }

  test.each(stores)('inv05, inv22: during a first sync into %s nothing of it counts', async (_, make) => {
    await server.customers('s1', 'ä', 2300)
    let body = ''
    const whole = await device(server, 'ana', 's1', { fetch: network((text) => void (body = text)).fetch })
    await whole.pull()
    const points = cuts(body)
    expect(points.length).toBeGreaterThan(10)
    for (const turn of points.keys()) {
      const open = await make()
      const net = network((text) => ({ at: cuts(text)[turn]!, broken: turn % 2 === 0 }))
      const ana = await device(server, 'ana', 's1', { store: open(), fetch: net.fetch })
      const waits = await ana.mutate(addCustomer(`c${turn}`, 'Mine', 's1'))
      await expect(ana.pull(), `cut ${turn}`).rejects.toMatchObject({ kind: 'offline' })
      expect(ana.cursor()).toBe('')
      expect((await shown(ana, 'customers', ['id'])).flat()).toEqual([`c${turn}`])
      // What a later stream or page does not name again must not stay from this one.
      await server.sql(`delete from customers where id = 'ä${turn + 1}'`)
      const again = turn % 3 === 0 ? ana : await device(server, 'ana', 's1', { store: open() })
      await again.pull()
      expect((await shown(again, 'customers', ['id'])).flat()).not.toContain(`ä${turn + 1}`)
      expect(again.writes.map(({ id }) => id)).toEqual([waits.id])
      await drain(again)
      await expectAsOnServer(again, server)
    }
  })

  test.each(stores)('inv06, inv07: during a catch-up into %s, what it told of gained and lost shops is told again', async (_, make) => {
    for (const shop of ['s2', 's3']) await server.shop(shop, [])
    await server.customers('s1', 'a', 300)
    await server.customers('s2', 'b', 50)
    await server.customers('s3', 'g', 3500)
    const prepare = async (net: ReturnType<typeof network>, open: () => Store) => {
      await server.join('s2', 'ana')
      const ana = await device(server, 'ana', 's1', { store: open(), fetch: net.fetch, pull: { pageSize: 40 } })
      await ana.pull()
      await server.leave('s2', 'ana')
      await server.join('s3', 'ana')
      await server.sql("update customers set name = name || '.' where shop_id = 's1'")
      await server.sql("delete from customers where id = (select min(id) from customers where shop_id = 's1')")
      return ana
    }
    let body = ''
    const whole = await prepare(network((text) => void (body = text)), await make())
    await whole.pull()
    await expectAsOnServer(whole, server)
    await server.leave('s3', 'ana')
    for (const turn of cuts(body).keys()) {
      const open = await make()
      let streams = 0
      // The first is the first sync.
      const net = network((text) => (++streams === 2 ? { at: cuts(text)[turn]!, broken: turn % 2 === 0 } : undefined))
      const ana = await prepare(net, open)
      await expect(ana.pull(), `cut ${turn}`).rejects.toMatchObject({ kind: 'offline' })
      expect(net.asked).toEqual(['lines', 'page', 'lines'])
      // The shop whose rows came is lost before they counted; another time it stays.
      if (turn % 2 === 0) await server.leave('s3', 'ana')
      else await server.sql(`delete from customers where id = (select min(id) from customers where shop_id = 's3')`)
      const again = turn % 3 === 0 ? ana : await device(server, 'ana', 's1', { store: open(), pull: { pageSize: 40 } })
      await again.pull()
      await expectAsOnServer(again, server)
      if (turn % 2 === 1) await server.leave('s3', 'ana')
    }
  })

  test('inv04: a network that cuts every stream does not keep a device from its rows', async () => {
    await server.customers('s1', 'a', 1200)
    const net = network((body) => ({ at: body.length - 5, broken: false }))
    const ana = await device(server, 'ana', 's1', { fetch: net.fetch, pull: { pageSize: 1000 } })
    await expect(ana.pull()).rejects.toMatchObject({ code: 'malformed' })
    await ana.pull()
    expect(net.asked).toEqual(['lines', 'page', 'page'])
    await expectAsOnServer(ana, server)
  })

  test('who was offline at first has a stream all the same', async () => {
    await server.customers('s1', 'a', 5)
    const net = network()
    await server.down()
    const ana = await device(server, 'ana', 's1', { fetch: net.fetch })
    for (let turn = 0; turn < 3; turn++) await expect(ana.pull()).rejects.toMatchObject({ code: 'network' })
    await server.up()
    await ana.pull()
    expect(net.asked).toEqual(['lines', 'lines', 'lines', 'lines'])
    await expectAsOnServer(ana, server)
  })

  test('pages where a stream cannot be read, or none is to be had, or none is wanted', async () => {
    await server.customers('s1', 'a', 60)
    const pull = { pageSize: 50 }
    const bodiless = network()
    const fetch = (async (url: string, init: RequestInit) => {
      const answer = await bodiless.fetch(url, init)
      return { status: answer.status, headers: answer.headers, text: () => answer.text() }
    }) as unknown as typeof globalThis.fetch
    const native = await device(server, 'ana', 's1', { fetch, pull })
    await native.pull()
    expect(bodiless.asked).toEqual(['lines', 'page', 'page'])
    await expectAsOnServer(native, server)
    const busy = network()
    const refusing = (async (url: string, init: RequestInit) => {
      const answer = await busy.fetch(url, init)
      return busy.asked.at(-1) === 'lines' ? new Response('{"error":"busy","code":"unavailable"}', { status: 503, headers: { 'retry-after': '1' } }) : answer
    }) as typeof globalThis.fetch
    const waiting = await device(server, 'ana', 's1', { fetch: refusing, pull })
    await waiting.pull()
    expect(busy.asked).toEqual(['lines', 'page', 'page'])
    await expectAsOnServer(waiting, server)
    const net = network()
    const paged = await device(server, 'ana', 's1', { fetch: net.fetch, pull: { ...pull, stream: false } })
    await paged.pull()
    expect(net.asked).toEqual(['page', 'page'])
    // A server that knows no lines answers with a page.
    const old = (async (url: string, init: RequestInit) => {
      const headers = new Headers(init.headers)
      headers.delete('accept')
      return globalThis.fetch(url, { ...init, headers })
    }) as typeof globalThis.fetch
    const served = await device(server, 'ana', 's1', { fetch: old, pull })
    await served.pull()
    await expectAsOnServer(served, server)
  })
})

describe('the engine by itself', () => {
  const end = (cursor: string, more: Partial<Page> = {}): Page => ({ changed: [], tombstoned: [], removed: [], removedBuckets: [], cursor, epoch: 'e', cursorReset: false, hasMore: false, lastMutationId: 0, ...more })
  const sizes = { pageRows: 10, batchOps: 10, batchBytes: 1 << 20 }
  const rows = (from: number, count: number): Row[] => Array.from({ length: count }, (_, at) => ({ id: `r${from + at}`, shop_id: 's1', name: `Name ${from + at}` }))
  const open = (store: Store) => Replica.open(store, { nowMs: () => 0, newId: () => crypto.randomUUID() }, schema)

  test('inv22: what arrives is handed to the store in bounded batches, and read from there when it is shown', async () => {
    const store = new MemoryStore()
    const batches: number[] = []
    const commit = store.commit.bind(store)
    store.commit = (batch: Batch) => (batches.push(batch.stage?.length ?? 0), commit(batch))
    const replica = await open(store)
    const told: { reset: boolean; changes: number; many: string[] }[] = []
    replica.changes.on(({ reset, changes, many }) => told.push({ reset, changes: changes.length, many }))
    let turn = 0
    const transport = {
      pull: async () => end(`more-${turn}`, { hasMore: true }),
      async lines(_: unknown, take: (table: string, rows: Row[]) => Promise<void>) {
        turn += 1
        for (let at = 0; at < 23; at++) await take('customers', rows(at * 1000, 1000))
        return end(`c${turn}`)
      },
    } as unknown as Transport
    await pull(replica, transport, sizes)
    expect(Math.max(...batches)).toBe(2000)
    expect(await store.count('customers')).toBe(23_000)
    // Nobody holds the table: its rows are not carried around, neither after a reset nor after a long absence.
    expect(told.splice(0)).toEqual([{ reset: true, changes: 0, many: [] }])
    await pull(replica, transport, sizes)
    expect(told.splice(0)).toEqual([{ reset: false, changes: 0, many: ['customers'] }])
    await replica.rows('customers', () => undefined)
    await pull(replica, transport, sizes)
    expect(told.splice(0)).toEqual([{ reset: false, changes: 23_000, many: [] }])
  })

  test.each(stores)('inv05: what a cut stream staged in %s is not taken by the next, also of the same client', async (_, make) => {
    const store = (await make())()
    const replica = await open(store)
    let cut = true
    const transport = {
      async lines(_: unknown, take: (table: string, rows: Row[]) => Promise<void>) {
        await take('customers', cut ? rows(0, 2500) : rows(100, 3))
        if (cut) throw new SyncError('offline', 'network', 'cut')
        return end('c1')
      },
    } as unknown as Transport
    await expect(pull(replica, transport, sizes)).rejects.toThrow('cut')
    expect(await store.count('customers')).toBe(0)
    cut = false
    await pull(replica, transport, sizes)
    expect(await store.count('customers')).toBe(3)
    // Nor is it taken by a page.
    const asked = { cursor: 'c1', clientID: replica.device.clientID }
    const intake = replica.receive(asked)
    await intake.take('customers', rows(500, 2000))
    await replica.applyPage({ ...end('c2'), changed: [{ table: 'customers', rows: rows(103, 1) }] }, asked)
    expect(await store.count('customers')).toBe(4)
  })

  test('a store that fails is not taken for the network', async () => {
    const store = new MemoryStore()
    const replica = await open(store)
    store.commit = async () => {
      throw new Error('the disk is full')
    }
    const { HttpTransport } = await import('../src/engine/transport')
    const answer = () => new Response(`${JSON.stringify({ table: 'customers', rows: rows(0, 6000) })}\n${JSON.stringify(end('c1'))}\n`, { headers: { 'content-type': LINES } })
    const transport = new HttpTransport({ server: 'http://x', auth: { getHeaders: () => ({}) }, fetch: (async () => answer()) as never, timeoutMs: 1000, contractVersion: () => '1' })
    const failed = await pull(replica, transport, sizes).catch((error: unknown) => error)
    expect(failed).toMatchObject({ message: 'the disk is full' })
    expect(failed).not.toBeInstanceOf(SyncError)
  })

  test('inv05: a stream that another pull has overtaken stages nothing more', async () => {
    const replica = await open(new MemoryStore())
    const asked = { cursor: '', clientID: replica.device.clientID }
    const [late, next] = [replica.receive(asked), replica.receive(asked)]
    await expect(late.take('customers', rows(0, 2000))).rejects.toMatchObject({ code: 'stale' })
    expect(await replica.applyPage(end('late'), asked, late)).toBe('stale')
    await next.take('customers', rows(0, 2))
    await next.flush()
    expect(await replica.applyPage(end('c1'), asked, next)).toBe('complete')
    expect(replica.device.cursor).toBe('c1')
  })
})
