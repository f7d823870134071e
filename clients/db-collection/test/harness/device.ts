// A device of the ledger for the tests: a client whose traffic the test moves itself.
import { createNizhalClient, type NizhalClient } from '../../src/client'
import type { NizhalClientOptions } from '../../src/options'
import { schemaOf } from '../../src/protocol/schema'
import type { Row } from '../../src/protocol/wire'
import type { Effect } from '../../src/engine/op'
import { readFileSync } from 'node:fs'
import { token, type Server } from './server'

const contract = JSON.parse(readFileSync(new URL('../../../../examples/credit-ledger/nizhal.contract.json', import.meta.url), 'utf8'))
export const schema = schemaOf(contract)

/** A client that syncs only when the test says so. */
export async function device(server: Pick<Server, 'url'>, user: string, shop: string, options: Partial<NizhalClientOptions> = {}): Promise<NizhalClient> {
  const client = createNizhalClient({
    server: server.url,
    auth: { getHeaders: () => ({ authorization: `Bearer ${token(user, shop)}` }) },
    schema,
    online: false,
    locks: null,
    subscribeSource: null,
    witness: null,
    ...options,
  })
  await client.ready
  return client
}

/** What `addCustomer` does to the rows. */
export function addCustomer(id: string, name: string, shop: string) {
  const row = { id, shop_id: shop, name, phone: null, note: null, client_id: id }
  return { name: 'addCustomer', args: { clientId: id, name }, effects: [{ table: 'customers', key: id, kind: 'insert', row } as Effect] }
}

export function rename(id: string, name: string) {
  return { name: 'updateCustomerName', args: { customerId: id, value: name }, effects: [{ table: 'customers', key: id, kind: 'update', patch: { name } } as Effect] }
}

export function remove(id: string) {
  return { name: 'deleteCustomer', args: { customerId: id }, effects: [{ table: 'customers', key: id, kind: 'delete' } as Effect] }
}

export function pay(id: string, customer: string, amount: string, shop: string) {
  const row = { id, shop_id: shop, customer_id: customer, amount: `-${amount}`, reason: null }
  return { name: 'recordPayment', args: { clientId: id, customerId: customer, amount }, effects: [{ table: 'ledger_entries', key: id, kind: 'insert', row } as Effect] }
}

/** A table as the device shows it, by id. */
export async function shown(client: NizhalClient, table: string, columns: string[]): Promise<string[][]> {
  const rows = await client.rows(table)
  return rows.map((row: Row) => columns.map((column) => String(row[column]))).sort()
}

/** Pushes and pulls until nothing is under way, however often the network fails. */
export async function drain(client: NizhalClient, tries = 200): Promise<void> {
  for (let attempt = 0; attempt < tries; attempt++) {
    try {
      await client.push()
      await client.pull()
      if (client.writes.every(({ state }) => state === 'rejected')) return
    } catch {
      // The next try.
    }
  }
  throw new Error(`it does not come to rest: ${JSON.stringify(client.writes)}`)
}
