// What changed behind this phone's back: results that were told once, and are others now.
import type { Revised } from '@nizhal/db-collection'
import type { Clinic } from './clinic'
import { deedOf } from './deed'

export function News({ clinic, revised }: { clinic: Clinic; revised: readonly Revised[] }) {
  if (revised.length === 0) return null
  return (
    <section className="news" data-testid="news" role="alert">
      {revised.map((one) => {
        const deed = one.name && one.args ? deedOf({ name: one.name, args: one.args }) : 'an older write'
        return (
          <div key={one.id} className={one.status === 'applied' ? 'gained' : 'taken'} data-testid="revised">
            <p>
              <b>{one.status === 'applied' ? 'Good after all:' : 'Taken back:'}</b> {deed}
              {one.error && <small>{one.error}</small>}
            </p>
            <button onClick={() => void clinic.client.confirmRevised(one)}>OK</button>
          </div>
        )
      })}
    </section>
  )
}
