// The fridge: how many doses are left of each vaccine, and for whom they are reserved.
import { newId, type NizhalWrite } from '@nizhal/db-collection'
import { useLiveQuery } from '@tanstack/react-db'
import { CLINIC, type Clinic } from './clinic'
import { Lost } from './slots'

interface Props {
  clinic: Clinic
  writes: NizhalWrite[]
  patient: string
  next(): void
}

/** The doses of a delivery. */
const DELIVERY = 2

export function Fridge({ clinic, writes, patient, next }: Props) {
  const { data: stock } = useLiveQuery((q) => q.from({ s: clinic.stock }).orderBy(({ s }) => s.vaccine))
  const { data: doses } = useLiveQuery((q) => q.from({ d: clinic.doses }).orderBy(({ d }) => d.reserved_at))
  const waiting = new Set(writes.filter(({ state }) => state === 'pending').flatMap(({ rows }) => rows.map(({ key }) => key)))
  const reserve = (vaccine: string) => {
    next()
    void clinic.mutators.reserveDose({ clientId: newId(), clinicId: CLINIC, vaccine, patient })
  }
  return (
    <ul className="fridge" data-testid="fridge">
      {stock.map(({ vaccine, doses: left }) => (
        <li key={vaccine} data-vaccine={vaccine}>
          <div className="line">
            <span className={left === '0' ? 'left none' : 'left'} data-testid="left">{left}</span>
            <span className="vaccine">
              <b>{vaccine}</b>
              <small>{left === '1' ? 'dose left' : 'doses left'}</small>
            </span>
            <button className="quiet" title={`${DELIVERY} doses came in`} onClick={() => void clinic.mutators.receiveDoses({ clinicId: CLINIC, vaccine, doses: DELIVERY })}>+{DELIVERY}</button>
            {/* This phone may not have heard of a delivery: the server decides, and knows of more than is here. */}
            <button disabled={!patient} className={left === '0' ? 'quiet' : undefined} onClick={() => reserve(vaccine)}>{left === '0' ? 'Ask anyway' : 'Reserve'}</button>
          </div>
          <div className="reserved">
            {doses.filter((dose) => dose.vaccine === vaccine).map((dose) => (
              <span key={dose.id} title={`reserved by ${dose.nurse}`}>
                {dose.patient} <small>{dose.nurse}</small>
                {waiting.has(dose.id) && <i className="waits" title="The server has not heard of it yet" />}
              </span>
            ))}
          </div>
          {writes
            .filter(({ name, state, args }) => name === 'reserveDose' && state === 'rejected' && (args as { vaccine: string }).vaccine === vaccine)
            .map((write) => <Lost key={write.id} clinic={clinic} write={write} />)}
        </li>
      ))}
    </ul>
  )
}
