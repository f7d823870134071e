// A network that misbehaves as its seed says: drops, repeats, delays, cuts.

/** A random number generator with a seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Wraps `fetch`. While `healed` is false, about `rate` of the requests go wrong. */
export function faulty(random: () => number, rate: number) {
  const late: Promise<unknown>[] = []
  const counts: Record<string, number> = {}
  const network = {
    healed: false,
    counts,
    /** Whatever is still under way has arrived. */
    settled: () => Promise.all(late.splice(0)),
    fetch: (async (url: string, init: RequestInit) => {
      const send = () => fetch(url, { ...init, signal: AbortSignal.timeout(30_000) })
      if (network.healed || random() >= rate) return send()
      const kinds = ['lostRequest', 'lostAnswer', 'repeated', 'overtaken', 'cut', 'mangled', 'delayed'] as const
      const kind = kinds[Math.floor(random() * kinds.length)]!
      counts[kind] = (counts[kind] ?? 0) + 1
      switch (kind) {
        case 'lostRequest':
          throw new TypeError('lost on its way there')
        case 'lostAnswer':
          await (await send()).text()
          throw new TypeError('lost on its way back')
        case 'repeated': {
          const [first] = await Promise.all([send(), send().then((answer) => answer.text())])
          return first
        }
        case 'overtaken': {
          // Arrives some time after it was given up, when newer requests have come through.
          late.push(new Promise((resolve) => setTimeout(resolve, random() * 40)).then(send).then((answer) => answer.text(), () => undefined))
          throw new TypeError('gave up waiting')
        }
        case 'cut': {
          const answer = await send()
          const text = await answer.text()
          return new Response(text.slice(0, Math.floor(random() * text.length)), { status: answer.status, headers: answer.headers })
        }
        case 'mangled':
          await (await send()).text()
          return new Response('<html>Please log in to the hotel’s network</html>', { status: 200 })
        case 'delayed':
          await new Promise((resolve) => setTimeout(resolve, random() * 20))
          return send()
      }
    }) as typeof fetch,
  }
  return network
}
