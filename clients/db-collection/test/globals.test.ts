// A page where something of the browser is absent, throws or never answers: the client starts, no write is lost, and none is called
// confirmed that the server refused.
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createNizhalClient, type NizhalClient } from '../src/client'
import { whyNoPrivateFiles } from '../src/platform'
import type { NizhalWrite } from '../src/status'
import { addCustomer, schema } from './harness/device'
import { GLOBALS, Globals, Locks, never, nothing, plainFetch, REAL, type Trouble } from './harness/globals'
import { Hostile } from './harness/hostile'
import { token } from './harness/server'
import { waSqlitePersistence } from '../src/store/persistence'
import { WaDatabase, type OpenReply, type WorkerReply, type WorkerRequest } from '../src/store/wa-sqlite'
import { Disk, waApi } from './harness/wasm'

const globals = new Globals()
let server: Hostile
let client: NizhalClient | undefined
beforeEach(async () => {
  server = await Hostile.start()
  // A browser's page; the paths within `navigator` and `crypto` are put on objects of this test's own.
  globals.put('crypto', { randomUUID: () => REAL.crypto.randomUUID(), getRandomValues: (bytes: Uint8Array) => REAL.crypto.getRandomValues(bytes) })
  for (const { path, works } of GLOBALS) if (!path.includes('.') && path !== 'crypto') globals.put(path, works())
})
afterEach(async () => {
  globals.restore()
  await client?.close()
  client = undefined
  server.stop()
})

let names = 0
async function open(options: object = {}): Promise<NizhalClient> {
  const store = (await Disk.make()).store()
  return createNizhalClient({
    server: server.url,
    auth: { getHeaders: () => ({ authorization: `Bearer ${token('ana', 's1')}` }) },
    schema,
    name: `globals-${names++}`,
    store,
    timeoutMs: 200,
    reconnect: { minMs: 20, maxMs: 100, jitter: 0.5 },
    pull: { intervalMs: 50 },
    // A BroadcastChannel would keep Node alive.
    channel: (name: string) => {
      const made = new BroadcastChannel(name)
      ;(made as unknown as { unref?(): void }).unref?.()
      return made
    },
    ...options,
  })
}

/** Looks again and again; the limit is a test that hangs, not a measure of time. */
async function until(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 8000
  while (!(await look())) {
    if (Date.now() > end) throw new Error(`it never came to this: ${what}`)
    await pause(10)
  }
}

async function outcome(promise: Promise<unknown>): Promise<() => string> {
  let is = 'open'
  promise.then(() => (is = 'confirmed'), (error: Error) => (is = error.name))
  return () => is
}

/** Nobody leads, ever, where locks do not answer: that page reads through another tab, and says that there is none. */
const isLeaderless = (path: string, trouble: Trouble) => path === 'navigator.locks' && trouble === 'silent'

describe.each(GLOBALS)('$path', (global) => {
  test.each(['absent', 'throws', 'refuses', 'silent'] as const)('inv04, inv23: %s', async (trouble) => {
    // The test runner looks at these itself, and a browser's are functions that are called.
    if (trouble === 'throws' && /Timeout|Interval/.test(global.path)) return
    if (trouble === 'refuses') {
      if (typeof global.works() !== 'function') return
      globals.refuse(global.path)
    } else globals.trouble(global, trouble)
    client = await open()
    if (isLeaderless(global.path, trouble as Trouble)) {
      await until('the page says that nobody leads', () => client!.status.phase === 'stuck' && client!.status.error?.code === 'no_leader')
      return
    }
    const heard: NizhalWrite[][] = []
    client.onWrites((writes) => heard.push(writes))
    await client.ready
    const good = await client.mutate(addCustomer('c1', 'Applied', 's1'))
    const bad = await client.mutate(addCustomer('c2', 'Refused', 's1'))
    const [applied, refused] = [await outcome(client.confirmed(good.id)), await outcome(client.confirmed(bad.id))]
    await until('the outbox is heard of', () => heard.flat().some(({ id }) => id === good.id) && heard.flat().some(({ id }) => id === bad.id))
    if (global.path === 'fetch') {
      await until('the failure is told', () => client!.status.phase === 'waiting' && client!.status.error?.kind === 'offline')
      if (applied() !== 'open' || refused() !== 'open') throw new Error('no server said so')
      // It was late.
      globals.put('fetch', plainFetch)
    }
    await until('both writes are decided', async () => {
      // Without timers nothing happens by itself; nothing else needs this.
      if (global.path === 'setTimeout') await Promise.allSettled([client!.push(), client!.pull()])
      return applied() !== 'open' && refused() !== 'open'
    })
    const shown = (await client.rows('customers')).map(({ id }) => id)
    // The test's own tools need globals too.
    globals.restore()
    expect([applied(), refused()]).toEqual(['confirmed', 'WriteRejected'])
    for (const { id } of [good, bad]) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(good.id).not.toBe(bad.id)
    expect(shown).toEqual(['c1'])
    expect(client.writes.map(({ id, state }) => [id, state])).toEqual([[bad.id, 'rejected']])
  })
})

test('inv26: every tab hears of the outbox where localStorage is full', async () => {
  globals.put('localStorage', { getItem: () => null, setItem: () => { throw new DOMException('full', 'QuotaExceededError') }, removeItem: nothing })
  const [locks, name] = [new Locks(), 'shared']
  const leader = (client = await open({ locks, name, online: false }))
  await leader.ready
  const follower = await open({ locks, name, online: false })
  await follower.ready
  expect([leader.status.leader, follower.status.leader]).toEqual([true, false])
  const bad = await follower.mutate(addCustomer('c1', 'Refused', 's1'))
  const [here, there] = [await outcome(leader.confirmed(bad.id)), await outcome(follower.confirmed(bad.id))]
  await until('both hear of it', () => leader.writes.length === 1 && follower.writes.length === 1)
  await leader.push()
  await until('both are answered', () => here() !== 'open' && there() !== 'open')
  expect([here(), there()]).toEqual(['WriteRejected', 'WriteRejected'])
  // Gone from the outbox is not confirmed.
  await leader.discard(bad.id)
  await until('both hear of it', () => leader.writes.length === 0 && follower.writes.length === 0)
  for (const tab of [leader, follower]) await expect(tab.confirmed(bad.id)).rejects.toThrow('no such customer')
  await follower.close()
})

test('inv23: a write that nobody knows is not confirmed', async () => {
  client = await open({ online: false })
  await client.ready
  await expect(client.confirmed('never made')).rejects.toThrow('never made')
})

test('a listener that throws keeps nobody else from hearing', async () => {
  const broken = () => { throw new Error('the app’s own') }
  client = await open({ online: false, status: broken })
  client.onStatus(broken)
  client.onWrites(broken)
  await client.ready
  const bad = await client.mutate(addCustomer('c1', 'Refused', 's1'))
  const is = await outcome(client.confirmed(bad.id))
  await client.push()
  await until('it is refused', () => is() === 'WriteRejected')
})

describe('a page without private files', () => {
  const without: [string, unknown][] = [
    ['absent', undefined],
    ['an empty one', {}],
    ['one that throws', { getDirectory: () => { throw new DOMException('not here', 'SecurityError') } }],
    ['one that refuses', { getDirectory: async () => { throw new DOMException('not here', 'SecurityError') } }],
    ['one that never answers', { getDirectory: never }],
  ]
  test.each(without)('inv27: says why: %s', async (_, storage) => {
    globals.put('navigator', { storage })
    expect(await whyNoPrivateFiles(20)).toMatch(/private file system/)
    globals.put('navigator', { storage: { getDirectory: async () => ({}) } })
    expect(await whyNoPrivateFiles(20)).toBeUndefined()
  })

  /** The worker's side of the talk, in this thread and in memory. */
  async function workerOf(opened: OpenReply): Promise<Worker> {
    const database = await WaDatabase.open(await waApi(), ':memory:')
    const worker = {
      onmessage: (_: { data: WorkerReply }) => undefined,
      terminate: nothing,
      async postMessage(request: WorkerRequest) {
        const value = request.kind === 'open' ? opened : request.kind === 'all' ? await database.all(request.sql, request.params) : []
        if (request.kind === 'transaction') await database.transaction(request.statements)
        worker.onmessage({ data: { id: request.id, value: value as never } })
      },
    }
    return worker as unknown as Worker
  }

  test('inv27: what is kept in memory says so in the status, in every tab', async () => {
    const worker = await workerOf({ volatile: 'no files here' })
    const [locks, name] = [new Locks(), 'volatile']
    client = await open({ online: false, locks, name, store: waSqlitePersistence({ name: 'x', worker: () => worker }) })
    await client.ready
    const follower = await open({ online: false, locks, name })
    await follower.ready
    await until('both say so', () => client!.status.volatile === 'no files here' && follower.status.volatile === 'no files here')
    expect(client.status.storageLost).toBeUndefined()
    await follower.close()
  })

  test('inv04: a worker that fails later is told of at once', async () => {
    const worker = await workerOf({})
    const store = waSqlitePersistence({ name: 'x', worker: () => worker })
    await store.open()
    worker.onerror!({ message: 'out of memory' } as ErrorEvent)
    await expect(store.scan('t')).rejects.toThrow('out of memory')
  })

  test('inv04: a store that does not answer says so in the status', async () => {
    client = await open({ store: { ...(await Disk.make()).store(), open: never } })
    await until('it says so', () => client!.status.phase === 'stuck' && client!.status.error?.code === 'store_silent')
  })

  test('inv27: a store that cannot be opened says so in the status', async () => {
    const worker = () => { throw new ReferenceError('Worker is not defined') }
    client = await open({ store: waSqlitePersistence({ name: 'x', worker }) })
    await expect(client.ready).rejects.toThrow('Worker is not defined')
    expect([client.status.phase, client.status.error?.code]).toEqual(['stuck', 'store'])
  })
})

test('inv24: a token that never comes does not keep the rows from their screen, and sends nothing', async () => {
  client = await open({ auth: { getHeaders: never } })
  await client.ready
  await client.mutate(addCustomer('c1', 'Kept', 's1'))
  await until('the failure is told', () => client!.status.error?.code === 'no_credentials')
  expect((await client.rows('customers')).length).toBe(1)
  expect(server.asked).toEqual([])
})
