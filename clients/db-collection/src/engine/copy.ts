// What memory has of the store: where the device is, its outbox, and what of both the screen shows. It changes with a commit alone.
import { keyFrom } from '../protocol/key'
import type { Schema } from '../protocol/schema'
import { jsonOf, type MutationResult } from '../protocol/wire'
import type { Batch, Opened, Store } from '../store/store'
import { Emitter } from './change'
import { FORMAT, readDevice, writeDevice, type Device } from './device'
import { Fates, type Fate, type Outcome } from './fate'
import { NO_BLOBS, type BlobGate } from './held'
import { isShown, type Effect, type Op } from './op'
import type { Copy } from './page'
import { Queue } from './queue'
import { revise, type Known, type Revised } from './revised'
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
  #revised: readonly Revised[]

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
    this.#revised = (jsonOf(opened.meta['revised']) as Revised[] | undefined) ?? []
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

  /** Results that changed and that the app was not told of yet. */
  get revised(): readonly Revised[] {
    return this.#revised
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

  /** Lets go of ops that are answered and covered, stores the rest that changed, and says whose look may differ. `said`: results that changed. */
  async settle(batch: Batch, device: Device, ops: readonly Op[], said: readonly MutationResult[] = []): Promise<Effect[]> {
    const isDone = (op: Op) => op.state === 'applied' && op.covered
    const done = ops.filter(isDone)
    const gone = done.map((op): [string, Fate] => [op.id, { seq: op.seq, ...(this.#isReplayed(op) && { op }) }])
    const fates = gone.length > 0 ? new Map([...this.#fates.known, ...gone]) : this.#fates.known
    const kept = revise({ ops: ops.filter((op) => !isDone(op)), fates, revised: this.#revised }, said)
    const before = new Map(this.#ops.map((op) => [op.seq, op]))
    const turned = [...done, ...kept.ops].filter((op) => isShown(op) !== isShown(before.get(op.seq) ?? op))
    await this.#keep(batch, device, kept)
    return turned.flatMap(({ effects }) => effects)
  }

  /** Commits with the outbox as it is then, and what is known of what left it. */
  async #keep(batch: Batch, device: Device, { ops, fates, revised }: Known): Promise<void> {
    const before = new Map(this.#ops.map((op) => [op.seq, op]))
    const after = new Set(ops.map(({ seq }) => seq))
    const { meta, known } = this.#fates.noting(fates)
    batch.putOps = ops.filter((op) => before.get(op.seq) !== op)
    batch.dropOps = [...before.keys()].filter((seq) => !after.has(seq))
    if (revised !== this.#revised) meta['revised'] = JSON.stringify(revised)
    await this.commit({ ...batch, meta: { ...batch.meta, ...meta } }, device, [...ops], undefined, () => {
      this.#fates.known = known
      this.#revised = revised
    })
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
    const fate = { seq: op.seq, refused: this.#isReplayed(op) ? op : { ...op, args: null, effects: [] } }
    await this.#keep({}, this.#device, { ops: this.#ops.filter((one) => one !== op), fates: new Map([...this.#fates.known, [op.id, fate]]), revised: this.#revised })
  }

  /** Tells no more of a result that changed, unless it has changed again meanwhile. */
  async confirm({ id, status }: Pick<Revised, 'id' | 'status'>): Promise<boolean> {
    const revised = this.#revised.filter((one) => one.id !== id || one.status !== status)
    const isTold = revised.length < this.#revised.length
    if (isTold) await this.#keep({}, this.#device, { ops: this.#ops, fates: this.#fates.known, revised })
    return isTold
  }

  /** The server may give it another result than it answered with. */
  #isReplayed({ name }: Op): boolean {
    return this.schema?.replayed?.includes(name) ?? false
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
