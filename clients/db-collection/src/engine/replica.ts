// The device's copy: rows, cursor, acknowledgement and outbox, each step one transaction. No network in here.
import { tick } from '../protocol/hlc'
import { keyFrom } from '../protocol/key'
import type { Schema } from '../protocol/schema'
import type { Json, MutationResult, Page, Row } from '../protocol/wire'
import type { Batch, Opened, Store } from '../store/store'
import { answered } from './answer'
import { Emitter, type Changes } from './change'
import { FORMAT, keptSchema, readDevice, writeDevice, type Device } from './device'
import { aside, doubted, isOutOfOrder, type Failure } from './doubt'
import { parked } from './fallen'
import { Fates, type Outcome } from './fate'
import { Intake } from './intake'
import { isPending, isShown, type Effect, type Op, type Refusal } from './op'
import { turned } from './page'
import { Queue } from './queue'
import { rotated } from './rotate'
import { Screen, type Wanted } from './screen'
import { SyncError } from './transport'

/** What the engine takes from outside, so that tests can turn it. */
export interface Environment {
  nowMs(): number
  newId(): string
}

/** A mutation as its caller wants it. */
export interface Draft {
  /** Made by the caller when the same write may come twice, as from a tab that asks a new leader. */
  id?: string
  name: string
  args: Json
  effects: Effect[]
  dependsOn?: string[]
}

export type { Wanted } from './screen'

/** What a page was asked with: an answer to an older question is not applied. */
export interface Asked {
  cursor: string
  clientID: string
}

/** Rows and outbox of one user on one device. */
export class Replica {
  /** Rows as the screen shows them; emitted when a snapshot is complete, and at every local write. */
  readonly changes: Emitter<Changes>
  /** The outbox changed. */
  readonly outbox = new Emitter<void>()
  /** The tables became known. */
  readonly learnt = new Emitter<Schema>()
  /** The store was empty: a new device, or one whose storage was taken away. */
  readonly isNew: boolean
  /** Why the store is gone when its page is, where it is. */
  readonly volatile: string | undefined
  #device: Device
  #ops: Op[]
  readonly #screen: Screen
  #intake: Intake | undefined
  readonly #fates: Fates
  readonly #queue = new Queue()

  private constructor(
    private readonly store: Store,
    private readonly environment: Environment,
    private schema: Schema | undefined,
    opened: Opened,
  ) {
    this.volatile = opened.volatile
    this.isNew = opened.meta['clientID'] === undefined
    this.#device = readDevice(opened.meta, environment.newId)
    this.#ops = opened.ops
    this.#screen = new Screen(store, opened.ops)
    this.changes = this.#screen.changes
    this.#fates = new Fates(opened.meta)
  }

  /** Opens a store. Rows of another layout or schema are kept until the first page that replaces them. */
  static async open(store: Store, environment: Environment, schema?: Schema): Promise<Replica> {
    const opened = await store.open()
    const replica = new Replica(store, environment, schema ?? keptSchema(opened.meta['schema']), opened)
    const other = opened.meta['format'] !== undefined && opened.meta['format'] !== FORMAT
    if (other) replica.#device = { ...replica.#device, cursor: '' }
    // Written at once, so that a crash before the first page does not make another device of this one.
    await replica.#commit({}, replica.#device)
    if (schema) await replica.describe(schema)
    return replica
  }

  get device(): Readonly<Device> {
    return this.#device
  }

  get ops(): readonly Readonly<Op>[] {
    return this.#ops
  }

  get pending(): Op[] {
    return this.#ops.filter(isPending)
  }

  /** What became of a write, as far as this device knows. */
  outcome(id: string): Outcome {
    const op = this.#ops.find((one) => one.id === id)
    if (!op) return this.#fates.of(id)
    return op.state === 'rejected' ? { state: 'rejected', op } : { state: 'pending' }
  }

  get rejected(): Op[] {
    return this.#ops.filter(({ state }) => state === 'rejected')
  }

  /** The tables, when the app or the server has said. */
  get described(): Schema | undefined {
    return this.schema
  }

  /** Learns the tables. When they differ from those that the rows came under, everything is asked for again. */
  async describe(schema: Schema): Promise<void> {
    await this.#queue.run(async () => {
      this.schema = schema
      if (this.#device.schemaHash === schema.hash) return
      const stale = this.#device.schemaHash !== undefined
      // Kept, so that a device that learnt them from the server knows them offline.
      const meta = { schema: JSON.stringify(schema) }
      await this.#commit({ meta }, { ...this.#device, schemaHash: schema.hash, ...(stale && { cursor: '' }) })
    })
    this.learnt.emit(schema)
  }

  /** Ties the store to its user, once; false when it is another's. */
  async bind(user: string): Promise<boolean> {
    return this.#queue.run(async () => {
      if (this.#device.user === undefined) await this.#commit({}, { ...this.#device, user })
      return this.#device.user === user
    })
  }

  /** Writes rows' expected state and the op in one transaction; when this resolves, a crash loses nothing. */
  async mutate(draft: Draft): Promise<Op> {
    return this.#queue.run(async () => {
      const known = draft.id === undefined ? undefined : this.#ops.find(({ id }) => id === draft.id)
      if (known) return known
      const device = this.#device
      const hlc = tick(device.hlc, this.environment.nowMs(), device.node)
      const op: Op = {
        seq: device.nextSeq,
        id: draft.id ?? this.environment.newId(),
        name: draft.name,
        args: draft.args,
        hlc,
        dependsOn: this.#dependencies(draft),
        effects: draft.effects.map((effect) => ({ ...effect, key: this.#key(effect.table, effect.key) })),
        clientID: device.clientID,
        number: device.nextNumber,
        state: 'waiting',
        covered: false,
      }
      const next = { ...device, hlc, nextSeq: op.seq + 1, nextNumber: op.number + 1 }
      await this.#commit({ putOps: [op] }, next, [...this.#ops, op], op)
      await this.#screen.show(op.effects)
      return op
    })
  }

  /** Readies for a pull that comes as a stream. Nothing of it counts before `applyPage` has its last line; the next one takes its place. */
  receive(asked: Asked): Intake {
    const intake: Intake = new Intake(
      (stage, first) =>
        this.#queue.run(async () => {
          if (this.#intake !== intake || this.#isStale(asked)) throw new SyncError('busy', 'stale', 'another pull has begun meanwhile')
          await this.store.commit({ stage, ...(first && { staged: 'forget' }) })
        }),
      this.schema,
      this.#screen.whole,
      asked.cursor === '',
    )
    this.#intake = intake
    return intake
  }

  /** Stores a page, or the end of a stream: rows, cursor and acknowledgement together. Stale: it answers an older question, and nothing was done. */
  async applyPage(page: Page, asked: Asked, intake?: Intake): Promise<'stale' | 'more' | 'complete'> {
    return this.#queue.run(async () => {
      if (this.#isStale(asked) || (intake && intake !== this.#intake)) return 'stale'
      this.#intake = undefined
      const copy = { store: this.store, schema: this.schema, device: this.#device, ops: this.#ops, key: (table: string, id: string) => this.#key(table, id), newId: this.environment.newId }
      const { batch, device, ops } = await turned(copy, page, asked)
      if (intake?.begun) batch.staged = 'take'
      this.#screen.note(batch, await this.#settle(batch, device, ops), intake)
      if (!device.complete) return 'more'
      await this.#screen.showAll()
      return 'complete'
    })
  }

  /** Takes the answers of a push. Returns whether the server's sequence and ours have parted. */
  async applyResults(results: readonly MutationResult[]): Promise<{ parted: boolean }> {
    return this.#queue.run(async () => {
      const { ops, parted, gaps } = answered(this.#ops, results)
      // The numbers of those that were cancelled here were never used: those behind them move up, in a sequence of their own.
      const next = gaps ? rotated(this.#device, ops, this.environment.newId()) : { device: this.#device, ops }
      await this.#screen.show(await this.#settle({}, next.device, next.ops))
      return { parted }
    })
  }

  /** Starts a new sequence for all that waits; see `rotated`. */
  async rotate(): Promise<void> {
    await this.#queue.run(async () => {
      const { device, ops } = rotated(this.#device, this.#ops, this.environment.newId())
      await this.#screen.show(await this.#settle({}, device, ops))
    })
  }

  /** Parks one op without the server's word, because it can never be sent; those that depend on it are cancelled. */
  async park(id: string, code: string, error: string, status: Refusal['status'] = 'rejected'): Promise<void> {
    await this.#queue.run(() => this.#park(id, { status, code, error }))
  }

  /** Notes that a server's failure was the answer to this op alone. True when it is parked now, since others come through. */
  async doubt(id: string, failure: Failure): Promise<boolean> {
    return this.#queue.run(async () => {
      const { ops, parks } = doubted(this.#ops, id, failure)
      if (parks) await this.#park(id, { status: 'undecided', code: failure.code, error: failure.message })
      else await this.#settle({}, this.#device, ops)
      return parks
    })
  }

  /** Whether something waits that can go before what is in doubt. */
  get canGoAround(): boolean {
    return isOutOfOrder(aside(this.#ops))
  }

  /** Lets others go before what is in doubt, in a sequence of their own. True when the order is another now. */
  async makeWay(): Promise<boolean> {
    return this.#queue.run(async () => {
      const ops = aside(this.#ops)
      if (!isOutOfOrder(ops)) return false
      const again = rotated(this.#device, ops, this.environment.newId())
      await this.#screen.show(await this.#settle({}, again.device, again.ops))
      return true
    })
  }

  /** Forgets a parked op for good. Returns false when there is none of this id. */
  async discard(id: string): Promise<boolean> {
    return this.#queue.run(async () => {
      const op = this.#ops.find((one) => one.id === id && one.state === 'rejected')
      if (!op) return false
      const fates = this.#fates.leaving([], [op])
      await this.#commit({ dropOps: [op.seq], meta: fates.meta }, this.#device, this.#ops.filter((one) => one !== op), undefined, fates.remember)
      return true
    })
  }

  /** Sends a parked op again, at the end of the queue: as a new mutation, or as the same one when nobody knows what became of it. */
  async retry(id: string): Promise<Op | undefined> {
    const parked = this.#ops.find((op) => op.id === id && op.state === 'rejected')
    if (!parked) return undefined
    if (parked.refusal?.status === 'undecided') return this.#requeue(id)
    const { name, args, effects } = parked
    const again = await this.mutate({ name, args, effects, dependsOn: [] })
    await this.discard(id)
    return again
  }

  /** A row as the screen shows it. */
  async get(table: string, key: string): Promise<Row | undefined> {
    return this.#queue.run(() => this.#screen.get(table, this.#key(table, key)))
  }

  /** Hands over all rows of a table, as the screen shows them, before any later change is told of. */
  async rows(table: string, deliver: (rows: Map<string, Row>) => void): Promise<void> {
    await this.#queue.run(() => this.#screen.rows(table, deliver))
  }

  /** Hands over the rows that may belong to one of the subsets, and those under the keys, as `rows` does; a key without a row has none. */
  async find(table: string, wanted: Wanted, deliver: (rows: Map<string, Row>) => void): Promise<void> {
    await this.#queue.run(() => this.#screen.find(table, wanted, deliver))
  }

  async close(): Promise<void> {
    await this.#queue.run(() => this.store.close())
  }

  #key(table: string, id: string): string {
    return keyFrom(this.schema?.tables[table], id)
  }

  async #park(id: string, refusal: Refusal): Promise<void> {
    const ops = parked(this.#ops, id, refusal)
    if (ops === this.#ops) return
    // Their numbers were never used: those behind them move up, in a sequence of their own.
    const again = rotated(this.#device, ops, this.environment.newId())
    await this.#screen.show(await this.#settle({}, again.device, again.ops))
  }

  async #requeue(id: string): Promise<Op | undefined> {
    return this.#queue.run(async () => {
      const { clientID, nextNumber } = this.#device
      const again = (op: Op): Op => {
        const { refusal: _, ...rest } = op
        return { ...rest, state: 'waiting', covered: false, dependsOn: [], clientID, number: nextNumber }
      }
      const ops = this.#ops.map((op) => (op.id === id && op.state === 'rejected' ? again(op) : op))
      await this.#screen.show(await this.#settle({}, { ...this.#device, nextNumber: nextNumber + 1 }, ops))
      return this.#ops.find((op) => op.id === id)
    })
  }

  /** The earlier ops that made the rows this one writes to: when one is refused, this one has nothing to stand on. */
  #dependencies({ effects, dependsOn }: Draft): string[] {
    const on = new Set(dependsOn)
    for (const { table, key } of effects) {
      for (const op of this.#screen.over(table, key)) {
        if (isPending(op) && op.effects.some((it) => it.kind === 'insert' && it.table === table && it.key === key)) on.add(op.id)
      }
    }
    return [...on]
  }

  /** Lets go of ops that are answered and covered, stores the rest that changed, and says whose look may differ. */
  async #settle(batch: Batch, device: Device, ops: readonly Op[]): Promise<Effect[]> {
    const done = ops.filter((op) => op.state === 'applied' && op.covered)
    const kept = ops.filter((op) => !(op.state === 'applied' && op.covered))
    const before = new Map(this.#ops.map((op) => [op.seq, op]))
    batch.putOps = kept.filter((op) => before.get(op.seq) !== op)
    batch.dropOps = done.map(({ seq }) => seq)
    const turned = ops.filter((op) => isShown(op) !== isShown(before.get(op.seq) ?? op))
    const fates = this.#fates.leaving(done)
    await this.#commit({ ...batch, meta: { ...batch.meta, ...fates.meta } }, device, kept, undefined, fates.remember)
    return turned.flatMap(({ effects }) => effects)
  }

  async #commit(batch: Batch, device: Device, ops: Op[] = this.#ops, added?: Op, committed?: () => void): Promise<void> {
    await this.store.commit({ ...batch, meta: { ...batch.meta, ...writeDevice(device) } })
    // Only now: a commit that failed must leave memory as the store is.
    this.#device = device
    committed?.()
    if (ops !== this.#ops) {
      this.#ops = ops
      this.#screen.lay(ops, added)
      this.outbox.emit()
    }
  }

  #isStale({ cursor, clientID }: Asked): boolean {
    return cursor !== this.#device.cursor || clientID !== this.#device.clientID
  }
}
