// Hybrid logical clock: stamps that never go back, whatever the device's clock does.

const MAX_COUNTER = 0xffff

/** The stamp after `last` at `nowMs`, for this node (32 hex digits). */
export function tick(last: string | undefined, nowMs: number, node: string): string {
  const [lastMs, lastCounter] = last ? parse(last) : [0, 0]
  if (nowMs > lastMs) return spell(nowMs, 0, node)
  // The clock stood still or was set back: the counter goes on, and past its end it borrows a millisecond.
  return lastCounter < MAX_COUNTER ? spell(lastMs, lastCounter + 1, node) : spell(lastMs + 1, 0, node)
}

/** The time of a stamp, RFC 3339. */
export function timeOf(stamp: string): string {
  return stamp.slice(0, 24)
}

function parse(stamp: string): [number, number] {
  return [Date.parse(timeOf(stamp)), Number.parseInt(stamp.slice(25, 29), 16)]
}

function spell(ms: number, counter: number, node: string): string {
  return `${new Date(ms).toISOString()}-${counter.toString(16).padStart(4, '0')}-${node}`
}
