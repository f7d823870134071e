// Traffic by itself: pings, polling, failures, credentials; and what happens around a crash.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import WebSocketClass from 'ws'
import { WebSocket as PartyWebSocket } from 'partysocket'
import type { NizhalClient } from '../src/client'
import { tick } from '../src/protocol/hlc'
import { MemoryStore } from '../src/store/memory'
import { createPartySocketSource } from '../src/partysocket'
import { addCustomer, device, drain, pay, rename, schema, shown } from './harness/device'
import { Server, token } from './harness/server'

let server: Server
const open: NizhalClient[] = []
beforeEach(async () => {
  server = await Server.start('sqlite')
  await server.shop('s1', ['ana', 'ben'])
})
afterEach(async () => {
  for (const client of open.splice(0)) await client.close()
  await server.stop()
})

const Socket = WebSocketClass as unknown as typeof WebSocket
const fast = { minMs: 20, maxMs: 100, jitter: 0.5 }

async function running(user: string, options: Parameters<typeof device>[3] = {}) {
  const client = await device(server, user, 's1', { online: true, subscribeSource: undefined as never, WebSocket: Socket, reconnect: fast, pull: { intervalMs: 3_600_000 }, ...options })
  open.push(client)
  return client
}

/** Resolves when `look` is true, looked at whenever the client says something. */
function until(client: NizhalClient, look: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const stops: (() => void)[] = []
    const check = () => {
      if (!look()) return
      stops.forEach((stop) => stop())
      resolve()
    }
    stops.push(client.onStatus(check), client.onPresence(check), client.watch('customers', check))
    check()
  })
}

async function named(client: NizhalClient, name: string): Promise<void> {
  const seen = new Set<string>()
  const stop = client.watch('customers', ({ changes }) => changes.forEach(({ row }) => row && seen.add(String(row['name']))))
  await until(client, () => seen.has(name))
  stop()
}

describe.each([
  ['the WebSocket', () => ({})],
  ['partysocket', () => ({ subscribeSource: createPartySocketSource(PartyWebSocket as never, { WebSocket: Socket, minReconnectionDelay: 20, maxReconnectionDelay: 100 }) })],
])('%s', (_, source) => {
  test('a write reaches the other device by its ping, and again after the server was gone', async () => {
    const [ana, ben] = [await running('ana', source()), await running('ben', source())]
    await until(ben, () => ben.status.streaming)
    await ana.mutate(addCustomer('c1', 'Pinged', 's1'))
    await named(ben, 'Pinged')
    await server.down()
    await ana.mutate(addCustomer('c2', 'While it was gone', 's1'))
    await until(ben, () => !ben.status.streaming)
    await server.up()
    await named(ben, 'While it was gone')
    await until(ana, () => ana.status.pending === 0)
  })
})

test('presence: who is there is seen, and that they left', async () => {
  const [ana, ben] = [await running('ana', { presence: { name: 'Ana' } }), await running('ben', { presence: { name: 'Ben' } })]
  const names = (client: NizhalClient) => Object.values(client.presenceState('myShops:s1')).flat().map(({ name }) => name).sort().join()
  await until(ana, () => names(ana) === 'Ana,Ben')
  await until(ben, () => names(ben) === 'Ana,Ben')
  expect(ana.scope()).toEqual(['myShops:s1'])
  await ben.track('myShops:s1', { name: 'Ben', typing: true })
  await until(ana, () => ana.presenceState('myShops:s1')['ben']?.[0]?.['typing'] === true)
  await ben.untrack('myShops:s1')
  await until(ana, () => names(ana) === 'Ana')
  ana.setOnline(false)
  expect(ana.presenceState('myShops:s1')).toEqual({})
})

test('without pings the interval brings the news', async () => {
  const ben = await running('ben', { subscribeSource: null, pull: { intervalMs: 30 } })
  await until(ben, () => ben.status.lastSyncedAt !== undefined)
  await server.sql("insert into customers (id, shop_id, name) values ('c1', 's1', 'Polled')")
  await named(ben, 'Polled')
})

test('an expired token is renewed, and what waits goes out', async () => {
  let current = token('ana', 's1', -10)
  let renewed = 0
  const auth = { getHeaders: () => ({ authorization: `Bearer ${current}` }), refresh: () => void (current = (renewed++, token('ana', 's1'))) }
  const ana = await running('ana', { auth, subscribeSource: null })
  await ana.mutate(addCustomer('c1', 'Sunil', 's1'))
  await until(ana, () => ana.status.pending === 0 && ana.status.phase === 'idle')
  expect(renewed).toBe(1)
  expect(await server.sql('select id from customers')).toEqual([['c1']])
})

test('inv27: a client that is too old is told so, keeps its writes, and goes on after its update', async () => {
  const store = new MemoryStore()
  let old = true
  const fetch = (async (url: string, init: RequestInit) => {
    const version = (init.headers as Record<string, string>)['x-nizhal-contract-version']
    if (old && url.endsWith('/sync/push')) return new Response(JSON.stringify({ error: `version ${version} is too old`, code: 'upgrade_required' }), { status: 426 })
    return globalThis.fetch(url, init)
  }) as typeof globalThis.fetch
  const ana = await running('ana', { store, fetch, subscribeSource: null })
  await ana.mutate(addCustomer('c1', 'Sunil', 's1'))
  await until(ana, () => ana.status.error?.kind === 'upgrade_required')
  expect(ana.status.error?.message).toContain('1.0.0')
  expect(ana.status.pending).toBe(1)
  await ana.close()
  old = false
  const updated = await running('ana', { store, fetch, subscribeSource: null })
  await until(updated, () => updated.status.pending === 0 && updated.status.phase === 'idle')
})

describe('crashes and reloads', () => {
  test('inv13: between the local commit and the push', async () => {
    const store = new MemoryStore()
    const ana = await device(server, 'ana', 's1', { store })
    await ana.mutate(addCustomer('c1', 'Kept', 's1'))
    // Nothing of the first client is used again: it crashed.
    const again = await device(server, 'ana', 's1', { store })
    expect(await shown(again, 'customers', ['name'])).toEqual([['Kept']])
    await drain(again)
    expect(await server.sql('select id from customers')).toEqual([['c1']])
  })

  test('inv12: between the push and its answer, it applies once and the first answer counts', async () => {
    const store = new MemoryStore()
    const never = new Promise<never>(() => undefined)
    let arrived: () => void = () => undefined
    const push = new Promise<void>((resolve) => (arrived = resolve))
    const fetch = (async (url: string, init: RequestInit) => {
      const answer = await globalThis.fetch(url, { ...init, signal: null })
      await answer.text()
      arrived()
      return never
    }) as typeof globalThis.fetch
    const ana = await device(server, 'ana', 's1', { store, fetch })
    await ana.mutate(addCustomer('c1', 'Once', 's1'))
    await ana.mutate(pay('e1', 'nobody', '1', 's1'))
    void ana.push().catch(() => undefined)
    await push
    const again = await device(server, 'ana', 's1', { store })
    await again.pull()
    // The rows show it already, and still it is asked for until there is an answer.
    expect(again.status.pending).toBe(2)
    await drain(again)
    expect(again.writes.map(({ name, state }) => [name, state])).toEqual([['recordPayment', 'rejected']])
    expect((await server.sql('select count(*) from _nizhal_mutations')).flat()).toEqual(['2'])
  })

  test('inv27: another schema asks for every row again, and keeps what waits', async () => {
    await server.customers('s1', 'a', 3)
    const store = new MemoryStore()
    const before = await device(server, 'ana', 's1', { store, schema: { ...schema, hash: 'before' } })
    await before.pull()
    await before.mutate(rename('a1', 'Mine'))
    await before.close()
    const after = await device(server, 'ana', 's1', { store })
    // Until the first page comes, what was there is there.
    expect((await shown(after, 'customers', ['name'])).length).toBe(3)
    expect(after.cursor()).toBe('')
    await drain(after)
    expect(await shown(after, 'customers', ['id', 'name'])).toEqual([['a1', 'Mine'], ['a2', 'Name 2'], ['a3', 'Name 3']])
  })

  test('inv20: a clock that is stepped back reorders nothing', async () => {
    let now = Date.parse('2026-11-21T10:00:00Z')
    let ids = 0
    const environment = { nowMs: () => now, newId: () => `00000000-0000-4000-8000-${String(++ids).padStart(12, '0')}` }
    const store = new MemoryStore()
    const ana = await device(server, 'ana', 's1', { store, environment })
    await ana.mutate(addCustomer('c1', 'First', 's1'))
    now -= 3 * 3600_000
    await ana.mutate(rename('c1', 'Second'))
    await ana.close()
    const again = await device(server, 'ana', 's1', { store, environment })
    await again.mutate(rename('c1', 'Third'))
    expect(again.writes.map(({ madeAt }) => madeAt)).toEqual(['2026-11-21T10:00:00.000Z', '2026-11-21T10:00:00.000Z', '2026-11-21T10:00:00.000Z'])
    await drain(again)
    expect(await server.sql('select name from customers')).toEqual([['Third']])
  })

  test('inv15: a store that was copied does not lose its writes to the copy', async () => {
    const store = new MemoryStore()
    const first = await device(server, 'ana', 's1', { store })
    await first.pull()
    const copy = new MemoryStore()
    await copy.commit({ meta: (await store.open()).meta })
    const second = await device(server, 'ana', 's1', { store: copy })
    await first.mutate(addCustomer('c1', 'One', 's1'))
    await second.mutate(addCustomer('c2', 'Two', 's1'))
    await drain(first)
    await drain(second)
    await drain(first)
    expect((await server.sql('select id from customers order by id')).flat()).toEqual(['c1', 'c2'])
    expect(await shown(first, 'customers', ['id'])).toEqual([['c1'], ['c2']])
  })
})

describe('behind a proxy that drops our headers, so that the server speaks wire 1', () => {
  const fetch = ((url: string, init: RequestInit) => {
    const { 'x-nizhal-wire': _, ...headers } = init.headers as Record<string, string>
    return globalThis.fetch(url, { ...init, headers })
  }) as typeof globalThis.fetch

  test('inv15, inv16: writes go out, a refused one is parked, the rest goes on', async () => {
    await server.customers('s1', 'a', 3)
    const ana = await device(server, 'ana', 's1', { fetch })
    await drain(ana)
    await ana.mutate(addCustomer('c1', 'One', 's1'))
    const refused = await ana.mutate(pay('e1', 'nobody', '1', 's1'))
    await ana.mutate(addCustomer('c2', 'Two', 's1'))
    await drain(ana)
    expect(ana.writes.map(({ id, refusal }) => [id, refusal?.status])).toEqual([[refused.id, 'rejected']])
    expect((await server.sql('select id from customers order by id')).flat()).toEqual(['a1', 'a2', 'a3', 'c1', 'c2'])
  })

  test('inv12, inv23: a store that was copied does not lose its writes to the copy', async () => {
    const store = new MemoryStore()
    const first = await device(server, 'ana', 's1', { store, fetch })
    await first.pull()
    const copy = new MemoryStore()
    await copy.commit({ meta: (await store.open()).meta })
    const second = await device(server, 'ana', 's1', { store: copy, fetch })
    await first.mutate(addCustomer('c1', 'One', 's1'))
    await second.mutate(addCustomer('c2', 'Two', 's1'))
    await second.mutate(rename('c2', 'Three'))
    for (const one of [first, second, first]) await drain(one)
    expect(await server.sql('select id, name from customers order by id')).toEqual([['c1', 'One'], ['c2', 'Three']])
    expect(await shown(first, 'customers', ['id'])).toEqual([['c1'], ['c2']])
  })

  test('inv07: a lost bucket, named by its bare value, is purged', async () => {
    await server.shop('s2', ['ana'])
    await server.customers('s1', 'a', 2)
    await server.customers('s2', 'b', 2)
    const ana = await device(server, 'ana', 's1', { fetch })
    await ana.pull()
    expect((await shown(ana, 'customers', ['id'])).length).toBe(4)
    await server.leave('s2', 'ana')
    await ana.pull()
    expect((await shown(ana, 'customers', ['id'])).flat()).toEqual(['a1', 'a2'])
  })
})

test('a mutation that is too large for any request is parked, and the rest goes on', async () => {
  const ana = await device(server, 'ana', 's1')
  await ana.mutate(addCustomer('big', 'x'.repeat(1_200_000), 's1'))
  await ana.mutate(addCustomer('c1', 'Small', 's1'))
  await drain(ana)
  expect(ana.writes.map(({ refusal }) => refusal?.code)).toEqual(['too_large'])
  expect(await server.sql('select id from customers')).toEqual([['c1']])
})

test('tables that the app does not name are asked from the server, and known offline from then on', async () => {
  await server.join('s2', 'ana')
  await server.sql("insert into shops (id, name, owner_id) values ('s2', 's2', 'o1')")
  await server.customers('s2', 'b', 2)
  const store = new MemoryStore()
  const ana = await device(server, 'ana', 's1', { store, schema: undefined as never })
  expect(ana.schema).toBeUndefined()
  await ana.pull()
  expect(ana.schema?.tables['customers']?.primaryKey).toEqual(['id'])
  expect((await shown(ana, 'customers', ['id'])).flat()).toEqual(['b1', 'b2'])
  await server.leave('s2', 'ana')
  await ana.pull()
  expect(await shown(ana, 'customers', ['id'])).toEqual([])
  await ana.close()
  await server.down()
  const offline = await device(server, 'ana', 's1', { store, schema: undefined as never })
  expect(Object.keys(offline.schema?.tables ?? {})).toContain('ledger_entries')
})

test('local mode: no server, now or ever', async () => {
  const alone = await device({ url: '' }, 'ana', 's1', { mode: 'local', server: undefined as never, online: true })
  await alone.mutate(addCustomer('c1', 'Mine', 's1'))
  await alone.push()
  expect(await shown(alone, 'customers', ['name'])).toEqual([['Mine']])
  expect(alone.status.pending).toBe(1)
})

test('a brownfield backend through syncTarget', async () => {
  const pushed: string[] = []
  const target = {
    pull: async () => ({ changed: [{ table: 'customers', rows: pushed.map((id) => ({ id, shop_id: 's1', name: 'Theirs' })) }], tombstoned: [], removed: [], removedBuckets: [], cursor: `at-${pushed.length}`, epoch: 'e', cursorReset: false, hasMore: false, lastMutationId: pushed.length }),
    push: async (mutations: { clientMutationId: string; args: unknown }[]) => mutations.map(({ clientMutationId, args }) => (pushed.push((args as { clientId: string }).clientId), { clientMutationId, status: 'applied' as const })),
    contract: async () => ({}),
  }
  const client = await device({ url: '' }, 'ana', 's1', { syncTarget: target })
  await client.mutate(addCustomer('c1', 'Mine', 's1'))
  await drain(client)
  expect(await shown(client, 'customers', ['name'])).toEqual([['Theirs']])
})

test('stamps never go back, and stay in order as text', () => {
  const node = 'a'.repeat(32)
  let last: string | undefined
  const stamps: string[] = []
  for (const now of [1000, 1000, 500, 2000, 1999, ...Array<number>(70_000).fill(1500), 2001]) stamps.push((last = tick(last, now, node)))
  expect(stamps).toEqual([...stamps].sort())
  expect(new Set(stamps).size).toBe(stamps.length)
  expect(stamps[0]).toBe(`1970-01-01T00:00:01.000Z-0000-${node}`)
})
