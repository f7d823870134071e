// CRDT columns, the bridge to offline-transactions.
import { NonRetriableError, startOfflineExecutor } from '@tanstack/offline-transactions'
// The copy that it pins: another copy would not see its transactions.
import * as tanstack from '../node_modules/@tanstack/offline-transactions/node_modules/@tanstack/db/dist/esm/index.js'
import { expect, test } from 'vitest'
import { nizhalOffline } from '../src/offline'
import { nizhalCollectionOptions } from '../src/tanstack/collection'
import { applyCrdtUpdate, createCrdtMap, createCrdtText, encodeCrdtUpdate } from '../src/yjs'
import { device, drain } from './harness/device'
import { Server } from './harness/server'

test('two texts that were edited apart come together, in any order and however often', () => {
  const [ana, ben] = [createCrdtText(), createCrdtText()]
  ana.insert(0, 'Hello')
  const first = ana.takeUpdate()!
  expect(ana.takeUpdate()).toBeUndefined()
  ben.apply(first)
  expect(ben.takeUpdate()).toBeUndefined()
  ana.insert(5, ' world')
  ben.delete(0, 1)
  ben.insert(0, 'J')
  const [fromAna, fromBen] = [ana.takeUpdate()!, ben.takeUpdate()!]
  const one = applyCrdtUpdate(applyCrdtUpdate(first, fromAna), fromBen)
  const other = applyCrdtUpdate(applyCrdtUpdate(applyCrdtUpdate(first, fromBen), fromAna), fromAna)
  expect(createCrdtText(one).toString()).toBe('Jello world')
  expect(createCrdtText(other).toString()).toBe('Jello world')
  // Only what the other lacks.
  const lacking = encodeCrdtUpdate(createCrdtText(one).doc, first)
  expect(lacking.length).toBeLessThan(one.length)
  expect(createCrdtText(applyCrdtUpdate(first, lacking)).toString()).toBe('Jello world')
})

test('maps keep the other’s keys', () => {
  const start = createCrdtMap<number>()
  start.set('a', 1)
  const [ana, ben] = [createCrdtMap<number>(start.encode()), createCrdtMap<number>(start.encode())]
  ana.set('b', 2)
  ben.delete('a')
  ana.apply(ben.takeUpdate())
  expect(ana.toJSON()).toEqual({ b: 2 })
  expect([ana.get('b'), ana.get('a')]).toEqual([2, undefined])
})

test('a large document survives base64', () => {
  const text = createCrdtText()
  text.insert(0, 'ü'.repeat(200_000))
  expect(createCrdtText(text.encode()).toString().length).toBe(200_000)
})

test('offline-transactions: its writes become ours, and a transaction that comes twice is one', async () => {
  const server = await Server.start('sqlite')
  await server.shop('s1', ['ana'])
  const client = await device(server, 'ana', 's1')
  const customers = tanstack.createCollection(nizhalCollectionOptions<{ id: string; shop_id: string; name: string }>({ client, name: 'customers' }) as never) as never as { preload(): Promise<void>; insert(row: object): void; get(id: string): { name: string } | undefined }
  await customers.preload()
  const bridge = nizhalOffline(client, { NonRetriableError })
  const add = bridge.mutationFn(({ modified }) => {
    const { id, name } = modified as { id: string; name: string }
    return { table: 'customers', name: 'addCustomer', args: { clientId: id, name } }
  })
  const kept = new Map<string, string>()
  const executor = startOfflineExecutor({
    collections: { customers: customers as never },
    mutationFns: { add: add as never },
    storage: { get: async (key) => kept.get(key) ?? null, set: async (key, value) => void kept.set(key, value), delete: async (key) => void kept.delete(key), keys: async () => [...kept.keys()], clear: async () => kept.clear() },
    leaderElection: bridge.leaderElection,
    onlineDetector: { subscribe: () => () => undefined, notifyOnline: () => undefined, isOnline: () => true, dispose: () => undefined } as never,
  })
  await executor.waitForInit()
  const transaction = executor.createOfflineTransaction({ mutationFnName: 'add', autoCommit: false })
  transaction.mutate(() => customers.insert({ id: 'c1', shop_id: 's1', name: 'Bridged' }))
  await transaction.commit()
  expect(kept.size).toBe(0)
  expect(client.status.pending).toBe(1)
  const twice = { transaction: { mutations: [{ type: 'insert' as const, modified: { id: 'c2', shop_id: 's1', name: 'Twice' }, original: {}, changes: {} }] }, idempotencyKey: 'k' }
  await add(twice)
  await add(twice)
  await drain(client)
  expect((await server.sql('select id from customers order by id')).flat()).toEqual(['c1', 'c2'])
  expect(customers.get('c1')?.name).toBe('Bridged')
  const strict = nizhalOffline(client, { NonRetriableError, ack: true })
  const refused = strict.mutationFn(() => ({ table: 'customers', name: 'addCustomer', args: { clientId: 'c1', name: 'Again' } }))({ ...twice, idempotencyKey: 'k2' })
  const expected = expect(refused).rejects.toBeInstanceOf(NonRetriableError)
  await new Promise((resolve) => client.onWrites(resolve))
  await drain(client)
  await expected
  executor.dispose()
  await server.stop()
})
