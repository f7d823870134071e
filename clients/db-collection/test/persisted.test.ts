// Under TanStack's own SQLite persistence: a second copy of the rows, which must never outlive ours.
import { persistedCollectionOptions, SQLiteCorePersistenceAdapter } from '@tanstack/db-sqlite-persistence-core'
// The copy that it pins.
import { createCollection } from '../node_modules/@tanstack/db-sqlite-persistence-core/node_modules/@tanstack/db/dist/esm/index.js'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { NizhalClient } from '../src/client'
import type { SqlValue } from '../src/store/driver'
import { nizhalCollectionOptions } from '../src/tanstack/collection'
import { addCustomer, device, drain, rename } from './harness/device'
import { Server } from './harness/server'
import { WaDatabase } from '../src/store/wa-sqlite'
import { Disk, waApi } from './harness/wasm'

interface Driver {
  exec(sql: string): Promise<void>
  query<T>(sql: string, params?: readonly unknown[]): Promise<readonly T[]>
  run(sql: string, params?: readonly unknown[]): Promise<void>
  transaction<T>(work: (tx: Driver) => Promise<T>): Promise<T>
}

/** Their driver on wa-sqlite; one transaction at a time, as they ask for them at once. */
function driverOf(db: WaDatabase): Driver {
  let tail: Promise<unknown> = Promise.resolve()
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const done = tail.then(work)
    tail = done.catch(() => undefined)
    return done
  }
  const inside: Driver = {
    exec: async (sql) => void (await db.all(sql)),
    query: async <T>(sql: string, params: readonly unknown[] = []) => (await db.all(sql, params as SqlValue[])) as T[],
    run: async (sql, params = []) => void (await db.all(sql, params as SqlValue[])),
    transaction: (work) => work(inside),
  }
  return {
    exec: (sql) => inTurn(() => inside.exec(sql)),
    query: (sql, params) => inTurn(() => inside.query(sql, params)),
    run: (sql, params) => inTurn(() => inside.run(sql, params)),
    transaction: (work) =>
      inTurn(async () => {
        await db.all('begin immediate')
        try {
          const value = await work(inside)
          await db.all('commit')
          return value
        } catch (error) {
          await db.all('rollback')
          throw error
        }
      }),
  }
}

let server: Server
beforeEach(async () => {
  server = await Server.start('sqlite')
  await server.shop('s1', ['ana'])
  await server.customers('s1', 'a', 4)
})
afterEach(() => server.stop())

async function collectionOf(client: NizhalClient, driver: Driver, schemaVersion = 1) {
  const adapter = new SQLiteCorePersistenceAdapter({ driver: driver as never, schemaVersion, schemaMismatchPolicy: 'sync-present-reset' })
  const options = { ...nizhalCollectionOptions<{ id: string; name: string }>({ client, name: 'customers' }), persistence: { adapter }, schemaVersion }
  const collection = createCollection(persistedCollectionOptions(options as never) as never) as unknown as { toArray: { id: string; name: string }[]; preload(): Promise<void>; cleanup(): Promise<void>; status: string }
  await collection.preload()
  return { collection, shows: () => collection.toArray.map(({ id, name }) => `${id} ${name}`).sort() }
}

test('rows that went while the copy was not looked at are not shown, and a new schema version shows all', async () => {
  const [disk, copy] = [await Disk.make(), driverOf(await WaDatabase.open(await waApi(), ':memory:'))]
  let client = await device(server, 'ana', 's1', { store: disk.store() })
  await client.pull()
  let { collection, shows } = await collectionOf(client, copy)
  await expect.poll(shows).toEqual(['a1 Name 1', 'a2 Name 2', 'a3 Name 3', 'a4 Name 4'])
  await client.mutate(addCustomer('c1', 'Mine', 's1'))
  await expect.poll(shows).toContain('c1 Mine')
  await collection.cleanup()
  // The engine goes on, and nobody tells their copy.
  await server.sql("delete from customers where id = 'a1'")
  await server.sql("update customers set name = 'Theirs' where id = 'a2'")
  await drain(client)
  await client.mutate(rename('a3', 'Waits'))
  await client.close()
  await server.down()
  const wanted = ['a2 Theirs', 'a3 Waits', 'a4 Name 4', 'c1 Mine']
  for (const schemaVersion of [1, 2, 2, 1]) {
    client = await device(server, 'ana', 's1', { store: disk.store() })
    ;({ collection, shows } = await collectionOf(client, copy, schemaVersion))
    expect(collection.status).toBe('ready')
    await expect.poll(shows, { message: `version ${schemaVersion}` }).toEqual(wanted)
    await collection.cleanup()
    await client.close()
  }
})

test('a store that forgets empties the copy: rows without their cursor and outbox are not shown', async () => {
  const copy = driverOf(await WaDatabase.open(await waApi(), ':memory:'))
  const first = await device(server, 'ana', 's1')
  await first.pull()
  const { collection, shows } = await collectionOf(first, copy)
  await expect.poll(shows).toHaveLength(4)
  await collection.cleanup()
  const again = await device(server, 'ana', 's1')
  const opened = await collectionOf(again, copy)
  await expect.poll(opened.shows).toEqual([])
  await again.pull()
  await expect.poll(opened.shows).toHaveLength(4)
})
