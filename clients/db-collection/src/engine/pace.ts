// How fast a device may ask: waits after failures, and a bound on the exchanges that pings ask for.
import { elapsedMs } from '../platform'
import { MAX_RETRY_AFTER_MS } from '../protocol/number'
import { backoffMs, type Reconnect } from './source'

/** Exchanges that may follow one another at once. */
const BURST = 20
/** One more for each so many ms. */
const REFILL_MS = 100

/** The wait after failure number `failures` in a row. A server may ask for a longer one, within reason, and never for a shorter. */
export function waitAfter(reconnect: Reconnect, failures: number, askedMs: number | undefined, random: () => number): number {
  const own = backoffMs(reconnect, failures, random)
  if (askedMs === undefined || askedMs <= own) return own
  // A crowd that was told the same comes back spread out, and not before.
  return Math.min(MAX_RETRY_AFTER_MS, askedMs * (1 + 0.25 * random()))
}

/** Allows a burst, and after it so many exchanges a second. */
export class Pace {
  #level = 0
  #since = elapsedMs()

  /** Takes one; the ms to wait before it may be made. */
  take(): number {
    const now = elapsedMs()
    this.#level = Math.max(0, this.#level - Math.max(0, now - this.#since) / REFILL_MS) + 1
    this.#since = now
    return Math.max(0, this.#level - BURST) * REFILL_MS
  }
}
