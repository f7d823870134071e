// The adapter on every version of TanStack DB that it supports, against the real server.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import * as v15 from '@tanstack/db'
import * as v9 from 'tanstack-db-0.9'
import * as v8 from 'tanstack-db-0.8'
import type { NizhalClient } from '../src/client'
import { createNizhalMutators } from '../src/mutators'
import { nizhalCollectionOptions } from '../src/tanstack/collection'
import { device, drain } from './harness/device'
import { MemoryStore } from '../src/store/memory'
import { Server } from './harness/server'
import { Disk } from './harness/wasm'

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
    await server.ensureUp()
    await server.sql('delete from customers')
    await server.sql('delete from shop_members')
    if (shop === 1) await server.shop('s1', [])
    await server.join('s1', 'ana')
  })

  function collectionOf(client: NizhalClient, more: object = {}, db = tanstack) {
    return db.createCollection(
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
    const store = new MemoryStore()
    let scans = 0
    const scan = store.scan.bind(store)
    store.scan = (table) => (scans++, scan(table))
    const client = await device(server, 'ana', 's1', { store })
    await client.pull()
    const customers = collectionOf(client, { syncMode: 'on-demand', startSync: true, autoIndex: 'eager', defaultIndexType: tanstack.BTreeIndex })
    const live = tanstack.createLiveQueryCollection({ query: (q) => q.from({ c: customers as never }).where(({ c }) => tanstack.or(tanstack.eq((c as unknown as { id: never }).id, 'a3' as never), tanstack.eq((c as unknown as { name: never }).name, 'Moved' as never))), startSync: true })
    await live.preload()
    expect(live.toArray.map((row) => (row as unknown as Customer).id)).toEqual(['a3'])
    expect(customers.size).toBe(1)
    await server.sql("update customers set name = 'Moved' where id = 'a9'")
    await server.sql("update customers set name = 'Elsewhere' where id = 'a10'")
    await client.pull()
    expect(live.toArray.map((row) => (row as unknown as Customer).id).sort()).toEqual(['a3', 'a9'])
    expect(customers.size).toBe(2)
    // A write of this device's own that comes into the query, and one that leaves it.
    await mutatorsOf(client).updateCustomerName({ customerId: 'a7', value: 'Moved' })
    await mutatorsOf(client).updateCustomerName({ customerId: 'a9', value: 'Away' })
    expect(live.toArray.map((row) => (row as unknown as Customer).id).sort()).toEqual(['a3', 'a7'])
    await server.sql("delete from customers where id = 'a3'")
    await drain(client)
    expect(live.toArray.map((row) => (row as unknown as Customer).id)).toEqual(['a7'])
    // A reset: what the queries asked for is asked for again, and nothing goes and comes back meanwhile.
    const log: string[] = []
    live.subscribeChanges((changes) => changes.forEach(({ type, key }) => log.push(`${type} ${String(key)}`)))
    await server.down()
    await server.verb('epoch', 'new')
    await server.up()
    await server.sql("update customers set name = 'Moved' where id = 'a11'")
    await client.pull()
    await expect.poll(() => live.toArray.map((row) => (row as unknown as Customer).id).sort()).toEqual(['a11', 'a7'])
    expect(log).toEqual(['insert a11'])
    expect(scans).toBe(0)
    // Who leaves takes the rows along.
    await live.cleanup()
    await expect.poll(() => customers.size).toBe(0)
  })

  test('on demand and eager give the same answers, page by page, with what is written meanwhile', async () => {
    await server.customers('s1', 'a', 120)
    await server.sql("update customers set name = case when id like '%1' then 'ähnlich' when id like '%2' then 'Zoe' when id like '%3' then 'anna' when id like '%4' then 'Émile' when id like '%5' then 'emil' else name end, phone = case when id like '%7' or id like '%1' then null else substr(id, 2, 1) end")
    const client = await device(server, 'ana', 's1', { store: (await Disk.make()).store() })
    await client.pull()
    // The latest version says what is right: 0.8 errs in ordered windows, with ties and as rows change.
    const eager = collectionOf(client, { autoIndex: 'eager', defaultIndexType: v15.BTreeIndex }, v15)
    const some = collectionOf(client, { id: 'some', syncMode: 'on-demand', startSync: true, autoIndex: 'eager', defaultIndexType: tanstack.BTreeIndex })
    await eager.preload()
    type Ref = Record<keyof Customer, never>
    const lexical = { stringSort: 'lexical' } as const
    // Of an order by language TanStack DB asks for all, from 0.9 on.
    const all = ['first page by name', 'nothing first']
    const queriesOf = ({ eq, gt, like, or, not, inArray, isNull }: typeof v15): [string, (q: v15.InitialQueryBuilder, from: never) => never][] => [
      ['first page by name', (q, c) => q.from({ c }).orderBy(({ c }) => (c as Ref).name).limit(10) as never],
      ['by name, lexically', (q, c) => q.from({ c }).orderBy(({ c }) => (c as Ref).name, lexical).limit(10) as never],
      ['descending, with ties', (q, c) => q.from({ c }).orderBy(({ c }) => (c as Ref).phone, { direction: 'desc', nulls: 'last', ...lexical }).orderBy(({ c }) => (c as Ref).id, lexical).limit(15) as never],
      ['nothing first', (q, c) => q.from({ c }).orderBy(({ c }) => (c as Ref).phone, { nulls: 'first' }).orderBy(({ c }) => (c as Ref).id, 'desc').limit(8) as never],
      ['with an offset', (q, c) => q.from({ c }).orderBy(({ c }) => (c as Ref).id, lexical).offset(20).limit(10) as never],
      ['a condition and an order', (q, c) => q.from({ c }).where(({ c }) => or(eq((c as Ref).phone, '3' as never), like((c as Ref).name, 'Z%' as never))).orderBy(({ c }) => (c as Ref).id, 'desc').limit(6) as never],
      ['a range', (q, c) => q.from({ c }).where(({ c }) => gt((c as Ref).id, 'a7' as never)) as never],
      ['not', (q, c) => q.from({ c }).where(({ c }) => not(gt((c as Ref).id, 'a2' as never))) as never],
      ['nothing', (q, c) => q.from({ c }).where(({ c }) => isNull((c as Ref).phone)) as never],
      ['some', (q, c) => q.from({ c }).where(({ c }) => inArray((c as Ref).id, ['a5', 'a50', 'x'] as never)) as never],
    ]
    const idsOf = (live: { toArray: unknown[] }) => live.toArray.map((row) => (row as Customer).id)
    const right = new Map(queriesOf(v15))
    for (const [name, query] of queriesOf(tanstack)) {
      const other = tanstack.createLiveQueryCollection({ query: (q) => query(q as never, some as never), startSync: true })
      await other.preload()
      const wanted = async () => {
        const one = v15.createLiveQueryCollection({ query: (q) => right.get(name)!(q, eager as never), startSync: true })
        await one.preload()
        const ids = idsOf(one)
        await one.cleanup()
        return ids
      }
      const same = async () => {
        const ids = await wanted()
        await expect.poll(() => idsOf(other), { message: name }).toEqual(ids)
        return ids
      }
      const [first, second] = await same()
      expect(second, name).toBeDefined()
      if (!all.includes(name)) expect(some.size, name).toBeLessThan(119)
      await mutatorsOf(client).updateCustomerName({ customerId: first!, value: 'zzz last of all' })
      await mutatorsOf(client).deleteCustomer({ customerId: second! })
      await mutatorsOf(client).addCustomer({ clientId: `a0-${name}`, name: 'AAA' })
      await same()
      await server.sql("update customers set name = 'aardvark', phone = '0' where id = 'a60'")
      await drain(client)
      await same()
      await other.cleanup()
      await expect.poll(() => some.size).toBe(0)
    }
  })

  test('on demand: a window that moves on loads the next rows, through ties', async () => {
    await server.customers('s1', 'a', 90)
    await server.sql("update customers set phone = case when cast(substr(id, 2) as integer) % 3 = 0 then 'x' else 'y' end")
    const client = await device(server, 'ana', 's1')
    await client.pull()
    const customers = collectionOf(client, { syncMode: 'on-demand', startSync: true, autoIndex: 'eager', defaultIndexType: tanstack.BTreeIndex })
    const live = tanstack.createLiveQueryCollection({
      query: (q) => q.from({ c: customers as never }).orderBy(({ c }) => (c as unknown as { phone: never }).phone, { stringSort: 'lexical' }).orderBy(({ c }) => (c as unknown as { id: never }).id, { stringSort: 'lexical' }).limit(10),
      startSync: true,
    })
    await live.preload()
    const all = (await client.rows('customers')).map((row) => [row['phone'], row['id']].join()).sort().map((line) => line.split(',')[1])
    const seen = new Set<string>()
    for (let offset = 0; offset < 90; offset += 10) {
      if (offset > 0) await (live.utils as unknown as { setWindow(window: object): true | Promise<void> }).setWindow({ offset, limit: 10 })
      await expect.poll(() => live.toArray.map((row) => (row as unknown as Customer).id)).toEqual(all.slice(offset, offset + 10))
      for (const row of live.toArray) seen.add((row as unknown as Customer).id)
    }
    expect(seen.size).toBe(90)
  })
})
