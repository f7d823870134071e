// What became of the writes that left the outbox, so that being gone is never taken for being applied.
import { jsonOf } from '../protocol/wire'
import type { Op } from './op'

/** How many are remembered. */
const MAX_FATES = 1000
const PREFIX = 'fate:'

/** What a device knows of a write: `unknown` is neither applied nor refused. */
export type Outcome = { state: 'pending' | 'confirmed' | 'unknown' } | { state: 'rejected'; op: Op }

/** How a write ended. */
export interface Fate {
  seq: number
  /** The op, when it was refused; without its content where it cannot apply after all. */
  refused?: Op
  /** The op, when it was applied and may be refused after all. */
  op?: Op
}

/** Remembers the last ones, in the store's `meta`. */
export class Fates {
  known: ReadonlyMap<string, Fate>

  constructor(meta: Record<string, string>) {
    const read = Object.entries(meta).flatMap(([name, value]): [string, Fate][] => {
      const fate = name.startsWith(PREFIX) && (jsonOf(value) as Fate | undefined)
      return fate ? [[name.slice(PREFIX.length), fate]] : []
    })
    this.known = new Map(read.sort(([, a], [, b]) => a.seq - b.seq))
  }

  /** What has to be written for it to be so, and what is to be known once it is written: not more than are remembered. */
  noting(next: ReadonlyMap<string, Fate>): { meta: Record<string, string | null>; known: ReadonlyMap<string, Fate> } {
    if (next === this.known) return { meta: {}, known: next }
    const known = new Map([...next].slice(-MAX_FATES))
    const meta: Record<string, string | null> = {}
    for (const id of this.known.keys()) if (!known.has(id)) meta[PREFIX + id] = null
    for (const [id, fate] of known) if (this.known.get(id) !== fate) meta[PREFIX + id] = JSON.stringify(fate)
    return { meta, known }
  }

  /** What became of a write that is not in the outbox. */
  of(id: string): Outcome {
    const fate = this.known.get(id)
    if (!fate) return { state: 'unknown' }
    return fate.refused ? { state: 'rejected', op: fate.refused } : { state: 'confirmed' }
  }
}
