// What became of the writes that left the outbox, so that being gone is never taken for being applied.
import { jsonOf } from '../protocol/wire'
import type { Op } from './op'

/** How many are remembered. */
const MAX_FATES = 1000
const PREFIX = 'fate:'

/** What a device knows of a write: `unknown` is neither applied nor refused. */
export type Outcome = { state: 'pending' | 'confirmed' | 'unknown' } | { state: 'rejected'; op: Op }

interface Fate {
  seq: number
  /** The op without its content, when it was parked and given up. */
  refused?: Op
}

/** Remembers the last ones, in the store's `meta`. */
export class Fates {
  readonly #known = new Map<string, Fate>()

  constructor(meta: Record<string, string>) {
    const read = Object.entries(meta).flatMap(([name, value]): [string, Fate][] => {
      const fate = name.startsWith(PREFIX) && (jsonOf(value) as Fate | undefined)
      return fate ? [[name.slice(PREFIX.length), fate]] : []
    })
    for (const [id, fate] of read.sort(([, a], [, b]) => a.seq - b.seq)) this.#known.set(id, fate)
  }

  /** What has to be written when these leave, and how to remember it once it is written. */
  leaving(confirmed: readonly Op[], refused: readonly Op[] = []): { meta: Record<string, string | null>; remember(): void } {
    const added: [string, Fate][] = [
      ...confirmed.map(({ id, seq }): [string, Fate] => [id, { seq }]),
      ...refused.map((op): [string, Fate] => [op.id, { seq: op.seq, refused: { ...op, args: null, effects: [] } }]),
    ]
    const forgotten = added.length === 0 ? [] : [...this.#known.keys()].slice(0, Math.max(0, this.#known.size + added.length - MAX_FATES))
    const meta: Record<string, string | null> = {}
    for (const id of forgotten) meta[PREFIX + id] = null
    for (const [id, fate] of added) meta[PREFIX + id] = JSON.stringify(fate)
    const remember = () => {
      for (const id of forgotten) this.#known.delete(id)
      for (const [id, fate] of added) this.#known.set(id, fate)
    }
    return { meta, remember }
  }

  /** What became of a write that is not in the outbox. */
  of(id: string): Outcome {
    const fate = this.#known.get(id)
    if (!fate) return { state: 'unknown' }
    return fate.refused ? { state: 'rejected', op: fate.refused } : { state: 'confirmed' }
  }
}
