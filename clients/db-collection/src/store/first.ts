// The first of an order, out of more rows than memory should hold.
import type { Json } from '../protocol/wire'
import { comparer, firstOf, type Order, type Placed } from './subset'

/** Takes any number, and keeps a few times as many as are wanted. */
export class First<Item> {
  #kept: Placed<Item>[] = []
  #maybe: Item[] = []
  #worst: readonly Json[] | undefined
  readonly #leading: (a: readonly Json[], b: readonly Json[]) => number

  constructor(
    private readonly orderBy: readonly Order[],
    private readonly most: number,
  ) {
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
    this.#kept = firstOf(this.#kept, this.orderBy, this.most)
    if (this.#kept.length >= this.most) this.#worst = this.#kept[this.most - 1]?.values
  }
}
