// First sync of 100,000 rows, and 1,000 offline writes drained, in Node against the server on SQLite.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { MemoryStore } from '../src/store/memory'
import { addCustomer, device, drain } from '../test/harness/device'
import { Server } from '../test/harness/server'
import { Disk } from '../test/harness/wasm'

const ROWS = 100_000
let server: Server
beforeAll(async () => {
  server = await Server.start('sqlite')
  await server.shop('s1', ['ana'])
  await server.customers('s1', 'c', ROWS)
})
afterAll(() => server.stop())

const memory = async () => new MemoryStore()
const sqlite = async () => (await Disk.make()).store()
const ways = [
  ['memory, as a stream', memory, true],
  ['memory, in pages of 10,000', memory, false],
  ['wa-sqlite in memory, as a stream', sqlite, true],
  ['wa-sqlite in memory, in pages of 10,000', sqlite, false],
] as const

test.each(ways)('first sync into %s', async (name, make, stream) => {
  const client = await device(server, 'ana', 's1', { store: await make(), pull: { pageSize: 10_000, stream } })
  const begun = performance.now()
  await client.pull()
  const seconds = (performance.now() - begun) / 1000
  expect((await client.rows('customers')).length).toBe(ROWS)
  console.log(`first sync of ${ROWS} rows into ${name}: ${Math.round(ROWS / seconds)} rows/s`)
})

test('1,000 offline writes', async () => {
  const other = await Server.start('sqlite')
  await other.shop('s1', ['ana'])
  const client = await device(other, 'ana', 's1', { store: (await Disk.make()).store() })
  let begun = performance.now()
  for (let at = 0; at < 1000; at++) await client.mutate(addCustomer(`n${at}`, `Name ${at}`, 's1'))
  console.log(`1,000 writes made offline: ${((performance.now() - begun) / 1000).toFixed(2)} s`)
  begun = performance.now()
  await drain(client)
  console.log(`1,000 writes drained: ${((performance.now() - begun) / 1000).toFixed(2)} s`)
  expect((await other.sql('select count(*) from customers')).flat()).toEqual(['1000'])
  await other.stop()
})
