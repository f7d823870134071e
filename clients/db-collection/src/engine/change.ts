// What the engine tells those who show rows.
import { report } from '../platform'
import type { Row } from '../protocol/wire'

/** One row as it is now; no row: it is gone. */
export interface RowChange {
  table: string
  key: string
  row: Row | undefined
}

/** One consistent step. After a `reset`, `changes` is all there is of the tables that somebody holds whole. */
export interface Changes {
  reset: boolean
  changes: RowChange[]
  /** Tables of which more changed than is told; nobody holds them whole, and who holds a part reads it again. */
  many: string[]
}

/** Calls its listeners; one that throws must not keep the others from hearing. */
export class Emitter<Event> {
  #listeners = new Set<(event: Event) => void>()

  on(listener: (event: Event) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Whether anybody listens: what costs to prepare is prepared for somebody. */
  get heard(): boolean {
    return this.#listeners.size > 0
  }

  emit(event: Event): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(event)
      } catch (error) {
        report(error)
      }
    }
  }
}
