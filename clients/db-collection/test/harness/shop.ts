// A device of the shop: replayed tables, priorities, and a rule on demand.
import type { NizhalClient } from '../../src/client'
import { createNizhalMutators } from '../../src/mutators'
import type { NizhalClientOptions } from '../../src/options'
import { schemaOf } from '../../src/protocol/schema'
import { device } from './device'
import { SHOP, Server, type Kind } from './server'

export async function startShop(kind: Kind, members: string[] = ['ann']): Promise<Server> {
  const server = await Server.start(kind, {}, SHOP)
  for (const user of members) await server.sql(`insert into members (shop, user_id) values ('s', '${user}')`)
  return server
}

/** A client of the shop that syncs only when the test says so. */
export async function shopDevice(server: Pick<Server, 'url'>, user: string, options: Partial<NizhalClientOptions> = {}): Promise<NizhalClient> {
  const contract: unknown = await (await fetch(`${server.url}/nizhal/contract`)).json()
  return device(server, user, 's', { schema: schemaOf(contract), ...options })
}

type Args = {
  take: { shop: string; slot: string; holder: string }
  restock: { shop: string; item: string; quantity: number }
  buy: { shop: string; item: string; quantity: number }
  addNote: { id: string; shop: string }
}

/** The shop's mutators, with bodies that do what the server's do. */
export function shopMutators(client: NizhalClient) {
  return createNizhalMutators<Args, Record<string, object>>(client, {
    async take(tx, { shop, slot, holder }) {
      if (await tx.get('slots', JSON.stringify([shop, slot]))) throw new Error('the slot is taken')
      tx.insert('slots', { shop, slot, holder })
    },
    async restock(tx, { shop, item, quantity }) {
      const key = JSON.stringify([shop, item])
      const stock = (await tx.get('stock', key)) as { quantity: string } | undefined
      if (stock) tx.update('stock', key, { quantity: String(Number(stock.quantity) + quantity) })
      else tx.insert('stock', { shop, item, quantity: String(quantity) })
    },
    async buy(tx, { shop, item, quantity }) {
      const key = JSON.stringify([shop, item])
      const stock = (await tx.get('stock', key)) as { quantity: string } | undefined
      if (!stock || Number(stock.quantity) < quantity) throw new Error('sold out')
      tx.update('stock', key, { quantity: String(Number(stock.quantity) - quantity) })
    },
    addNote: (tx, { id, shop }) => tx.insert('notes', { id, shop }),
  })
}
