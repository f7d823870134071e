// One leader among the tabs of a store: a lock decides, and it is free the moment its holder is gone, however that happened.

/** The part of Web Locks that is used. */
export interface Locks {
  request<Result>(name: string, options: { signal?: AbortSignal }, held: () => Promise<Result>): Promise<Result>
}

/** Waits for the lock of `name`, then runs `lead`; its promise gives the lock back. Returns a way to stop waiting or leading. */
export function elect(locks: Locks | undefined, name: string, lead: () => Promise<() => Promise<void>>): { resign(): Promise<void> } {
  let resigned: () => void = () => undefined
  const until = new Promise<void>((resolve) => (resigned = resolve))
  const waiting = new AbortController()
  const held = async () => {
    const stop = await lead()
    await until
    await stop()
  }
  // Without locks there is one tab: React Native, Node, a worker of one's own.
  const led = locks ? locks.request(name, { signal: waiting.signal }, held) : held()
  const ended = led.catch((error: unknown) => {
    if (!waiting.signal.aborted) throw error
  })
  ended.catch(() => undefined)
  return {
    async resign() {
      resigned()
      waiting.abort()
      await ended.catch(() => undefined)
    },
  }
}
