// The app on one phone.
import { newId } from '@nizhal/db-collection'
import { useLiveQuery } from '@tanstack/react-db'
import { useMemo, useState } from 'react'
import { hue, useStatus, useWrites } from '../../../web/phone'
import { Top } from '../../../web/top'
import { CustomerPage } from './customer'
import type { Ledger } from './ledger'
import { balances, money } from './money'
import { Outbox } from './outbox'

export function App({ ledger }: { ledger: Ledger }) {
  const status = useStatus(ledger)
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
      <Top phone={ledger} status={status} place="the shop" />
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
