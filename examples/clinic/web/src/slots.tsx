// The morning's slots: free, mine, another's, and those that were mine until somebody's earlier booking arrived.
import type { NizhalWrite } from '@nizhal/db-collection'
import { useLiveQuery } from '@tanstack/react-db'
import { CLINIC, type Clinic } from './clinic'
import type { SlotsRow } from './nizhal'
import { clinicTime } from './time'

interface Props {
  clinic: Clinic
  writes: NizhalWrite[]
  patient: string
  ahead: number
  next(): void
}

export function Slots({ clinic, writes, patient, ahead, next }: Props) {
  const { data: slots } = useLiveQuery((q) => q.from({ s: clinic.slots }).orderBy(({ s }) => s.time))
  const of = (name: string, time: string, state: NizhalWrite['state']) => writes.filter((write) => write.name === name && write.state === state && (write.args as { time: string }).time === time)
  const book = (time: string) => {
    next()
    void clinic.mutators.bookSlot({ clinicId: CLINIC, time, patient })
  }
  return (
    <ul className="slots" data-testid="slots">
      {slots.map((slot) => {
        const waits = of('bookSlot', slot.time, 'pending').length + of('freeSlot', slot.time, 'pending').length > 0
        const lost = of('bookSlot', slot.time, 'rejected')
        return (
          <li key={slot.time} className={`slot ${kindOf(slot, clinic.who)}`} data-time={slot.time} data-lost={lost.length > 0 || undefined}>
            <div className="line">
              <b>{slot.time.replace(/^0/, '')}</b>
              {waits && <i className="waits" title="The server has not heard of it yet" />}
              {slot.booked_by === null && <button disabled={!patient} onClick={() => book(slot.time)}>Book</button>}
              {slot.booked_by === clinic.who && <button className="plain" title="Give back" aria-label="Give back" onClick={() => void clinic.mutators.freeSlot({ clinicId: CLINIC, time: slot.time })}>✕</button>}
            </div>
            <span className="holder">{slot.patient ?? 'free'}</span>
            {slot.nurse !== null && <small>{slot.booked_by === clinic.who ? 'you' : slot.nurse}{slot.booked_at && `, at ${clinicTime(slot.booked_at, ahead)}`}</small>}
            {lost.map((write) => <Lost key={write.id} clinic={clinic} write={write} />)}
          </li>
        )
      })}
    </ul>
  )
}

function kindOf({ booked_by }: SlotsRow, who: string): string {
  return booked_by === null ? 'free' : booked_by === who ? 'mine' : 'theirs'
}

/** A write of mine that the server refused, with its words. */
export function Lost({ clinic, write }: { clinic: Clinic; write: NizhalWrite }) {
  return (
    <div className="lost" data-testid="lost" role="status">
      <p>
        <s>{(write.args as { patient: string }).patient}</s> {write.refusal?.error}
      </p>
      <button className="plain" onClick={() => void clinic.client.discard(write.id)}>Let go</button>
    </div>
  )
}
