// The app on one phone.
import { createNizhalStatus, newId } from '@nizhal/db-collection'
import { useLiveQuery } from '@tanstack/react-db'
import { useMemo, useState, useSyncExternalStore } from 'react'
import { CustomerPage } from './customer'
import type { Ledger } from './ledger'
import { balances, money } from './money'
import { Outbox } from './outbox'
import { Top } from './top'

export function App({ ledger }: { ledger: Ledger }) {
  const { client } = ledger
  const source = useMemo(() => createNizhalStatus(client), [client])
  const status = useSyncExternalStore(source.subscribe, source.getSnapshot)
  const writes = useWrites(ledger)
  const { data: customers } = useLiveQuery((q) => q.from({ c: ledger.customers }).orderBy(({ c }) => c.name))
  const { data: entries } = useLiveQuery((q) => q.from({ e: ledger.entries }))
  const sums = useMemo(() => balances(entries), [entries])
  const unsent = useMemo(() => new Set(writes.filter((write) => write.state === 'pending').flatMap((write) => write.rows.map((row) => row.key))), [writes])
  const [selected, select] = useState<string>()
  const customer = customers.find(({ id }) => id === selected)
  const owed = [...sums.values()].reduce((sum, one) => sum + Math.max(one, 0), 0)
  return (
    <div className="app">
      <Top ledger={ledger} status={status} />
      {customer ? (
        <CustomerPage key={customer.id} ledger={ledger} customer={customer} entries={entries.filter((it) => it.customer_id === customer.id)} unsent={unsent} onBack={() => select(undefined)} />
      ) : (
        <>
          <div className="total">
            <span>Owed to the shop</span>
            <strong data-testid="owed">{money(owed)}</strong>
          </div>
          <ul className="customers" data-testid="customers">
            {customers.map(({ id, name, phone }) => {
              const balance = sums.get(id) ?? 0
              const waits = unsent.has(id) || entries.some((it) => it.customer_id === id && unsent.has(it.id))
              return (
                <li key={id}>
                  <button onClick={() => select(id)} data-customer={id}>
                    <span className="avatar" style={{ background: hue(name) }}>{name.slice(0, 1)}</span>
                    <span className="who">
                      <b>{name}</b>
                      <small>{phone ?? 'no number'}</small>
                    </span>
                    {waits && <i className="waits" title="not sent yet" />}
                    <span className={balance > 0 ? 'owes' : balance < 0 ? 'ahead' : 'even'}>{balance === 0 ? 'settled' : balance > 0 ? money(balance) : `${money(balance)} ahead`}</span>
                  </button>
                </li>
              )
            })}
            {customers.length === 0 && <li className="empty">{status.lastSyncedAt ? 'Nobody yet.' : 'Waiting for the first sync.'}</li>}
          </ul>
          <NewCustomer ledger={ledger} />
        </>
      )}
      <Outbox ledger={ledger} writes={writes} nameOfCustomer={(id) => customers.find((one) => one.id === id)?.name ?? 'a removed customer'} />
    </div>
  )
}

function NewCustomer({ ledger }: { ledger: Ledger }) {
  const [name, setName] = useState('')
  const add = async () => {
    if (!name.trim()) return
    setName('')
    await ledger.mutators.addCustomer({ clientId: newId(), name: name.trim() })
  }
  return (
    <form className="row" onSubmit={(event) => (event.preventDefault(), void add())}>
      <input value={name} onChange={(event) => setName(event.target.value)} placeholder="New customer" aria-label="New customer" />
      <button disabled={!name.trim()}>Add</button>
    </form>
  )
}

function useWrites({ client }: Ledger) {
  const source = useMemo(() => {
    let writes = client.writes
    return { subscribe: (listener: () => void) => client.onWrites((now) => ((writes = now), listener())), read: () => writes }
  }, [client])
  return useSyncExternalStore(source.subscribe, source.read)
}

export function hue(text: string): string {
  let sum = 0
  for (const char of text) sum = (sum * 31 + char.charCodeAt(0) * 7) % 360
  return `hsl(${sum} 45% 46%)`
}

