// What the server has not answered yet, and what it refused.
import type { NizhalWrite } from '@nizhal/db-collection'
import type { Ledger } from './ledger'
import { cents, money } from './money'

interface Props {
  ledger: Ledger
  writes: NizhalWrite[]
  nameOfCustomer(id: string): string
}

export function Outbox({ ledger, writes, nameOfCustomer }: Props) {
  const waiting = writes.filter(({ state }) => state === 'pending')
  const refused = writes.filter(({ state }) => state === 'rejected')
  if (waiting.length + refused.length === 0) return null
  return (
    <section className="outbox" data-testid="outbox">
      {refused.map((write) => (
        <div key={write.id} className="refused" data-testid="refused">
          <p>
            <b>{write.refusal?.status === 'undecided' ? 'Not answered:' : 'Refused:'}</b> {told(write, nameOfCustomer)}
            <small>{write.refusal?.error}</small>
          </p>
          <button onClick={() => void ledger.client.retry(write.id)}>Try again</button>
          <button onClick={() => void ledger.client.discard(write.id)}>Let go</button>
        </div>
      ))}
      {waiting.length > 0 && (
        <details open={waiting.length <= 3}>
          <summary data-testid="waiting">{waiting.length === 1 ? '1 write waits' : `${waiting.length} writes wait`} to be sent</summary>
          {waiting.map((write) => <p key={write.id}><i className="waits" /> {told(write, nameOfCustomer)}{write.awaitsBlob && ', after its photo'}</p>)}
        </details>
      )}
    </section>
  )
}

function told({ name, args }: NizhalWrite, nameOfCustomer: (id: string) => string): string {
  const { amount, customerId = '', name: who, value } = args as Record<string, string>
  switch (name) {
    case 'addCustomer':
      return `new customer ${who}`
    case 'recordCredit':
      return `credit of ${money(cents(amount ?? '0'))} to ${nameOfCustomer(customerId)}`
    case 'recordPayment':
      return `payment of ${money(cents(amount ?? '0'))} by ${nameOfCustomer(customerId)}`
    case 'deleteCustomer':
      return 'remove a customer'
    default:
      return `${name} ${value ?? ''}`
  }
}
