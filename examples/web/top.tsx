// Whose phone it is, how syncing goes, who else is there, and the two switches.
import type { NizhalStatus, PresenceState } from '@nizhal/db-collection'
import { useEffect, useState } from 'react'
import { hue, nameOf, type Phone } from './phone'

/** `place` is what those who are here look at. */
export function Top({ phone, status, place }: { phone: Phone; status: NizhalStatus; place: string }) {
  const [switches, set] = useState({ ...phone.switches })
  const flip = (change: Partial<typeof switches>) => {
    phone.flip(change)
    set({ ...phone.switches })
  }
  const here = usePresence(phone)
  return (
    <header className={switches.online ? 'top' : 'top offline'}>
      <div className="line">
        <b>{nameOf(phone.who)}’s phone</b>
        <label className="switch">
          <input type="checkbox" role="switch" checked={switches.online} onChange={(event) => flip({ online: event.target.checked })} data-testid="online" />
          <span />
          {switches.online ? 'Online' : 'Offline'}
        </label>
      </div>
      <div className="line small">
        <span className="status" data-testid="status" data-phase={status.phase}>
          <i className={dot(status)} /> {said(status)}
        </span>
        <span className="segmented" role="group" aria-label="How news arrives">
          <button aria-pressed={switches.live} onClick={() => flip({ live: true })} data-testid="live">Live</button>
          <button aria-pressed={!switches.live} onClick={() => flip({ live: false })} data-testid="poll">Every 4 s</button>
        </span>
      </div>
      <div className="line small presence" data-testid="presence">
        {here.length > 0 ? (
          <>
            {here.map((name) => <span key={name} className="face" style={{ background: hue(name) }} title={name}>{name.slice(0, 1)}</span>)}
            {here.length === 1 ? `Only you look at ${place}` : `${here.join(' and ')} look at ${place}`}
          </>
        ) : (
          <span className="muted">{switches.online ? 'Nobody is seen while polling' : 'Nobody is seen while offline'}</span>
        )}
      </div>
    </header>
  )
}

function usePresence({ client }: Phone): string[] {
  const [here, set] = useState<string[]>([])
  useEffect(() => {
    const read = () => {
      const states: PresenceState[] = client.scope().map((bucket) => client.presenceState(bucket))
      const names = states.flatMap((state) => Object.values(state).flat().map(({ name }) => String(name)))
      set([...new Set(names)].sort())
    }
    read()
    return client.onPresence(read)
  }, [client])
  return here
}

function dot({ online, phase, pending, error }: NizhalStatus): string {
  return !online ? 'dot grey' : error ? 'dot red' : pending > 0 || phase === 'syncing' ? 'dot amber' : 'dot green'
}

function said({ online, phase, pending, error, storageLost, volatile }: NizhalStatus): string {
  if (storageLost) return `The browser emptied this phone; ${storageLost.unsynced} unsent writes went with it`
  if (phase === 'stuck' && error) return `Stuck: ${error.message}`
  const waiting = pending === 1 ? '1 write waits' : `${pending} writes wait`
  if (!online) return pending > 0 ? `${waiting} on this phone` : 'Working on this phone’s copy'
  if (error) return error.kind === 'offline' ? 'The server is out of reach; trying again' : error.message
  if (pending > 0) return `Sending: ${waiting}`
  if (phase === 'syncing') return 'Syncing…'
  return volatile ? 'In sync; nothing is kept when this page goes' : 'In sync'
}
