// Writes that the server said it applied and that no pull shows: noticed, sent again once, and told of when that did not help.
import type { Op } from './op'

/** What is to be done about one. */
export interface Unseen {
  write: string
  todo: 'resend' | 'tell'
}

/** Looks at the outbox after each pull that reached a snapshot's end. */
export class Lookout {
  /** The oldest that is not shown, and since when. */
  #first: { id: string; sinceMs: number } | undefined
  /** The one that was sent again. */
  #resent: string | undefined

  constructor(private readonly patienceMs: number) {}

  /** What has to be done now, if anything has. */
  look(ops: readonly Op[], nowMs: number): Unseen | undefined {
    if (this.#resent !== undefined && !ops.some(({ id }) => id === this.#resent)) this.#resent = undefined
    const first = ops.find(({ state, covered }) => state === 'applied' && !covered)
    if (first?.id !== this.#first?.id) this.#first = first && { id: first.id, sinceMs: nowMs }
    else if (this.#first && nowMs - this.#first.sinceMs >= this.patienceMs) return this.#overdue(this.#first.id, nowMs)
    return undefined
  }

  #overdue(write: string, nowMs: number): Unseen {
    if (this.#resent === write) return { write, todo: 'tell' }
    this.#resent = write
    this.#first = { id: write, sinceMs: nowMs }
    return { write, todo: 'resend' }
  }
}
