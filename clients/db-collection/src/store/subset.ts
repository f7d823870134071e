// A part of a table, as a query asks for it: data that can go to another tab or into SQL.
import { collator } from '../platform'
import type { Json } from '../protocol/wire'

/** A condition. What is not understood is true: whoever asked filters again. */
export interface Expression {
  type: string
  name?: string
  args?: readonly Expression[]
  path?: readonly string[]
  value?: unknown
}

/** One column of an order, with the rules of TanStack DB. */
export interface Order {
  column: string
  descending: boolean
  nulls: 'first' | 'last'
  /** Compares texts as a language does; without it by their code units. */
  locale?: { name?: string; options?: object }
}

/** Which rows. */
export interface Subset {
  where?: Expression
  orderBy?: readonly Order[]
  /** The first so many of the order, with all that tie with the last by the first column. */
  most?: number
}

/** Compares two rows by the values of their order's columns. */
export function comparer(orderBy: readonly Order[]): (a: readonly Json[], b: readonly Json[]) => number {
  const columns = orderBy.map(comparison)
  return (a, b) => {
    for (let at = 0; at < columns.length; at++) {
      const compared = columns[at]!(a[at] ?? null, b[at] ?? null)
      if (compared !== 0) return compared
    }
    return 0
  }
}

function comparison({ descending, nulls, locale }: Order): (a: Json, b: Json) => number {
  const compare = locale && collator(locale.name, locale.options)
  const compared = (a: Json, b: Json): number => {
    if (compare && typeof a === 'string' && typeof b === 'string') return compare(a, b)
    return a! < b! ? -1 : a! > b! ? 1 : 0
  }
  return (a, b) => {
    if (a === null || b === null) return a === b ? 0 : (a === null) === (nulls === 'first') ? -1 : 1
    return descending ? compared(b, a) : compared(a, b)
  }
}

/** A row as an order sees it. */
export interface Placed<Item> {
  values: readonly Json[]
  item: Item
}

/** The first so many of an order, with all that tie with the last by the first column. */
export function firstOf<Item>(all: readonly Placed<Item>[], orderBy: readonly Order[], most: number): Placed<Item>[] {
  const compare = comparer(orderBy)
  const leading = comparer(orderBy.slice(0, 1))
  const sorted = [...all].sort((a, b) => compare(a.values, b.values))
  const last = sorted[most - 1]
  return sorted.filter(({ values }, at) => at < most || (last && leading(values, last.values) === 0))
}
