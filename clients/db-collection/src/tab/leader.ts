// One leader among the tabs of a store: a lock decides, and it is free the moment its holder is gone, however that happened.

import { canceller, within, type Locks } from '../platform'

/** How long a store may take to close. */
const CLOSE_MS = 5000

/** How an election ends for a tab. */
export interface Election {
  resign(): Promise<void>
}

/** Waits for the lock of `name`, then runs `lead`; its promise gives the lock back. Returns a way to stop waiting or leading. */
export function elect(locks: Locks | undefined, name: string, lead: () => Promise<() => Promise<void>>): Election {
  let resigned: () => void = () => undefined
  const until = new Promise<void>((resolve) => (resigned = resolve))
  const waiting = canceller()
  let isResigned = false
  let isHeld = false
  const held = async () => {
    isHeld = true
    // A lock that comes after its tab has left.
    if (isResigned) return
    const stop = await lead()
    await until
    await stop()
  }
  const led = async () => {
    // Without locks there is one tab: React Native, Node, a worker of one's own, a page on plain http.
    if (!locks) return held()
    try {
      await locks.request(name, { ...(waiting.signal && { signal: waiting.signal }) }, held)
    } catch (error) {
      // Locks that cannot be asked for are none: what holds the store together then is the store itself, which opens once.
      if (isHeld || isResigned) throw error
      await held()
    }
  }
  const ended = led().catch(() => undefined)
  return {
    async resign() {
      isResigned = true
      resigned()
      waiting.abort()
      // Locks that never answer are not waited for, and a store that does not open or close is not for ever.
      if (isHeld) await within(CLOSE_MS, ended, () => new Error('it does not close')).catch(() => undefined)
    },
  }
}
