// A look inside the phone, for those who write such apps: where it is, what waits, what was refused, and what the server ran again.
import type { NizhalStatus, NizhalWrite } from '@nizhal/db-collection'
import { useEffect, useState } from 'react'
import type { Clinic } from './clinic'
import { deedOf } from './deed'

interface Props {
  clinic: Clinic
  status: NizhalStatus
  writes: NizhalWrite[]
}

export function Panel({ clinic, status, writes }: Props) {
  const of = (state: NizhalWrite['state']) => writes.filter((write) => write.state === state)
  const [waiting, rejected] = [of('pending'), of('rejected')]
  const last = useLastRevised(status)
  return (
    <details className="panel" data-testid="panel" open>
      <summary>Inside this phone</summary>
      <dl>
        <dt>cursor</dt>
        <dd data-testid="cursor">{clinic.client.cursor().slice(-16) || 'none yet'}</dd>
        <dt>waiting</dt>
        <dd data-testid="panel-waiting">{told(waiting, 'nothing')}</dd>
        <dt>parked</dt>
        <dd data-testid="panel-parked">{told(rejected, 'nothing')}</dd>
        <dt>last rewind</dt>
        <dd data-testid="panel-rewind" className={last && last.status !== 'applied' ? 'bad' : ''}>
          {last ? `${last.name && last.args ? deedOf({ name: last.name, args: last.args }) : last.id} → ${last.status}` : 'none seen'}
        </dd>
      </dl>
    </details>
  )
}

function told(writes: NizhalWrite[], none: string): string {
  const [first] = writes
  if (!first) return none
  return writes.length === 1 ? `1: ${deedOf(first)}` : `${writes.length}: ${deedOf(first)} …`
}

/** The last result that changed, also after the user was told of it. */
function useLastRevised({ revised }: NizhalStatus) {
  const [last, set] = useState(revised.at(-1))
  useEffect(() => {
    const newest = revised.at(-1)
    if (newest) set(newest)
  }, [revised])
  return last
}
