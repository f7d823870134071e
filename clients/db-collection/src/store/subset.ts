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

/** The first of an order, out of any number, in memory for a few times as many as are kept. */
export class First<Item> {
  #kept: { values: readonly Json[]; item: Item }[] = []
  readonly #compare: (a: readonly Json[], b: readonly Json[]) => number
  readonly #leading: (a: readonly Json[], b: readonly Json[]) => number
  #maybe: Item[] = []
  #worst: readonly Json[] | undefined

  constructor(
    orderBy: readonly Order[],
    private readonly most: number,
  ) {
    this.#compare = comparer(orderBy)
    this.#leading = comparer(orderBy.slice(0, 1))
  }

  add(values: readonly Json[], item: Item): void {
    if (this.#worst && this.#leading(values, this.#worst) > 0) return
    this.#kept.push({ values, item })
    if (this.#kept.length >= 2 * this.most + 1000) this.#cut()
  }

  /** Takes one that may belong in or not: it is kept, and takes nobody's place. */
  addMaybe(item: Item): void {
    this.#maybe.push(item)
  }

  items(): Item[] {
    this.#cut()
    return [...this.#kept.map(({ item }) => item), ...this.#maybe]
  }

  #cut(): void {
    this.#kept.sort((a, b) => this.#compare(a.values, b.values))
    const last = this.#kept[this.most - 1]?.values
    if (!last) {
      if (this.most <= 0) this.#kept = []
      return
    }
    let end = this.most
    while (end < this.#kept.length && this.#leading(this.#kept[end]!.values, last) === 0) end += 1
    this.#kept.length = end
    this.#worst = last
  }
}
