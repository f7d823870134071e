// Invariants 3, 4, 5 and 12: devices on a network that misbehaves from a seed all end up as the database is.
import { afterEach, describe, expect, onTestFailed, test } from 'vitest'
import type { NizhalClient } from '../src/client'
import { addCustomer, device, drain, pay, remove, rename, shown } from './harness/device'
import { faulty, seeded } from './harness/faults'
import { again, seeds } from './harness/seeds'
import { KINDS, Server } from './harness/server'

const STEPS = 60

describe.each(KINDS)('on %s', (kind) => {
  let server: Server
  afterEach(() => server.stop())

  test.each(seeds(2))('inv03: seed %i', async (seed) => {
    onTestFailed(() => console.error(again(seed, 'converge')))
    server = await Server.start(kind)
    await server.shop('s1', ['ana', 'ben'])
    await server.shop('s2', ['cem', 'ana'])
    await server.customers('s1', 'old', 30)
    const random = seeded(seed)
    const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)]!
    const network = faulty(random, 0.4)
    const devices: { client: NizhalClient; shop: string }[] = []
    for (const [user, shop] of [['ana', 's1'], ['ana', 's2'], ['ben', 's1'], ['cem', 's2']] as const) {
      const pull = { pageSize: 1 + Math.floor(random() * 12) }
      devices.push({ client: await device(server, user, shop, { fetch: network.fetch, pull }), shop })
    }
    const made: { id: string; name: string }[] = []
    let entries = 0
    for (let step = 0; step < STEPS; step++) {
      const { client, shop } = pick(devices)
      const action = random()
      const known = (await client.rows('customers')).filter((row) => row['shop_id'] === shop).map((row) => String(row['id']))
      if (action < 0.2) {
        const id = `n${seed}-${step}`
        made.push({ id: (await client.mutate(addCustomer(id, `New ${step}`, shop))).id, name: id })
      } else if (action < 0.35 && known.length > 0) await client.mutate(rename(pick(known), `Name ${step}`))
      else if (action < 0.55 && known.length > 0) await client.mutate(pay(`e${seed}-${step}-${entries++}`, pick(known), '1.25', shop))
      else if (action < 0.6 && known.length > 0) await client.mutate(remove(pick(known)))
      else if (action < 0.65) await (random() < 0.5 ? server.leave('s2', 'ana') : server.join('s2', 'ana').catch(() => undefined))
      else if (action < 0.8) await client.pull().catch(() => undefined)
      else await Promise.allSettled([client.push(), client.pull()])
    }
    network.healed = true
    await network.settled()
    for (const { client } of devices) await drain(client)
    // Once more, for what the others pushed last.
    for (const { client } of devices) await client.pull()
    for (const { client } of devices) {
      const user = client === devices[2]!.client ? 'ben' : client === devices[3]!.client ? 'cem' : 'ana'
      const may = `shop_id in (select shop_id from shop_members where user_id = '${user}')`
      const customers = await server.sql(`select id, name, shop_id from customers where deleted_at is null and ${may}`)
      const ledger = await server.sql(`select id, customer_id, shop_id from ledger_entries where ${may}`)
      expect(await shown(client, 'customers', ['id', 'name', 'shop_id'])).toEqual(customers.sort())
      expect(await shown(client, 'ledger_entries', ['id', 'customer_id', 'shop_id'])).toEqual(ledger.sort())
      expect(client.status.pending).toBe(0)
    }
    // Exactly once: every write has one answer on the server, and none was answered twice with different words.
    const [[twice]] = (await server.sql("select count(*) from (select client_mutation_id from _nizhal_mutations group by client_mutation_id, actor having count(*) > 1) as t")) as [[string]]
    expect(twice).toBe('0')
    expect(Object.values(network.counts).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(5)
  })
})
