// Numbers as others say them, brought within what can be meant.

/** The longest that a server may ask to be left alone. */
export const MAX_RETRY_AFTER_MS = 5 * 60_000

/** A whole number of a sequence, at least 0; what is none says nothing, which is 0. */
export function countOf(value: unknown): number {
  return Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : 0
}

/** A number within bounds; `standard` for what is none. */
export function bounded(value: unknown, standard: number, min: number, max: number): number {
  return typeof value === 'number' && !Number.isNaN(value) ? Math.min(max, Math.max(min, value)) : standard
}

/** A `Retry-After` in ms: seconds, or a date by the clock of the server's own `Date`. `undefined` when it is neither. */
export function retryAfterMs(header: string | null, date: string | null, nowMs: number): number | undefined {
  if (header === null || header.trim() === '') return undefined
  const seconds = Number(header)
  const there = date === null ? Number.NaN : Date.parse(date)
  const ms = Number.isNaN(seconds) ? Date.parse(header) - (Number.isNaN(there) ? nowMs : there) : seconds * 1000
  return Number.isNaN(ms) ? undefined : bounded(ms, 0, 0, MAX_RETRY_AFTER_MS)
}
