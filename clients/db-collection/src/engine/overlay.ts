// Optimistic state: what the ops under way do to the rows below them.
import type { Row } from '../protocol/wire'
import { isShown, type Effect, type Op } from './op'

/** Which effects lie over which rows, in the outbox's order. */
export class Overlay {
  #effects = new Map<string, Map<string, { op: Op; effect: Effect }[]>>()

  constructor(ops: Iterable<Op>) {
    for (const op of ops) if (isShown(op)) this.add(op)
  }

  add(op: Op): void {
    for (const effect of op.effects) {
      let table = this.#effects.get(effect.table)
      if (!table) this.#effects.set(effect.table, (table = new Map()))
      const over = table.get(effect.key)
      if (over) over.push({ op, effect })
      else table.set(effect.key, [{ op, effect }])
    }
  }

  /** The row as the screen shows it. */
  view(table: string, key: string, base: Row | undefined): Row | undefined {
    let row = base
    for (const { effect } of this.#effects.get(table)?.get(key) ?? []) row = applied(effect, row)
    return row
  }

  /** The keys of a table that something lies over. */
  keys(table: string): string[] {
    return [...(this.#effects.get(table)?.keys() ?? [])]
  }

  /** The ops that a new write to this row builds upon. */
  over(table: string, key: string): Op[] {
    return [...new Set((this.#effects.get(table)?.get(key) ?? []).map(({ op }) => op))]
  }
}

/** The row after an effect. */
export function applied(effect: Effect, row: Row | undefined): Row | undefined {
  switch (effect.kind) {
    case 'insert':
      return { ...row, ...effect.row }
    case 'update':
      // A row that is gone stays gone: a late patch must not raise half a row from the dead.
      return row && { ...row, ...effect.patch }
    case 'delete':
      return undefined
  }
}
