// Invariants 24 and 26: several tabs on one store, any of which may die; and users who share a device.
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { NizhalClient } from '../src/client'
import { MemoryStore } from '../src/store/memory'
import type { Batch, Store } from '../src/store/store'
import { addCustomer, device, drain, rename, shown } from './harness/device'
import { Channels, Locks } from './harness/globals'
import { Server } from './harness/server'
import { Disk } from './harness/wasm'

let server: Server
beforeEach(async () => {
  server = await Server.start('sqlite')
  await server.shop('s1', ['ana', 'ben'])
})
afterEach(() => server.stop())

/** Tabs of one origin over one disk. */
class Browser {
  readonly locks = new Locks()
  readonly name = `tabs-${Math.random()}`
  readonly pushed: string[] = []
  private constructor(private readonly disk: Disk) {}

  static async open(): Promise<Browser> {
    return new Browser(await Disk.make())
  }

  async tab(options: { beforeAnswer?: () => Promise<void> } = {}) {
    const channels = new Channels()
    let dead = false
    const never = new Promise<never>(() => undefined)
    const inner = this.disk.store()
    const store: Store = {
      open: () => inner.open(),
      get: (table, keys) => inner.get(table, keys),
      scan: (table) => inner.scan(table),
      find: (table, subset) => inner.find(table, subset),
      count: (table) => inner.count(table),
      close: () => inner.close(),
      destroy: () => inner.destroy(),
      commit: async (batch: Batch) => {
        if (dead) return never
        await inner.commit(batch)
        if (batch.putOps?.length) await options.beforeAnswer?.()
        if (dead) return never
      },
    }
    const fetch = (async (url: string, init: RequestInit) => {
      if (dead) return never
      if (url.endsWith('/sync/push')) for (const { clientMutationId } of JSON.parse(String(init.body)).mutations) this.pushed.push(clientMutationId)
      return globalThis.fetch(url, init)
    }) as typeof globalThis.fetch
    const client = await device(server, 'ana', 's1', { store, fetch, name: this.name, locks: this.locks, channel: channels.open })
    const kill = () => {
      dead = true
      channels.cut()
      this.locks.free()
    }
    return { client, kill }
  }
}

test('inv26: one leads, the others write and read through it', async () => {
  const browser = await Browser.open()
  const { client: first } = await browser.tab()
  const { client: second } = await browser.tab()
  expect([first.status.leader, second.status.leader]).toEqual([true, false])
  const seen: string[] = []
  second.watch('customers', ({ changes }) => changes.forEach(({ row }) => seen.push(String(row?.['name']))))
  await second.mutate(addCustomer('c1', 'From the second', 's1'))
  expect(await shown(first, 'customers', ['name'])).toEqual([['From the second']])
  await first.mutate(rename('c1', 'From the first'))
  await drain(second)
  expect(await shown(second, 'customers', ['name'])).toEqual([['From the first']])
  expect(seen.filter((name, at) => name !== seen[at - 1])).toEqual(['From the second', 'From the first'])
  expect(second.status.pending).toBe(0)
  expect(await server.sql('select name from customers')).toEqual([['From the first']])
})

test('inv26: a follower asks for a part of a table and hears of its changes, also from the next leader', async () => {
  const browser = await Browser.open()
  const first = await browser.tab()
  const { client: second } = await browser.tab()
  for (const [id, name] of [['c1', 'Ana'], ['c2', 'Ben']] as const) await first.client.mutate(addCustomer(id, name, 's1'))
  const where = { type: 'func', name: 'eq', args: [{ type: 'ref', path: ['name'] }, { type: 'val', value: 'Ana' }] }
  const ask = async (keys: string[]) => {
    let found: string[] = []
    await second.find('customers', { subsets: [{ where }], keys }, (rows) => (found = [...rows.keys()].sort()))
    return found
  }
  const heard: string[] = []
  second.watchSome('customers', ({ reread, changes }) => heard.push(...(reread ? ['reread'] : changes.map(({ key }) => key))))
  expect([await ask([]), await ask(['c2', 'c3'])]).toEqual([['c1'], ['c1', 'c2']])
  heard.length = 0
  await first.client.mutate(rename('c2', 'Ana'))
  expect(await ask([])).toEqual(['c1', 'c2'])
  expect(heard).toEqual(['c2'])
  first.kill()
  expect(await ask(['c2'])).toEqual(['c1', 'c2'])
  expect(second.status.leader).toBe(true)
  expect(heard).toEqual(['c2', 'reread'])
})

test('inv26: when the leader is killed, a follower goes on and no write is lost or doubled', async () => {
  const browser = await Browser.open()
  let kill = () => undefined as void
  // A bystander on the channel sees when both requests have been delivered, so that neither can reach the next leader by itself.
  const bystander = new BroadcastChannel(`nizhal:${browser.name}`)
  const bothAsked = new Promise<void>((resolve) => {
    let asked = 0
    bystander.onmessage = ({ data }: MessageEvent<{ kind: string; method?: string }>) => {
      if (data.kind === 'ask' && data.method === 'mutate' && ++asked === 2) setImmediate(resolve)
    }
  })
  // Killed between the commit and its answer: the follower cannot know, and must ask the next one.
  const first = await browser.tab({
    beforeAnswer: async () => {
      await bothAsked
      kill()
    },
  })
  const { client: second } = await browser.tab()
  const { client: third } = await browser.tab()
  kill = first.kill
  // The third one's request is on its way to a leader that is no more, too.
  const writes = await Promise.all([second.mutate(addCustomer('c1', 'Kept', 's1')), third.mutate(addCustomer('c2', 'Also kept', 's1'))])
  expect([second.status.leader, third.status.leader]).toEqual([true, false])
  expect(second.writes.map(({ id }) => id)).toEqual(writes.map(({ id }) => id))
  await drain(third)
  expect(await shown(third, 'customers', ['id'])).toEqual([['c1'], ['c2']])
  expect((await server.sql('select id from customers order by id')).flat()).toEqual(['c1', 'c2'])
  expect(browser.pushed.length).toBe(new Set(browser.pushed).size)
  bystander.close()
})

test('inv24: another user cannot open the store, nor flush its outbox', async () => {
  const store = new MemoryStore()
  const ana = await device(server, 'ana', 's1', { store })
  await ana.mutate(addCustomer('c1', 'Ana’s', 's1'))
  await ana.close()
  await expect(device(server, 'ben', 's1', { store })).rejects.toThrow('another user')
  // Signed in as another while the store is open.
  let user = 'ana'
  const { token } = await import('./harness/server')
  const shared = await device(server, 'ana', 's1', { store, auth: { getHeaders: () => ({ authorization: `Bearer ${token(user, 's1')}` }) } })
  user = 'ben'
  await expect(shared.push()).rejects.toThrow('another user')
  expect(await server.sql('select id from customers')).toEqual([])
  user = 'ana'
  await drain(shared)
  expect(await server.sql('select id from customers')).toEqual([['c1']])
})

test('inv27: storage that vanished is noticed, and what it took is told', async () => {
  const kept = new Map<string, string>()
  const witness = { getItem: (name: string) => kept.get(name) ?? null, setItem: (name: string, value: string) => void kept.set(name, value), removeItem: (name: string) => void kept.delete(name) }
  const open = (): Promise<NizhalClient> => device(server, 'ana', 's1', { store: new MemoryStore(), witness })
  const before = await open()
  expect(before.status.storageLost).toBeUndefined()
  await before.mutate(addCustomer('c1', 'Gone', 's1'))
  const after = await open()
  expect(after.status.storageLost).toEqual({ unsynced: 1 })
})
