// Hybrid logical clock: stamps that never go back, whatever the device's clock does.
import { bounded, countOf } from './number'

const MAX_COUNTER = 0xffff
/** The last ms of the year 9999: a later one is spelled otherwise, and no longer in order as text. */
export const MAX_MS = 253_402_300_799_999

/** The stamp after `last` at `nowMs`, for this node (32 hex digits). */
export function tick(last: string | undefined, nowMs: number, node: string): string {
  const [lastMs, lastCounter] = last ? parse(last) : [0, 0]
  const now = Math.floor(bounded(nowMs, 0, 0, MAX_MS))
  if (now > lastMs) return spell(now, 0, node)
  // The clock stood still or was set back: the counter goes on, and past its end it borrows a millisecond.
  return lastCounter < MAX_COUNTER ? spell(lastMs, lastCounter + 1, node) : spell(lastMs + 1, 0, node)
}

/** The time of a stamp, RFC 3339. */
export function timeOf(stamp: string): string {
  return stamp.slice(0, 24)
}

function parse(stamp: string): [number, number] {
  // What is no stamp was never made here: the clock begins anew.
  return [countOf(Date.parse(timeOf(stamp))), countOf(Number.parseInt(stamp.slice(25, 29), 16))]
}

function spell(ms: number, counter: number, node: string): string {
  return `${new Date(Math.min(ms, MAX_MS)).toISOString()}-${counter.toString(16).padStart(4, '0')}-${node}`
}
