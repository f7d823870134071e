// One phone's ledger: its own store, its own client, the collections that the screens read.
import { createNizhalBlobs, type NizhalClient } from '@nizhal/db-collection'
import { browserBlobStore } from '@nizhal/db-collection/blobs'
import { createCollection } from '@tanstack/react-db'
import { openPhone } from '../../../web/phone'
import { createClient, createMutators, customersCollection, ledgerEntriesCollection, type CustomersRow, type LedgerEntriesRow } from './nizhal'

export type Ledger = Awaited<ReturnType<typeof open>>

const SHOP = 'shop-1'

/** Opens the phone of this person. */
export async function open(who: string) {
  const phone = await openPhone('ledger', who, () => new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' }), createClient)
  const { client } = phone
  const customers = createCollection(customersCollection(client, { syncRule: 'myShops' }))
  const entries = createCollection(ledgerEntriesCollection(client, { syncRule: 'myShops' }))
  const blobs = createNizhalBlobs({ client, store: browserBlobStore({ name: `ledger-${who}` }) })
  return {
    ...phone,
    blobs,
    /** The bucket to whose limit a photo counts. */
    bucket: `myShops:${SHOP}`,
    customers,
    entries,
    mutators: mutatorsOf(client, who),
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
