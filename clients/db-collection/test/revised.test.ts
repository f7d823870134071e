// Replayed writes whose result changes after it was given: parked and unparked, and told of until the app has heard it.
import { afterEach, describe, expect, test } from 'vitest'
import type { NizhalClient } from '../src/client'
import type { MutationResult, Mutation, Page } from '../src/protocol/wire'
import { createNizhalStatus } from '../src/status'
import { MemoryStore } from '../src/store/memory'
import type { Store } from '../src/store/store'
import { drain, shown } from './harness/device'
import { Channels, Locks } from './harness/globals'
import { KINDS, type Server } from './harness/server'
import { shopDevice, shopMutators, startShop } from './harness/shop'
import { Disk } from './harness/wasm'

const lists = (client: NizhalClient) => ({
  parked: client.writes.filter(({ state }) => state === 'rejected').map(({ id, refusal }) => [id, refusal!.status, refusal!.error]),
  revised: client.revised.map(({ id, name, status }) => [id, name, status]),
})

describe.each(KINDS)('on %s', (kind) => {
  let server: Server
  afterEach(() => server.stop())

  test('inv37: a device hears that its results changed', async () => {
    server = await startShop(kind)
    const store = (await Disk.make()).store()
    const [here, away] = [await shopDevice(server, 'ann', { store }), await shopDevice(server, 'ann', { environment: { nowMs: () => Date.now() - 60_000, newId: () => crypto.randomUUID() } })]
    const [mine, theirs] = [shopMutators(here), shopMutators(away)]
    // Made first, and away: a slot for ben, and something to sell.
    await theirs.take({ shop: 's', slot: 'p', holder: 'ben' })
    await theirs.restock({ shop: 's', item: 'x', quantity: 1 })
    const taken = await mine.take({ shop: 's', slot: 'p', holder: 'cem' })
    const bought = await mine.buy({ shop: 's', item: 'x', quantity: 1 })
    expect([taken.undecided, bought.undecided]).toEqual([undefined, 'sold out'])
    expect(here.status).toMatchObject({ pending: 2, rejected: 0 })
    await drain(here)
    expect(lists(here)).toEqual({ parked: [[bought.id, 'rejected', 'sold out']], revised: [] })
    expect(await shown(here, 'slots', ['holder'])).toEqual([['cem']])
    await taken.confirmed

    const status = createNizhalStatus(here)
    const told: unknown[] = []
    status.subscribe(() => told.push(status.getSnapshot().revised.map(({ id }) => id)))
    await drain(away)
    await here.pull()
    expect(lists(here)).toEqual({ parked: [[taken.id, 'rejected', 'the slot is taken']], revised: [[taken.id, 'take', 'rejected'], [bought.id, 'buy', 'applied']] })
    expect(here.revised[0]).toMatchObject({ args: { shop: 's', slot: 'p', holder: 'cem' }, code: 'rejected', error: 'the slot is taken' })
    expect(told.at(-1)).toEqual([taken.id, bought.id])
    expect(here.status).toMatchObject({ pending: 0, rejected: 1, revised: here.revised })
    await expect(here.confirmed(taken.id)).rejects.toThrow('the slot is taken')
    await here.confirmed(bought.id)
    expect(await shown(here, 'slots', ['holder'])).toEqual([['ben']])
    expect(await shown(here, 'stock', ['quantity'])).toEqual([['0']])
    expect(lists(away)).toEqual({ parked: [], revised: [] })

    // It lasts, until the app says that it was told.
    await here.close()
    const again = await shopDevice(server, 'ann', { store })
    expect(again.revised.map(({ id }) => id)).toEqual([taken.id, bought.id])
    expect(await again.confirmRevised(again.revised[0]!)).toBe(true)
    expect(await again.confirmRevised({ id: bought.id, status: 'rejected' })).toBe(false)
    expect(lists(again)).toEqual({ parked: [[taken.id, 'rejected', 'the slot is taken']], revised: [[bought.id, 'buy', 'applied']] })
    const tried = await again.retry(taken.id)
    await drain(again)
    expect(again.writes.map(({ id, refusal }) => [id, refusal?.error])).toEqual([[tried!.id, 'the slot is taken']])
  })

  test('a body that fails before it is replayed fails where it is not', async () => {
    server = await startShop(kind)
    const client = await shopDevice(server, 'ann')
    const { createNizhalMutators } = await import('../src/mutators')
    const mutators = createNizhalMutators<{ addNote: object }, Record<string, object>>(client, { addNote: () => { throw new Error('no') } })
    await expect(mutators.addNote({})).rejects.toThrow('no')
    expect(client.writes).toEqual([])
  })
})

/** A backend that answers as told. */
class Script {
  results: Record<string, Partial<MutationResult>> = {}
  said: Record<string, unknown>[] = []
  #cursor = 0
  last = 0

  pull = async (): Promise<Page> => ({ changed: [], tombstoned: [], removed: [], removedBuckets: [], cursor: `c${++this.#cursor}`, epoch: 'e', cursorReset: false, hasMore: false, lastMutationId: this.last, revised: this.said.splice(0) as unknown as MutationResult[] })
  push = async (mutations: Mutation[]): Promise<MutationResult[]> => {
    this.last = mutations.at(-1)!.mutationID
    return mutations.map(({ clientMutationId }) => ({ clientMutationId, status: 'applied', ...this.results[clientMutationId] }))
  }
  contract = async () => ({})

  say(...results: [id: string, status: string][]): void {
    this.said = results.map(([clientMutationId, status]) => ({ clientMutationId, status, ...(status !== 'applied' && { code: status, error: 'the slot is taken' }) }))
  }
}

const slots = { primaryKey: ['shop', 'slot'], columns: ['shop', 'slot', 'holder'].map((name) => ({ name, type: 'text' })), buckets: [{ rule: 'shops', columns: ['shop'] }] }
const schema = { version: '1.0.0', hash: 'h', tables: { slots }, mutators: ['take', 'put'], replayed: ['take'] }
const row = (slot: string, holder: string) => ({ shop: 's', slot, holder })
const take = (id: string, slot = id, name = 'take') => ({ id, name, args: row(slot, id), effects: [{ table: 'slots', key: JSON.stringify(['s', slot]), kind: 'insert' as const, row: row(slot, id) }] })

async function scripted(store: Store = new MemoryStore(), options: object = {}) {
  const script = new Script()
  const client = await shopDeviceOf(script, store, options)
  return { script, client }
}

async function shopDeviceOf(script: Script, store: Store, options: object = {}): Promise<NizhalClient> {
  const { createNizhalClient } = await import('../src/client')
  const client = createNizhalClient({ syncTarget: script, schema, store, online: false, locks: null, subscribeSource: null, witness: null, user: 'ann', ...options })
  await client.ready
  return client
}

test('inv37: a write goes back and forth, and the same news twice is none', async () => {
  const { script, client } = await scripted()
  await client.mutate(take('m1'))
  await drain(client)
  expect(client.writes).toEqual([])
  script.say(['m1', 'rejected'])
  await client.pull()
  const parked = [['m1', 'rejected', 'the slot is taken']]
  expect(lists(client)).toEqual({ parked, revised: [['m1', 'take', 'rejected']] })
  const [told] = client.revised
  expect(await client.confirmRevised(told!)).toBe(true)
  script.say(['m1', 'rejected'])
  await client.pull()
  expect(lists(client)).toEqual({ parked, revised: [] })
  script.say(['m1', 'applied'])
  await client.pull()
  expect(await client.confirmRevised(told!)).toBe(false)
  expect(lists(client)).toEqual({ parked: [], revised: [['m1', 'take', 'applied']] })
  await client.confirmed('m1')
  script.say(['m1', 'forbidden'])
  await client.pull()
  expect(lists(client)).toEqual({ parked: [['m1', 'forbidden', 'the slot is taken']], revised: [['m1', 'take', 'forbidden']] })
  expect(await client.discard('m1')).toBe(true)
  script.say(['m1', 'duplicate'])
  await client.pull()
  expect(lists(client)).toEqual({ parked: [], revised: [['m1', 'take', 'applied']] })
  expect(client.revised[0]!.args).toEqual(row('m1', 'm1'))
})

test('inv37: one that the rows do not show yet is parked, and one that waits hears its answer', async () => {
  const { script, client } = await scripted()
  await client.mutate(take('m1'))
  await client.push()
  script.last = 0
  await client.mutate(take('m2'))
  expect(await shown(client, 'slots', ['holder'])).toEqual([['m1'], ['m2']])
  script.say(['m1', 'rejected'], ['m2', 'rejected'])
  await client.pull()
  expect(lists(client)).toEqual({ parked: [['m1', 'rejected', 'the slot is taken']], revised: [['m1', 'take', 'rejected']] })
  expect(client.status).toMatchObject({ pending: 1, rejected: 1 })
  expect(await shown(client, 'slots', ['holder'])).toEqual([['m2']])
})

test('inv37: one that is not here any more is told of by its id, once', async () => {
  const { script, client } = await scripted()
  await client.mutate(take('plain', 'plain', 'put'))
  await drain(client)
  for (const status of ['rejected', 'rejected']) {
    script.say(['old', status], ['older', 'applied'], ['plain', status])
    await client.pull()
    expect(lists(client)).toEqual({ parked: [], revised: [['old', undefined, 'rejected'], ['plain', undefined, 'rejected']] })
  }
  await expect(client.confirmed('plain')).rejects.toThrow('the slot is taken')
  for (const one of client.revised) await client.confirmRevised(one)
  script.say(['old', 'rejected'], ['plain', 'applied'])
  await client.pull()
  expect(lists(client)).toEqual({ parked: [], revised: [['plain', undefined, 'applied']] })
  await client.confirmed('plain')
})

test('what an answer says of results that changed is read, or the answer is none', async () => {
  const { readPage } = await import('../src/protocol/wire')
  const page = { changed: [], tombstoned: [], removed: [], removedBuckets: [], cursor: 'c', epoch: 'e' }
  expect(readPage(page).revised).toBeUndefined()
  expect(readPage({ ...page, revised: [{ clientMutationId: 'm', status: 'applied', code: null }] }).revised).toEqual([{ clientMutationId: 'm', status: 'applied' }])
  for (const revised of [7, [7], [{ status: 'applied' }], [{ clientMutationId: 'm', status: 'undone' }]]) expect(() => readPage({ ...page, revised })).toThrow()
})

test('writes that were answered are kept to a bound, parked in their order, and last', async () => {
  const disk = await Disk.make()
  const { script, client } = await scripted(disk.store())
  for (let at = 0; at < 1002; at++) await client.mutate(take(`m${at}`))
  await drain(client)
  await client.mutate(take('waits'))
  script.say(['m0', 'rejected'], ['m1001', 'rejected'], ['m5', 'rejected'])
  await client.pull()
  const parked = ['m5', 'm1001'].map((id) => [id, 'rejected', 'the slot is taken'])
  const revised = [['m0', undefined, 'rejected'], ['m1001', 'take', 'rejected'], ['m5', 'take', 'rejected']]
  expect(lists(client)).toEqual({ parked, revised })
  expect(client.writes.map(({ id }) => id)).toEqual(['m5', 'm1001', 'waits'])
  await client.close()
  const again = await shopDeviceOf(script, disk.store())
  expect(lists(again)).toEqual({ parked, revised })
  expect(again.writes.map(({ id }) => id)).toEqual(['m5', 'm1001', 'waits'])
})

test('pending writes show in the order of their stamps', async () => {
  // The device's clock stands still.
  const { client } = await scripted(undefined, { environment: { nowMs: () => 0, newId: () => crypto.randomUUID() } })
  const writes = []
  for (const id of ['z', 'a', 'm']) writes.push(await client.mutate(take(id, 'p')))
  expect(await shown(client, 'slots', ['holder'])).toEqual([['m']])
  expect(client.writes.map(({ id }) => id)).toEqual(['z', 'a', 'm'])
})

test('inv26: a tab that follows hears of results that changed, and says that it was told', async () => {
  const disk = await Disk.make()
  const script = new Script()
  const locks = new Locks()
  const tab = async () => {
    const channels = new Channels()
    return { channels, client: await shopDeviceOf(script, disk.store(), { name: 'revised', locks, channel: channels.open }) }
  }
  const [{ client: first }, { client: second }] = [await tab(), await tab()]
  expect([first.status.leader, second.status.leader]).toEqual([true, false])
  await second.mutate(take('m1'))
  await drain(second)
  script.say(['m1', 'rejected'])
  await second.pull()
  expect(lists(second)).toEqual({ parked: [['m1', 'rejected', 'the slot is taken']], revised: [['m1', 'take', 'rejected']] })
  // A tab that comes later hears of it too.
  const { client: third } = await tab()
  await expect.poll(() => third.revised).toEqual(second.revised)
  expect(await second.confirmRevised(second.revised[0]!)).toBe(true)
  await expect.poll(() => [first, second, third].map(({ revised }) => revised.length)).toEqual([0, 0, 0])
})
