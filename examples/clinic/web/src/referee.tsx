// The server between the phones, as a referee: all actions in the order in which they were made, and the rewind when one comes late.
import { useEffect, useRef, useState } from 'react'
import { hue, nameOf, remembered } from '../../../web/phone'
import { deedOf, subjectOf } from './deed'
import { EMPTY, read, type Action, type Entry, type Log, type Rewind } from './log'
import { between, clinicTime } from './time'

/** How often the log is read, in milliseconds. */
const READ_EVERY_MS = 700
/** From when on it is worth a word that an action was heard later than it was made, in milliseconds. */
const HEARD_LATE_MS = 1000
/** The seed's clinic is in Colombo, in minutes ahead of UTC. */
const AHEAD = 330

export function Referee({ phones }: { phones: [string, string] }) {
  const log = useLog()
  const list = useRef<HTMLOListElement>(null)
  // What has just come stays in sight.
  useEffect(() => {
    const last = log.actions.reduce((last, one, at) => (one.heardAt > (log.actions[last]?.heardAt ?? '') ? at : last), 0)
    const newest = list.current?.children[last] as HTMLElement | undefined
    if (list.current && newest) list.current.scrollTop = newest.offsetTop - list.current.offsetTop - list.current.clientHeight / 2
  }, [log])
  return (
    <section className="referee" data-testid="referee">
      <Cables phones={phones} />
      <h2>The server is the referee</h2>
      <p className="small muted">What was done first counts first, whichever phone is heard first.</p>
      {log.rewind && <Told key={log.rewind.count} rewind={log.rewind} actions={log.actions} />}
      <ol className="actions" data-testid="actions" ref={list}>
        {log.actions.map((action, index) => <Entry key={action.id} action={action} before={log.actions.slice(0, index)} rewind={log.rewind} />)}
        {log.actions.length === 0 && <li className="empty">Nothing was done yet.</li>}
      </ol>
    </section>
  )
}

/** The last rewind in words. */
function Told({ rewind: { count, late, again, changed }, actions }: { rewind: Rewind; actions: readonly Action[] }) {
  const flipped = actions.filter(({ id }) => changed.includes(id))
  const [first] = late
  if (!first) return null
  return (
    <div className="rewind" data-testid="rewind" role="status">
      <b>⟲ Rewind {count}</b>
      <p>
        {nameOf(first.who)}’s {late.map((one) => `“${deedOf(one)}”`).join(' and ')} came {between(first.madeAt, first.heardAt)} late. The server took back{' '}
        {again.length === 1 ? 'the action' : `the ${again.length} actions`} made after it, and ran {again.length === 1 ? 'that one' : 'them'} again behind it
        {flipped.length === 0 ? ': nothing else changed.' : ':'}
      </p>
      {flipped.map((action) => <p key={action.id} className={`is-${action.status}`}>{nameOf(action.who)}’s “{deedOf(action)}” is {action.status} now.</p>)}
    </div>
  )
}

function Entry({ action, before, rewind }: { action: Action; before: readonly Action[]; rewind: Rewind | undefined }) {
  const { who, status, was } = action
  const isLate = rewind?.late.some((one) => one.id === action.id)
  const moved = isLate ? 'late' : rewind?.again.includes(action.id) ? 'again' : ''
  return (
    // A new key plays the movement anew.
    <li key={moved && rewind?.count} className={`action is-${status} ${moved}`} data-status={status} data-who={who} data-moved={moved || undefined}>
      <span className="face" style={{ background: hue(nameOf(who)) }} title={nameOf(who)}>{nameOf(who).slice(0, 1)}</span>
      <div>
        <p>
          <time>{clinicTime(action.madeAt, AHEAD, true)}</time> {deedOf(action)}
        </p>
        <small>
          {status === 'refused' ? why(action, before) : 'applied'}
          {Date.parse(action.heardAt) - Date.parse(action.madeAt) >= HEARD_LATE_MS && `, heard ${between(action.madeAt, action.heardAt)} later`}
        </small>
      </div>
      <span className="verdict">
        {was && <s>{was === 'applied' ? '✓' : '✗'}</s>}
        {status === 'applied' ? '✓' : '✗'}
      </span>
    </li>
  )
}

/** Who was first, as far as the order shows it; the phone has the server's own words. */
function why(action: Action, before: readonly Action[]): string {
  const first = before.filter((one) => one.status === 'applied' && one.name === action.name && subjectOf(one) === subjectOf(action)).at(-1)
  return first ? `refused: ${nameOf(first.who)} was ${between(first.madeAt, action.madeAt)} before` : 'refused'
}

/** The cables as the phones' switches have them. */
function Cables({ phones }: { phones: [string, string] }) {
  const look = () => phones.map((who) => remembered(who).online ?? true)
  const [plugged, set] = useState(look)
  useEffect(() => {
    // A frame that writes to the storage is heard here.
    const hear = () => set(look())
    addEventListener('storage', hear)
    return () => removeEventListener('storage', hear)
  }, [])
  return (
    <div className="cables" aria-hidden="true">
      {phones.map((who, index) => <span key={who} className={plugged[index] ? 'cable' : 'cable out'} data-testid={`cable-${who}`} data-out={!plugged[index] || undefined}><i>{nameOf(who)}</i></span>)}
    </div>
  )
}

function useLog(): Log {
  const [log, set] = useState(EMPTY)
  useEffect(() => {
    let [timer, known]: [ReturnType<typeof setTimeout> | undefined, Log] = [undefined, EMPTY]
    let over = false
    const look = async () => {
      try {
        const answer = await fetch(`/referee?limit=1000&sinceVersion=${known.version}`)
        const { entries } = (await answer.json()) as { entries: Entry[] }
        const next = read(known, entries)
        if (next !== known && !over) set((known = next))
      } catch {
        // The server is not there yet, or not any more; it is asked again.
      }
      if (!over) timer = setTimeout(() => void look(), READ_EVERY_MS)
    }
    void look()
    return () => {
      over = true
      clearTimeout(timer)
    }
  }, [])
  return log
}
