// One phone's ledger: its own store, its own client, the collections that the screens read.
import { createNizhalBlobs, type NizhalClient } from '@nizhal/db-collection'
import { browserBlobStore } from '@nizhal/db-collection/blobs'
import { waSqlitePersistence } from '@nizhal/db-collection/store'
import { createCollection } from '@tanstack/react-db'
import { createClient, createMutators, customersCollection, ledgerEntriesCollection, type CustomersRow, type LedgerEntriesRow } from './nizhal'

export type Ledger = Awaited<ReturnType<typeof open>>

const SHOP = 'shop-1'

/** What a phone remembers of its switches. */
export interface Switches {
  online: boolean
  live: boolean
}

/** Opens the phone of this person. */
export async function open(who: string) {
  const switches = { ...{ online: true, live: true }, ...remembered(who) }
  const client = createClient({
    server: location.origin,
    name: `ledger-${who}`,
    // Kept, so that the app opens with no network at all.
    user: who,
    auth: { getHeaders: async () => ({ authorization: `Bearer ${await tokenOf(who)}` }) },
    store: waSqlitePersistence({ name: `ledger-${who}.db`, worker: () => new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' }) }),
    presence: { name: nameOf(who) },
    pull: { intervalMs: 4000 },
    online: switches.online,
    ...(!switches.live && { subscribeSource: null }),
  })
  await client.ready
  const customers = createCollection(customersCollection(client, { syncRule: 'myShops' }))
  const entries = createCollection(ledgerEntriesCollection(client, { syncRule: 'myShops' }))
  const blobs = createNizhalBlobs({ client, store: browserBlobStore({ name: `ledger-${who}` }) })
  return {
    who,
    client,
    blobs,
    /** The bucket to whose limit a photo counts. */
    bucket: `myShops:${SHOP}`,
    customers,
    entries,
    mutators: mutatorsOf(client, who),
    switches,
    flip(change: Partial<Switches>) {
      Object.assign(switches, change)
      remember(who, switches)
      if (change.live !== undefined) client.setSource(change.live ? undefined : null)
      if (change.online !== undefined) client.setOnline(change.online)
    },
  }
}

/** The switches as they were; a browser that forbids to keep anything has none. */
function remembered(who: string): Partial<Switches> {
  try {
    return JSON.parse(localStorage.getItem(`switches:${who}`) ?? '{}') as Partial<Switches>
  } catch {
    return {}
  }
}

function remember(who: string, switches: Switches): void {
  try {
    localStorage.setItem(`switches:${who}`, JSON.stringify(switches))
  } catch {
    // Then the next start has them as they are at first.
  }
}

/** What each write will probably do; the server's mutators say what it did. */
function mutatorsOf(client: NizhalClient, who: string) {
  const entry = (id: string, customer: CustomersRow | undefined, customer_id: string, amount: string, reason?: string | null, photo?: LedgerEntriesRow['photo']): Partial<LedgerEntriesRow> => ({
    id, client_id: id, customer_id, amount, shop_id: customer?.shop_id ?? SHOP, reason: reason ?? null, photo: photo ?? null, at: new Date().toISOString(), created_by: who,
  })
  return createMutators(client, {
    addCustomer: (tx, { clientId, name, phone, note }) => tx.insert('customers', { id: clientId, client_id: clientId, shop_id: SHOP, name, phone: phone ?? null, note: note ?? null }),
    updateCustomerName: (tx, { customerId, value }) => tx.update('customers', customerId, { name: value }),
    updateCustomerPhone: (tx, { customerId, value }) => tx.update('customers', customerId, { phone: value ?? null }),
    deleteCustomer: (tx, { customerId }) => tx.delete('customers', customerId),
    async recordCredit(tx, { clientId, customerId, amount, reason }) {
      tx.insert('ledger_entries', entry(clientId, await tx.get('customers', customerId), customerId, String(amount), reason))
    },
    async recordPayment(tx, { clientId, customerId, amount, reason, photo }) {
      tx.insert('ledger_entries', entry(clientId, await tx.get('customers', customerId), customerId, `-${amount}`, reason, photo))
    },
  })
}

export function nameOf(who: string): string {
  return who.slice(0, 1).toUpperCase() + who.slice(1)
}

let tokens: Promise<Record<string, string>> | undefined

async function tokenOf(who: string): Promise<string> {
  tokens ??= fetch('/tokens.json').then((answer) => answer.json())
  const token = (await tokens.catch(() => ({}) as Record<string, string>))[who]
  if (!token) {
    tokens = undefined
    throw new Error('no token yet')
  }
  return token
}
