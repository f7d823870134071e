// The adapter on every version of TanStack DB that it supports, against the real server.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import * as v15 from '@tanstack/db'
import * as v9 from 'tanstack-db-0.9'
import * as v8 from 'tanstack-db-0.8'
import type { NizhalClient } from '../src/client'
import { createNizhalMutators } from '../src/mutators'
import { nizhalCollectionOptions } from '../src/tanstack/collection'
import { device, drain } from './harness/device'
import { Server } from './harness/server'

interface Customer {
  id: string
  shop_id: string
  name: string
  phone: string | null
}

type Args = { addCustomer: { clientId: string; name: string }; updateCustomerName: { customerId: string; value: string }; deleteCustomer: { customerId: string } }

function mutatorsOf(client: NizhalClient) {
  return createNizhalMutators<Args, { customers: Customer }>(client, {
    addCustomer: (tx, { clientId, name }) => tx.insert('customers', { id: clientId, shop_id: 's1', name }),
    updateCustomerName: (tx, { customerId, value }) => tx.update('customers', customerId, { name: value }),
    deleteCustomer: (tx, { customerId }) => tx.delete('customers', customerId),
  })
}

const VERSIONS: [string, typeof v15][] = [
  ['0.15.1', v15],
  ['0.9.2', v9 as unknown as typeof v15],
  ['0.8.7', v8 as unknown as typeof v15],
]

describe.each(VERSIONS)('TanStack DB %s', (_, tanstack) => {
  let server: Server
  let shop = 0
  beforeAll(async () => {
    server = await Server.start('sqlite')
  })
  afterAll(() => server.stop())
  beforeEach(async () => {
    shop += 1
    await server.sql('delete from customers')
    await server.sql('delete from shop_members')
    if (shop === 1) await server.shop('s1', [])
    await server.join('s1', 'ana')
  })

  function collectionOf(client: NizhalClient, more: object = {}) {
    return tanstack.createCollection(
      nizhalCollectionOptions<Customer>({
        client,
        name: 'customers',
        onInsert: ({ id, name }) => ({ name: 'addCustomer', args: { clientId: id, name } }),
        onUpdate: ({ id, name }) => ({ name: 'updateCustomerName', args: { customerId: id, value: name } }),
        onDelete: ({ id }) => ({ name: 'deleteCustomer', args: { customerId: id } }),
        ...more,
      }) as never,
    ) as unknown as { toArray: Customer[]; size: number; get(key: string): Customer | undefined; preload(): Promise<void>; insert(row: object): { isPersisted: { promise: Promise<unknown> } }; update(key: string, change: (row: Customer) => void): { isPersisted: { promise: Promise<unknown> } }; delete(key: string): { isPersisted: { promise: Promise<unknown> } }; subscribeChanges(listener: (changes: { type: string; key: string; value: Customer }[]) => void, options?: object): unknown; utils: { pendingCount(): number; awaitWrites(): Promise<void> }; status: string }
  }

  test('shows what is stored without a network, then what the server has', async () => {
    await server.customers('s1', 'a', 2)
    const client = await device(server, 'ana', 's1')
    const customers = collectionOf(client)
    await customers.preload()
    expect(customers.size).toBe(0)
    await client.pull()
    expect(customers.toArray.map(({ id }) => id).sort()).toEqual(['a1', 'a2'])
    await server.sql("delete from customers where id = 'a1'")
    await server.sql("update customers set name = 'B' where id = 'a2'")
    await client.pull()
    expect(customers.toArray.map(({ id, name }) => [id, name])).toEqual([['a2', 'B']])
    // Opened anew, as after a reload: ready means that the stored rows are there, whatever the network does.
    await server.down()
    const again = collectionOf(client, { id: 'again' })
    await again.preload()
    expect([again.status, again.size]).toEqual(['ready', 1])
    await server.up()
  })

  test('what happens while a collection starts is not missed', async () => {
    await server.customers('s1', 'a', 3)
    const client = await device(server, 'ana', 's1')
    await client.pull()
    const mutators = mutatorsOf(client)
    const customers = collectionOf(client)
    const [, , first] = await Promise.all([customers.preload(), mutators.updateCustomerName({ customerId: 'a1', value: 'Meanwhile' }), mutators.addCustomer({ clientId: 'n1', name: 'New' })])
    expect(customers.toArray.map(({ name }) => name).sort()).toEqual(['Meanwhile', 'Name 2', 'Name 3', 'New'])
    await drain(client)
    await first.confirmed
    expect(customers.toArray.map(({ name }) => name).sort()).toEqual(['Meanwhile', 'Name 2', 'Name 3', 'New'])
  })

  test('no flicker: an edit is seen once, from the tap to the server’s own row', async () => {
    await server.customers('s1', 'a', 1)
    const client = await device(server, 'ana', 's1')
    const customers = collectionOf(client)
    await customers.preload()
    await client.pull()
    const log: string[] = []
    const live = tanstack.createLiveQueryCollection({ query: (q) => q.from({ c: customers as never }).select(({ c }) => ({ id: (c as unknown as Customer).id, name: (c as unknown as Customer).name })), startSync: true })
    await live.preload()
    live.subscribeChanges((changes) => {
      for (const { type, value } of changes) log.push(`${type} ${(value as unknown as Customer).name}`)
    }, { includeInitialState: true })
    expect(log.splice(0)).toEqual(['insert Name 1'])
    await customers.update('a1', (row) => {
      row.name = 'Edited'
    }).isPersisted.promise
    expect(log).toEqual(['update Edited'])
    expect(customers.utils.pendingCount()).toBe(1)
    await customers.insert({ id: 'n1', shop_id: 's1', name: 'New', phone: null }).isPersisted.promise
    await mutatorsOf(client).updateCustomerName({ customerId: 'n1', value: 'Newer' })
    await drain(client)
    await customers.utils.awaitWrites()
    // Neither the acknowledgement nor the server's rows show as a change of what is seen.
    expect(log.filter((line, at) => line !== log[at - 1])).toEqual(['update Edited', 'insert New', 'update Newer'])
    expect(customers.get('n1')?.name).toBe('Newer')
    await customers.delete('n1').isPersisted.promise
    await drain(client)
    expect(log.at(-1)).toMatch(/^delete/)
    expect(log.filter((line) => line.startsWith('delete')).length).toBe(1)
  })

  test('server rows are visible while pushes fail', async () => {
    let broken = true
    const fetch = ((url: string, init: RequestInit) => (broken && url.endsWith('/sync/push') ? Promise.resolve(new Response('{}', { status: 500 })) : globalThis.fetch(url, init))) as typeof globalThis.fetch
    const client = await device(server, 'ana', 's1', { fetch })
    const customers = collectionOf(client)
    await customers.preload()
    await customers.insert({ id: 'n1', shop_id: 's1', name: 'Mine', phone: null }).isPersisted.promise
    await expect(client.push()).rejects.toThrow('500')
    await server.customers('s1', 'theirs', 1)
    await client.pull()
    expect(customers.toArray.map(({ name }) => name).sort()).toEqual(['Mine', 'Name 1'])
    broken = false
    await drain(client)
    expect(customers.utils.pendingCount()).toBe(0)
  })

  test('a refused write leaves the screen and says why', async () => {
    const client = await device(server, 'ana', 's1')
    const customers = collectionOf(client, { writes: 'ack' })
    await customers.preload()
    const tx = customers.insert({ id: 'bad', shop_id: 's1', name: ' ', phone: null })
    expect(customers.get('bad')?.name).toBe(' ')
    const persisted = expect(tx.isPersisted.promise).rejects.toThrow(/name/)
    await new Promise((resolve) => client.onWrites(resolve))
    await drain(client)
    await persisted
    expect(customers.get('bad')).toBeUndefined()
    expect(client.writes[0]?.refusal?.code).toBe('invalid_args')
  })

  test('inv10: a reset with pending writes keeps them on the screen', async () => {
    await server.customers('s1', 'a', 5)
    const client = await device(server, 'ana', 's1', { pull: { pageSize: 2 } })
    const customers = collectionOf(client)
    await customers.preload()
    await client.pull()
    const mutators = mutatorsOf(client)
    await mutators.addCustomer({ clientId: 'n1', name: 'Waiting' })
    await mutators.updateCustomerName({ customerId: 'a1', value: 'Mine' })
    const log: string[] = []
    customers.subscribeChanges((changes) => changes.forEach(({ type, key }) => log.push(`${type} ${key}`)))
    await server.down()
    await server.verb('epoch', 'new')
    await server.up()
    await client.pull()
    expect(customers.get('n1')?.name).toBe('Waiting')
    expect(customers.get('a1')?.name).toBe('Mine')
    // Of what a reset shows, nothing is half: every row that goes is back in the same event.
    expect(customers.size).toBe(6)
    await drain(client)
    expect(customers.size).toBe(6)
    expect(customers.get('n1')?.name).toBe('Waiting')
    expect(client.writes).toEqual([])
  })

  test('on demand: queries get the rows that they ask for, and no others are in memory', async () => {
    await server.customers('s1', 'a', 20)
    const client = await device(server, 'ana', 's1')
    await client.pull()
    const customers = collectionOf(client, { syncMode: 'on-demand', startSync: true })
    const live = tanstack.createLiveQueryCollection({ query: (q) => q.from({ c: customers as never }).where(({ c }) => tanstack.or(tanstack.eq((c as unknown as { id: never }).id, 'a3' as never), tanstack.eq((c as unknown as { name: never }).name, 'Moved' as never))), startSync: true })
    await live.preload()
    expect(live.toArray.map((row) => (row as unknown as Customer).id)).toEqual(['a3'])
    expect(customers.size).toBe(1)
    await server.sql("update customers set name = 'Moved' where id = 'a9'")
    await server.sql("update customers set name = 'Elsewhere' where id = 'a10'")
    await client.pull()
    expect(live.toArray.map((row) => (row as unknown as Customer).id).sort()).toEqual(['a3', 'a9'])
    expect(customers.size).toBe(2)
  })
})
