// What memory has of the store: where the device is, its outbox, and what of both the screen shows. It changes with a commit alone.
import { keyFrom } from '../protocol/key'
import type { Schema } from '../protocol/schema'
import { jsonOf } from '../protocol/wire'
import type { Batch, Opened, Store } from '../store/store'
import { Emitter } from './change'
import { FORMAT, readDevice, writeDevice, type Device } from './device'
import { Fates, type Outcome } from './fate'
import { NO_BLOBS, type BlobGate } from './held'
import { isShown, type Effect, type Op } from './op'
import type { Copy } from './page'
import { Queue } from './queue'
import { rotated } from './rotate'
import { Screen } from './screen'

/** What the engine takes from outside, so that tests can turn it. */
export interface Environment {
  nowMs(): number
  newId(): string
}

/** A store that was opened. Its steps run in `queue`, one after the other. */
export class LocalCopy implements Copy {
  readonly queue = new Queue()
  readonly screen: Screen
  /** The ops are others. */
  readonly changed = new Emitter<void>()
  /** What is known of the device's blobs. */
  gate: BlobGate = NO_BLOBS
  #device: Device
  #ops: Op[]
  readonly #fates: Fates

  private constructor(
    readonly store: Store,
    readonly environment: Environment,
    public schema: Schema | undefined,
    opened: Opened,
  ) {
    this.#device = readDevice(opened.meta, environment.newId)
    this.#ops = opened.ops
    this.screen = new Screen(store, opened.ops)
    this.#fates = new Fates(opened.meta)
  }

  /** Opens a store. Rows of another layout or schema are kept until the first page that replaces them. */
  static async open(store: Store, environment: Environment, schema?: Schema): Promise<{ copy: LocalCopy; opened: Opened }> {
    const opened = await store.open()
    const copy = new LocalCopy(store, environment, schema ?? (jsonOf(opened.meta['schema']) as Schema | undefined), opened)
    const other = opened.meta['format'] !== undefined && opened.meta['format'] !== FORMAT
    // Written at once, so that a crash before the first page does not make another device of this one.
    await copy.commit({}, other ? { ...copy.#device, cursor: '' } : copy.#device)
    return { copy, opened }
  }

  get device(): Readonly<Device> {
    return this.#device
  }

  get ops(): readonly Op[] {
    return this.#ops
  }

  newId(): string {
    return this.environment.newId()
  }

  key(table: string, id: string): string {
    return keyFrom(this.schema?.tables[table], id)
  }

  /** What became of a write that left the outbox. */
  fate(id: string): Outcome {
    return this.#fates.of(id)
  }

  /** Lets go of ops that are answered and covered, stores the rest that changed, and says whose look may differ. */
  async settle(batch: Batch, device: Device, ops: readonly Op[]): Promise<Effect[]> {
    const done = ops.filter((op) => op.state === 'applied' && op.covered)
    const kept = ops.filter((op) => !(op.state === 'applied' && op.covered))
    const before = new Map(this.#ops.map((op) => [op.seq, op]))
    batch.putOps = kept.filter((op) => before.get(op.seq) !== op)
    batch.dropOps = done.map(({ seq }) => seq)
    const turned = ops.filter((op) => isShown(op) !== isShown(before.get(op.seq) ?? op))
    const fates = this.#fates.leaving(done)
    await this.commit({ ...batch, meta: { ...batch.meta, ...fates.meta } }, device, kept, undefined, fates.remember)
    return turned.flatMap(({ effects }) => effects)
  }

  /** The same for ops alone, and shows them. */
  async settleOps(ops: readonly Op[], device: Device = this.#device): Promise<void> {
    await this.screen.show(await this.settle({}, device, ops))
  }

  /** The same in a new sequence for all that waits; see `rotated`. */
  async rotate(ops: readonly Op[] = this.#ops): Promise<void> {
    const next = rotated(this.#device, ops, this.newId(), this.gate)
    await this.settleOps(next.ops, next.device)
  }

  /** Stores one op more, and shows it. */
  async add(op: Op, device: Device): Promise<void> {
    await this.commit({ putOps: [op] }, device, [...this.#ops, op], op)
    await this.screen.show(op.effects)
  }

  /** Drops an op that was refused, and remembers that. */
  async drop(op: Op): Promise<void> {
    const fates = this.#fates.leaving([], [op])
    await this.commit({ dropOps: [op.seq], meta: fates.meta }, this.#device, this.#ops.filter((one) => one !== op), undefined, fates.remember)
  }

  async commit(batch: Batch, device: Device, ops: Op[] = this.#ops, added?: Op, committed?: () => void): Promise<void> {
    await this.store.commit({ ...batch, meta: { ...batch.meta, ...writeDevice(device) } })
    // Only now: a commit that failed must leave memory as the store is.
    this.#device = device
    committed?.()
    if (ops !== this.#ops) {
      this.#ops = ops
      this.screen.lay(ops, added)
      this.changed.emit()
    }
  }
}
