// One customer: the entries, their sum, and two ways to add one.
import { newId, type BlobRef } from '@nizhal/db-collection'
import { useState } from 'react'
import type { Ledger } from './ledger'
import { cents, money } from './money'
import type { CustomersRow, LedgerEntriesRow } from './nizhal'
import { Photo, TakePhoto } from './photo'

interface Props {
  ledger: Ledger
  customer: CustomersRow
  entries: LedgerEntriesRow[]
  unsent: Set<string>
  onBack(): void
}

export function CustomerPage({ ledger, customer, entries, unsent, onBack }: Props) {
  const balance = entries.reduce((sum, { amount }) => sum + cents(amount), 0)
  const sorted = [...entries].sort((a, b) => b.at.localeCompare(a.at))
  return (
    <div className="customer">
      <div className="line">
        <button className="plain" onClick={onBack} aria-label="Back">‹ Customers</button>
        <button className="plain danger" onClick={() => (onBack(), void ledger.mutators.deleteCustomer({ customerId: customer.id }))}>Remove</button>
      </div>
      <h2>{customer.name}</h2>
      <p className={balance > 0 ? 'balance owes' : 'balance'} data-testid="balance">
        {balance > 0 ? `owes ${money(balance)}` : balance < 0 ? `${money(balance)} ahead` : 'settled'}
      </p>
      <Record ledger={ledger} customerId={customer.id} />
      <ul className="entries" data-testid="entries">
        {sorted.map((entry) => (
          <li key={entry.id}>
            <span>
              <b>{cents(entry.amount) > 0 ? 'Credit' : 'Payment'}</b>
              <small>{entry.reason ?? new Date(entry.at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })} · {entry.created_by}</small>
            </span>
            {entry.photo && <Photo ledger={ledger} photo={entry.photo} />}
            {unsent.has(entry.id) && <i className="waits" title="not sent yet" />}
            <span className={cents(entry.amount) > 0 ? 'owes' : 'ahead'}>{cents(entry.amount) > 0 ? '+' : '−'} {money(cents(entry.amount))}</span>
          </li>
        ))}
        {sorted.length === 0 && <li className="empty">No entries yet.</li>}
      </ul>
    </div>
  )
}

function Record({ ledger, customerId }: { ledger: Ledger; customerId: string }) {
  const [amount, setAmount] = useState('')
  const [photo, setPhoto] = useState<BlobRef>()
  const good = /^\d+(\.\d{1,2})?$/.test(amount) && Number(amount) > 0
  const record = async (name: 'recordCredit' | 'recordPayment') => {
    setAmount('')
    const entry = { clientId: newId(), customerId, amount }
    if (name === 'recordCredit') return void (await ledger.mutators.recordCredit(entry))
    setPhoto(undefined)
    await ledger.mutators.recordPayment({ ...entry, ...(photo && { photo }) })
  }
  return (
    <form onSubmit={(event) => event.preventDefault()}>
      <div className="row">
        <input value={amount} onChange={(event) => setAmount(event.target.value.trim())} inputMode="decimal" placeholder="Amount" aria-label="Amount" />
        <button disabled={!good || photo !== undefined} title={photo && 'A receipt goes with a payment'} onClick={() => void record('recordCredit')}>Credit</button>
        <button disabled={!good} className="pay" onClick={() => void record('recordPayment')}>Payment</button>
      </div>
      <TakePhoto ledger={ledger} photo={photo} onPhoto={setPhoto} />
    </form>
  )
}
