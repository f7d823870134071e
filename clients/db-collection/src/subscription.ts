// Which sync rules' buckets this tab wants to hear of.
import { later } from './platform'

/** How many listen to each rule; one that nobody listens to any more is kept for a while. */
export class Subscriptions {
  #counts = new Map<string, number>()
  #stops: (() => void)[] = []

  /** `changed`: other buckets are wanted than before. */
  constructor(
    private readonly bucketsOf: ((rule: string) => readonly string[]) | undefined,
    private readonly keptMs: number,
    private readonly changed: () => void,
  ) {}

  /** Hears of a sync rule's buckets until the returned function is called; without a rule, of all. */
  add(rule?: string): () => void {
    if (rule === undefined || !this.bucketsOf) return () => undefined
    this.#counts.set(rule, (this.#counts.get(rule) ?? 0) + 1)
    this.changed()
    let left = false
    return () => {
      if (left) return
      left = true
      const timer = later(this.keptMs, () => {
        const count = (this.#counts.get(rule) ?? 1) - 1
        if (count > 0) this.#counts.set(rule, count)
        else this.#counts.delete(rule)
        this.changed()
      })
      this.#stops.push(() => timer?.stop())
    }
  }

  /** The buckets to name to the stream; none means all. */
  buckets(): string[] {
    const { bucketsOf } = this
    return bucketsOf ? [...new Set([...this.#counts.keys()].flatMap(bucketsOf))] : []
  }

  close(): void {
    for (const stop of this.#stops) stop()
  }
}
