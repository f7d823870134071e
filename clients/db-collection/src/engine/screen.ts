// What a screen shows: the store's rows with the outbox's effects over them, one complete snapshot after the other.
import type { Row } from '../protocol/wire'
import { matches } from '../store/predicate'
import type { Batch, Store } from '../store/store'
import type { Subset } from '../store/subset'
import { Emitter, type Changes, type RowChange } from './change'
import type { Intake } from './intake'
import type { Effect, Op } from './op'
import { Overlay } from './overlay'
import { Unshown } from './unshown'

/** Which rows somebody wants to see. */
export interface Wanted {
  subsets: readonly Subset[]
  keys: readonly string[]
}

/** Rows as the screen shows them. Its steps must not interleave with commits: the replica puts both into one queue. */
export class Screen {
  /** Emitted when a snapshot is complete, and at every local write. */
  readonly changes = new Emitter<Changes>()
  /** The tables that somebody has been given whole, and is told every change of. */
  readonly whole = new Set<string>()
  #overlay: Overlay
  #unshown = new Unshown(this.whole)
  /** What ops let go of while a snapshot was incomplete. */
  #uncovered: Effect[] = []

  constructor(
    private readonly store: Store,
    ops: readonly Op[],
  ) {
    this.#overlay = new Overlay(ops)
  }

  /** The outbox is another now; `added` says that it is the same with one op more. */
  lay(ops: readonly Op[], added?: Op): void {
    // A long outbox must not be gone through for each new write.
    if (added) this.#overlay.add(added)
    else this.#overlay = new Overlay(ops)
  }

  /** The ops that a new write to this row builds upon. */
  over(table: string, key: string): Op[] {
    return this.#overlay.over(table, key)
  }

  async get(table: string, key: string): Promise<Row | undefined> {
    return this.#overlay.view(table, key, (await this.store.get(table, [key])).get(key))
  }

  async rows(table: string, deliver: (rows: Map<string, Row>) => void): Promise<void> {
    const rows = await this.#rows(table)
    this.whole.add(table)
    deliver(rows)
  }

  async find(table: string, { subsets, keys }: Wanted, deliver: (rows: Map<string, Row>) => void): Promise<void> {
    const over = this.#overlay.keys(table)
    const rows = await this.store.get(table, [...keys, ...over])
    for (const subset of subsets) {
      // What lies over the rows may take as many of the first away.
      const most = subset.most !== undefined && { most: subset.most + over.length }
      for (const [key, row] of await this.store.find(table, { ...subset, ...most })) rows.set(key, row)
    }
    const asked = new Set(keys)
    for (const key of over) {
      const row = this.#overlay.view(table, key, rows.get(key))
      if (row && (asked.has(key) || subsets.some(({ where }) => matches(where, row)))) rows.set(key, row)
      else rows.delete(key)
    }
    deliver(rows)
  }

  /** Keeps for later what a step changed, until its snapshot is complete. */
  note(batch: Batch, uncovered: readonly Effect[], intake?: Intake): void {
    this.#uncovered.push(...uncovered)
    this.#unshown.note(batch)
    if (intake) this.#unshown.take(intake.unshown)
  }

  /** Shows a complete snapshot. */
  async showAll(): Promise<void> {
    const unshown = this.#unshown
    const changes: RowChange[] = []
    if (unshown.reset) {
      for (const table of this.whole) {
        for (const [key, row] of await this.#rows(table)) changes.push({ table, key, row })
      }
    } else {
      for (const [table, rows] of unshown.rows()) {
        for (const [key, base] of rows) changes.push({ table, key, row: this.#overlay.view(table, key, base) })
      }
      changes.push(...(await this.#viewed(this.#uncovered.filter(({ table, key }) => !unshown.has(table, key)))))
    }
    this.#unshown = new Unshown(this.whole)
    this.#uncovered = []
    const many = unshown.many()
    if (unshown.reset || changes.length > 0 || many.length > 0) this.changes.emit({ reset: unshown.reset, changes, many })
  }

  /** Shows what these effects change. */
  async show(effects: readonly Effect[]): Promise<void> {
    const changes = await this.#viewed(effects)
    if (changes.length > 0) this.changes.emit({ reset: false, changes, many: [] })
  }

  async #viewed(effects: readonly Effect[]): Promise<RowChange[]> {
    const keys = new Map<string, Set<string>>()
    for (const { table, key } of effects) keys.set(table, (keys.get(table) ?? new Set()).add(key))
    const changes: RowChange[] = []
    for (const [table, wanted] of keys) {
      const base = await this.store.get(table, [...wanted])
      for (const key of wanted) changes.push({ table, key, row: this.#overlay.view(table, key, base.get(key)) })
    }
    return changes
  }

  async #rows(table: string): Promise<Map<string, Row>> {
    const rows = new Map(await this.store.scan(table))
    for (const key of this.#overlay.keys(table)) {
      const row = this.#overlay.view(table, key, rows.get(key))
      if (row) rows.set(key, row)
      else rows.delete(key)
    }
    return rows
  }
}
