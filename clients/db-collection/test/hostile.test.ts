// Servers that say nonsense, or the same failure for ever: no hot loop, no write forgotten, nothing waits unasked behind another.
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createNizhalClient, type NizhalClient } from '../src/client'
import type { Draft } from '../src/engine/outbox'
import { MemoryStore } from '../src/store/memory'
import type { Mutation } from '../src/protocol/wire'
import { addCustomer, drain, rename, schema } from './harness/device'
import { Hostile, type Asked, type Reply } from './harness/hostile'
import { token } from './harness/server'

let server: Hostile
const open: NizhalClient[] = []
beforeEach(async () => {
  server = await Hostile.start()
})
afterEach(async () => {
  for (const client of open.splice(0)) await client.close()
  server.stop()
})

async function device(options: object = {}): Promise<NizhalClient> {
  const auth = { getHeaders: () => ({ authorization: `Bearer ${token('ana', 's1')}` }) }
  const client = createNizhalClient({ server: server.url, auth, schema, online: false, locks: null, subscribeSource: null, witness: null, timeoutMs: 300, reconnect: { minMs: 10, maxMs: 40 }, pull: { intervalMs: 20 }, ...options })
  open.push(client)
  await client.ready
  return client
}

/** Looks again and again; the limit is a test that hangs, not a measure of time. */
async function until(what: string, look: () => boolean): Promise<void> {
  const end = Date.now() + 10_000
  while (!look()) {
    if (Date.now() > end) throw new Error(`it never came to this: ${what}`)
    await pause(5)
  }
}

const isPush = ({ body }: Asked) => body.mutations !== undefined
const has = ({ body }: Asked, name: string) => body.mutations?.some(({ args }) => (args as { name?: string }).name === name) ?? false
const rejected = (client: NizhalClient) => client.writes.filter(({ state }) => state === 'rejected').map(({ id, refusal }) => [id, refusal?.status, refusal?.code])

describe('a failure that repeats for the same mutation', () => {
  const failures: [string, Reply][] = [
    ['500', { status: 500, body: { error: 'it broke', code: 'internal' } }],
    ['500 of a proxy', { status: 500, body: '<h1>Oh no</h1>' }],
    ['501', { status: 501 }],
    ['502', { status: 502 }],
    ['503 without a wait', { status: 503 }],
    ['504', { status: 504 }],
    ['404', { status: 404 }],
    ['403 of a firewall', { status: 403, body: '<h1>Blocked</h1>' }],
    ['an answer that is none', { status: 200, body: '<h1>Welcome</h1>' }],
    ['an answer without results', { status: 200, body: { results: [] } }],
    ['an answer with a status of its own', { status: 200, body: { results: [{ clientMutationId: 'x', status: 'perhaps' }] } }],
  ]

  test.each(failures)('inv16, inv41: %s: it is parked with its reason, what depends on it is cancelled, the rest goes on', async (_, reply) => {
    server.script = (asked) => (has(asked, 'Poison') ? reply : undefined)
    const client = await device()
    const before = await client.mutate(addCustomer('c0', 'Before', 's1'))
    const poison = await client.mutate(addCustomer('c1', 'Poison', 's1'))
    const on = await client.mutate(rename('c1', 'Depends'))
    const after = await Promise.all(['c2', 'c3', 'c4'].map((id) => client.mutate(addCustomer(id, `After ${id}`, 's1'))))
    const over = [before, ...after].map(({ id }) => client.confirmed(id))
    client.setOnline(true)
    await Promise.all(over)
    await until('it is parked', () => rejected(client).length === 2)
    expect(rejected(client).map(([id, status]) => [id, status])).toEqual([[poison.id, 'undecided'], [on.id, 'cancelled']])
    expect(client.writes.find(({ id }) => id === poison.id)?.refusal?.code).not.toBe('')
    await expect(client.confirmed(poison.id)).rejects.toThrow()
    await until('all is well again', () => client.status.phase === 'idle')
    expect(server.ran.sort()).toEqual(['After c2', 'After c3', 'After c4', 'Before'])
    // It may have been applied all the same: sent again, it is the same mutation.
    server.script = () => undefined
    expect((await client.retry(poison.id))?.id).toBe(poison.id)
    await client.confirmed(poison.id)
    expect(server.ran.at(-1)).toBe('Poison')
  })

  test('inv16: the poison of a long queue is found in few requests', async () => {
    server.script = (asked) => (has(asked, 'Poison') ? { status: 500 } : undefined)
    const client = await device()
    for (let at = 0; at < 150; at++) await client.mutate(addCustomer(`c${at}`, at === 97 ? 'Poison' : `N${at}`, 's1'))
    client.setOnline(true)
    await until('the rest is applied', () => server.ran.length === 149)
    await until('it is parked', () => rejected(client).length === 1)
    expect(server.pushes().length).toBeLessThan(40)
  })

  test('inv04: alone in the queue it is never parked: the phase says that it is stuck, and a new write goes before it', async () => {
    server.script = (asked) => (has(asked, 'Poison') ? { status: 500, body: { error: 'it broke', code: 'internal' } } : undefined)
    const client = await device({ online: true })
    const poison = await client.mutate(addCustomer('c1', 'Poison', 's1'))
    await until('it says so', () => client.status.phase === 'stuck')
    expect(client.status.error).toEqual({ kind: 'busy', code: 'internal', message: 'it broke', write: poison.id })
    expect(client.status.pending).toBe(1)
    const fine = await client.mutate(addCustomer('c2', 'Fine', 's1'))
    await client.confirmed(fine.id)
    await until('it is parked', () => client.status.rejected === 1)
  })

  test('inv17: a server that fails at everything parks nothing, and all goes out when it is well', async () => {
    let broken = true
    server.script = (asked) => (broken && isPush(asked) ? { status: 500 } : undefined)
    const client = await device({ online: true })
    for (let at = 0; at < 6; at++) await client.mutate(addCustomer(`c${at}`, `N${at}`, 's1'))
    await until('it says so', () => client.status.phase === 'stuck')
    await until('each was tried', () => new Set(server.pushes().slice(1).map(([first]) => first!.clientMutationId)).size === 6)
    expect(rejected(client)).toEqual([])
    broken = false
    await until('all is applied', () => server.ran.length === 6 && client.writes.length === 0)
  })

  test('inv17: a 503 that says when to come back never parks, nor does a 429', async () => {
    for (const status of [503, 429]) {
      server.script = (asked) => (has(asked, 'Later') ? { status, headers: { 'retry-after': '0' } } : undefined)
      const client = await device({ online: true })
      await client.mutate(addCustomer(`c${status}`, 'Later', 's1'))
      await client.mutate(addCustomer(`d${status}`, 'Behind', 's1'))
      server.asked.length = 0
      await until('it was tried many times', () => server.pushes().length > 15)
      expect([rejected(client), client.status.pending, client.status.phase === 'stuck']).toEqual([[], 2, false])
      server.script = () => undefined
      await until('it is applied', () => client.writes.length === 0)
      client.setOnline(false)
    }
  })

  test('inv16: a mutation that breaks every connection keeps nobody waiting, and is not parked for what the network did', async () => {
    for (const reply of ['break', 'silence'] as const) {
      server.script = (asked) => (has(asked, 'Poison') ? reply : undefined)
      const client = await device({ online: true, timeoutMs: 60 })
      const poison = await client.mutate(addCustomer(`p-${reply}`, 'Poison', 's1'))
      const fine = await client.mutate(addCustomer(`f-${reply}`, 'Fine', 's1'))
      await client.confirmed(fine.id)
      await until('it says so', () => client.status.phase === 'stuck' && client.status.error?.write === poison.id)
      expect(rejected(client)).toEqual([])
      client.setOnline(false)
    }
  })

  test('inv17: who is offline parks nothing and reorders nothing', async () => {
    const client = await device({ online: true, fetch: (async () => { throw new TypeError('offline') }) as typeof fetch })
    const made = [await client.mutate(addCustomer('c1', 'One', 's1')), await client.mutate(addCustomer('c2', 'Two', 's1'))]
    let failures = 0
    client.onStatus(({ phase }) => (failures += phase === 'waiting' ? 1 : 0))
    await until('it failed many times', () => failures > 12)
    expect(client.writes.map(({ id, state }) => [id, state])).toEqual(made.map(({ id }) => [id, 'pending']))
    expect(client.status.phase).not.toBe('stuck')
  })

  test('inv13: the doubt outlives a reload', async () => {
    server.script = (asked) => (has(asked, 'Poison') ? { status: 500 } : undefined)
    const store = new MemoryStore()
    const first = await device({ store })
    await first.mutate(addCustomer('c1', 'Poison', 's1'))
    for (let at = 0; at < 3; at++) await first.push().catch(() => undefined)
    await first.close()
    const again = await device({ store })
    await again.mutate(addCustomer('c2', 'Fine', 's1'))
    await again.push().catch(() => undefined)
    expect(server.ran).toEqual(['Fine'])
  })
})

describe('numbers that no server should send', () => {
  /** How many requests came while the client was left alone for so long. A bound, not a measure: a hot loop makes hundreds. */
  async function requests(ms: number): Promise<number> {
    server.asked.length = 0
    await pause(ms)
    return server.asked.length
  }
  const usual = { reconnect: undefined, pull: { intervalMs: 60_000 }, online: true }

  test.each(['0', '-1', '2592000', 'NaN', '', '1e400', 'Infinity', '-Infinity', 'soon', 'Wed, 21 Oct 2015 07:28:00 GMT', 'Wed, 21 Oct 2099 07:28:00 GMT', '0.0001'])('inv31: Retry-After: %s', async (value) => {
    for (const status of [503, 429, 500]) {
      server.script = () => ({ status, headers: { 'retry-after': value } })
      const client = await device(usual)
      await client.mutate(addCustomer('c1', 'Waits', 's1'))
      expect(await requests(1000), `${status}`).toBeLessThan(12)
      client.setOnline(false)
    }
  })

  test('inv31: a server that asks for a wait is left alone for it, also by new writes', async () => {
    server.script = () => ({ status: 503, headers: { 'retry-after': '3600' } })
    const client = await device(usual)
    await until('it was asked', () => client.status.phase === 'waiting')
    server.asked.length = 0
    for (let at = 0; at < 20; at++) await client.mutate(addCustomer(`c${at}`, 'Waits', 's1'))
    expect(await requests(300)).toBe(0)
  })

  test('inv04: a stream that is opened anew, or a network that comes back, during a wait does not end the tries', async () => {
    server.script = () => ({ status: 503, headers: { 'retry-after': '0.3' } })
    const client = await device({ ...usual, reconnect: { minMs: 10, maxMs: 60_000 } })
    await until('it was asked', () => client.status.phase === 'waiting')
    client.setSource(null)
    client.setOnline(false)
    client.setOnline(true)
    client.setSource(null)
    server.script = () => undefined
    await until('it came through', () => client.status.phase === 'idle')
  })

  const endless: [string, () => object][] = [
    ['pages that say nothing but “more”', () => ({ changed: [], cursor: `c${Math.random()}`, hasMore: true })],
    ['the same rows for ever', () => ({ cursor: `c${Math.random()}`, hasMore: true })],
    ['a cursor that stands still', () => ({ cursor: 'same', hasMore: true })],
    ['cursors in a circle', () => ({ cursor: `c${server.asked.length % 3}`, hasMore: true })],
    ['a reset on every page', () => ({ cursor: `c${Math.random()}`, hasMore: true, cursorReset: true })],
    ['another epoch on every page', () => ({ cursor: `c${Math.random()}`, hasMore: true, epoch: `e${Math.random()}` })],
  ]
  test.each(endless)('inv04: %s', async (_, more) => {
    server.script = (asked) => (isPush(asked) ? undefined : { body: server.page('', more()) })
    const client = await device(usual)
    await client.mutate(addCustomer('c1', 'Kept', 's1'))
    expect(await requests(1500)).toBeLessThan(120)
    await until('it says so', () => client.status.error !== undefined)
    client.setOnline(false)
    server.script = () => undefined
    await drain(client)
    expect(server.ran).toEqual(['Kept'])
  })

  test.each([-1, 1.5, 1e308, Number.MAX_SAFE_INTEGER, 2 ** 60, '7', null, [], {}])('inv11: lastMutationId %j drops no write and hides none', async (last) => {
    const nonsense = () => ({ body: { ...server.page('', { lastMutationId: last }) } })
    server.script = (asked) => (isPush(asked) ? { status: 503 } : nonsense())
    const client = await device()
    const write = await client.mutate(addCustomer('c1', 'Mine', 's1'))
    await client.pull()
    await client.push().catch(() => undefined)
    expect((await client.rows('customers')).map(({ id }) => id)).toEqual(['c1'])
    server.script = () => undefined
    await drain(client)
    await client.confirmed(write.id)
    expect(server.ran).toEqual(['Mine'])
  })

  test.each([-1, 1.5, 1e308, Number.MAX_SAFE_INTEGER, '7', null])('inv23: a result’s lastMutationId %j', async (last) => {
    let lies = true
    server.script = ({ body }) => (lies && body.mutations ? { body: { results: body.mutations.map(({ clientMutationId }) => ({ clientMutationId, status: 'outOfOrder', lastMutationId: last })) } } : undefined)
    const client = await device({ ...usual })
    const write = await client.mutate(addCustomer('c1', 'Mine', 's1'))
    expect(await requests(1000)).toBeLessThan(40)
    lies = false
    client.setOnline(false)
    await drain(client)
    await client.confirmed(write.id)
  })

  test('inv31: pings without end', async () => {
    let heard: (text: string) => void = () => undefined
    const client = await device({ ...usual, subscribeSource: ({ onMessage }: { onMessage(text: string): void }) => ((heard = onMessage), { send() {}, close() {} }) })
    let over = false
    const flood = (async () => {
      while (!over) {
        heard('repull:myShops:s1')
        await pause(1)
      }
    })()
    await until('it is there', () => client.status.lastSyncedAt !== undefined)
    expect(await requests(2000)).toBeLessThan(60)
    over = true
    await flood
  })

  test('inv31: sockets that open and close at once', async () => {
    let opened = 0
    class Closing {
      onopen = () => undefined
      onclose = (_: { code: number }) => undefined
      readyState = 1
      constructor() {
        opened += 1
        setImmediate(() => (this.onopen(), setImmediate(() => this.onclose({ code: 1011 }))))
      }
      send() {}
      close() {}
    }
    await device({ ...usual, reconnect: { minMs: 10, maxMs: 60_000 }, subscribeSource: undefined, WebSocket: Closing })
    expect(await requests(2000)).toBeLessThan(40)
    expect(opened).toBeGreaterThan(3)
    expect(opened).toBeLessThan(14)
  })

  test('options that cannot be meant', async () => {
    for (const bad of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      server.script = () => ({ status: 500 })
      const client = await device({ online: true, reconnect: { minMs: bad, maxMs: bad, jitter: bad }, pull: { intervalMs: bad, pageSize: bad }, ttl: bad })
      expect(await requests(500)).toBeLessThan(60)
      client.setOnline(false)
    }
  })

  test('presence frames that are none stop no socket', async () => {
    let heard: (text: string) => void = () => undefined
    const client = await device({ ...usual, subscribeSource: ({ onMessage }: { onMessage(text: string): void }) => ((heard = onMessage), { send() {}, close() {} }) })
    await until('it is there', () => client.status.lastSyncedAt !== undefined)
    for (const body of ['', '{', 'null', '7', '[]', '{"bucket":7}', '{"bucket":"b","state":null}', '{"bucket":"b","state":{"ana":7}}', '{"bucket":"b","state":{"ana":[null,{"presence_ref":1}]}}']) {
      for (const kind of ['state', 'diff', 'other']) heard(`presence:${kind}:${body}`)
    }
    heard('presence:state:{"bucket":"b","state":{"ana":[{"presence_ref":"1"}]}}')
    expect(client.presenceState('b')).toEqual({ ana: [{ presence_ref: '1' }] })
  })
})

describe('a number that another copy of the device has used', () => {
  /** Answers as a server that knows no other wire. */
  function wire1({ body }: Asked): Reply | undefined {
    if (!body.mutations) return undefined
    const results = server.push(body.mutations) as { clientMutationId: string; status: string; code?: string; lastMutationId: number }[]
    const applied: string[] = []
    for (const { clientMutationId, status, code, lastMutationId } of results) {
      if (status === 'applied') applied.push(clientMutationId)
      else if (code === 'number_used') return { body: { applied, lastMutationId } }
      else if (status === 'outOfOrder') return { status: 409, body: { code, error: status, applied, lastMutationId } }
      else return { status: 422, body: { code: code ?? 'rejected', error: 'no such customer', applied } }
    }
    return { body: { applied, lastMutationId: results.at(-1)?.lastMutationId } }
  }

  test.each([['wire 1', wire1], ['wire 2', () => undefined]] as [string, typeof wire1][])('inv12, inv23: %s: all is renumbered and sent again, nothing is forgotten or run twice', async (_, script) => {
    server.script = script
    const client = await device()
    const writes: { id: string }[] = []
    const write = async (draft: Draft) => writes.push(await client.mutate(draft))
    await write(addCustomer('c1', 'One', 's1'))
    await client.push()
    const { clientID } = server.pushes()[0]![0]!
    server.used(clientID, 5)
    await write(addCustomer('c2', 'Two', 's1'))
    await write(addCustomer('c3', 'Refused', 's1'))
    await write(addCustomer('c4', 'Four', 's1'))
    await client.pull()
    // The other copy's acknowledgement is not ours: the writes stay on the screen.
    expect((await client.rows('customers')).map(({ id }) => id).sort()).toEqual(['c1', 'c2', 'c3', 'c4'])
    await drain(client)
    expect(server.ran).toEqual(['One', 'Two', 'Four'])
    expect(rejected(client)).toEqual([[writes[2]!.id, 'rejected', 'rejected']])
    for (const at of [1, 3]) await client.confirmed(writes[at]!.id)
    const last = server.pushes().at(-1)!
    expect(last.every((one: Mutation) => one.clientID !== clientID)).toBe(true)
  })

  test.each([422, 200])('inv12: an answer that the server has forgotten (%i)', async (status) => {
    const expired = { code: 'expired', error: 'this answer is no longer kept' }
    const client = await device()
    const unknown = await client.mutate(addCustomer('c1', 'Old', 's1'))
    const fine = await client.mutate(addCustomer('c2', 'New', 's1'))
    server.script = ({ body }) => {
      const [first] = body.mutations ?? []
      if (first?.clientMutationId !== unknown.id) return undefined
      server.used(first.clientID, 1)
      if (status === 422) return { status, body: { ...expired, applied: [] } }
      return { body: { results: [{ clientMutationId: first.clientMutationId, status: 'rejected', ...expired }, ...server.push(body.mutations!.slice(1))] } }
    }
    await drain(client)
    await client.confirmed(fine.id)
    expect(rejected(client)).toEqual([[unknown.id, 'rejected', 'expired']])
  })

  test('inv12: what was applied before and is replayed past its answer is applied', async () => {
    const client = await device()
    await client.pull()
    const write = await client.mutate(addCustomer('c1', 'Once', 's1'))
    await client.push()
    // Another epoch: what the rows do not show yet is delivered again.
    server.script = ({ body }) => {
      const [first] = body.mutations ?? []
      if (!first) return { body: server.page(body.deviceId ?? '', { epoch: 'f' }) }
      server.used(first.clientID, 1)
      return { body: { results: [{ clientMutationId: write.id, status: 'rejected', code: 'expired', error: 'this answer is no longer kept' }] } }
    }
    await drain(client)
    await client.confirmed(write.id)
    expect(client.writes).toEqual([])
  })
})
