// Moments as the clinic's clock shows them, wherever the browser is.

/** `9:02`, or `9:02:31` with seconds. */
export function clinicTime(moment: string, aheadMinutes: number, seconds = false): string {
  const at = new Date(Date.parse(moment) + aheadMinutes * 60_000)
  const two = (number: number) => String(number).padStart(2, '0')
  return `${at.getUTCHours()}:${two(at.getUTCMinutes())}${seconds ? `:${two(at.getUTCSeconds())}` : ''}`
}

/** How long it was between two moments: `0.4 s`, `12 s`, `3 min`. */
export function between(from: string, to: string): string {
  const seconds = Math.max(0, Date.parse(to) - Date.parse(from)) / 1000
  return seconds < 10 ? `${Math.max(0.1, seconds).toFixed(1)} s` : seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`
}
