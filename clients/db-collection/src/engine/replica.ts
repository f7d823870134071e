// The device's copy of the server's rows: pages come in, and rows go to the screen, each step one transaction. No network in here.
import type { Schema } from '../protocol/schema'
import type { Page, Row } from '../protocol/wire'
import type { Batch, Opened, StageImages, Store } from '../store/store'
import { Emitter, type Changes } from './change'
import { LocalCopy, type Environment } from './copy'
import type { Demanded, Device } from './device'
import type { BlobGate } from './held'
import { Intake } from './intake'
import { Outbox } from './outbox'
import { turned, type Asked } from './page'
import type { Wanted } from './screen'
import { SyncError } from './transport'

/** The buckets on demand that a pull may name. */
const MAX_BUCKETS = 1000

/** Sees each page as it is about to be stored, in the replica's own step, and hears when a snapshot is complete. */
export interface PageWatcher {
  before(batch: Batch, store: Store): Promise<void>
  complete(): void
}

/** Rows and outbox of one user on one device. */
export class Replica {
  /** The tables became known. */
  readonly learnt = new Emitter<Schema>()
  /** The writes that wait. */
  readonly outbox: Outbox
  /** The store was empty: a new device, or one whose storage was taken away. */
  readonly isNew: boolean
  /** Why the store is gone when its page is, where it is. */
  readonly volatile: string | undefined
  /** Told of what pages change, where somebody has to know. */
  watcher: PageWatcher | undefined
  #intake: Intake | undefined
  /** A reset is under way, of rows that are shown. */
  #replaces = false
  #closed = false

  private constructor(
    private readonly copy: LocalCopy,
    opened: Opened,
  ) {
    this.outbox = new Outbox(copy)
    this.volatile = opened.volatile
    this.isNew = opened.meta['clientID'] === undefined
  }

  /** Opens a store. Rows of another layout or schema are kept until the first page that replaces them. */
  static async open(store: Store, environment: Environment, schema?: Schema): Promise<Replica> {
    const { copy, opened } = await LocalCopy.open(store, environment, schema)
    const replica = new Replica(copy, opened)
    if (schema) await replica.describe(schema)
    return replica
  }

  /** Rows as the screen shows them; emitted when a snapshot is complete, and at every local write. */
  get changes(): Emitter<Changes> {
    return this.copy.screen.changes
  }

  get device(): Readonly<Device> {
    return this.copy.device
  }

  /** Says what is known of the device's blobs. */
  setGate(gate: BlobGate): void {
    this.copy.gate = gate
  }

  /** The tables, when the app or the server has said. */
  get described(): Schema | undefined {
    return this.copy.schema
  }

  /** Learns the tables. When they differ from those that the rows came under, everything is asked for again. */
  async describe(schema: Schema): Promise<void> {
    await this.copy.queue.run(async () => {
      this.copy.schema = schema
      const { device } = this.copy
      if (device.schemaHash === schema.hash) return
      const stale = device.schemaHash !== undefined
      // Kept, so that a device that learnt them from the server knows them offline.
      const meta = { schema: JSON.stringify(schema) }
      await this.copy.commit({ meta }, { ...device, schemaHash: schema.hash, ...(stale && { cursor: '' }) })
    })
    this.learnt.emit(schema)
  }

  /** Ties the store to its user, once; false when it is another's. */
  async bind(user: string): Promise<boolean> {
    return this.copy.queue.run(async () => {
      if (this.device.user === undefined) await this.copy.commit({}, { ...this.device, user })
      return this.device.user === user
    })
  }

  /** The buckets on demand to ask for, less those whose time is over; `undefined` where the app has no such rule, and asks for all. */
  async demanded(nowMs: number): Promise<string[] | undefined> {
    if (!Object.keys(this.copy.schema?.onDemand ?? {}).length) return undefined
    await this.#demand((demand) => demand.filter(([, { untilMs }]) => untilMs > nowMs))
    return Object.keys(this.device.demand)
  }

  /** Asks for a bucket until then; false where so many are asked for already. */
  async keep(bucket: string, untilMs: number): Promise<boolean> {
    return this.#demand((demand) => [...demand, [bucket, { untilMs, complete: this.device.demand[bucket]?.complete ?? false }]])
  }

  async #demand(change: (demand: [string, Demanded][]) => [string, Demanded][]): Promise<boolean> {
    return this.copy.queue.run(async () => {
      const demand = Object.fromEntries(change(Object.entries(this.device.demand)))
      if (Object.keys(demand).length > MAX_BUCKETS) return false
      if (JSON.stringify(demand) === JSON.stringify(this.device.demand)) return true
      await this.copy.commit({}, { ...this.device, demand })
      this.copy.changed.emit()
      return true
    })
  }

  /** How images are staged, where the store can take them. */
  get images(): StageImages | undefined {
    return this.copy.store.images?.()
  }

  /** Readies for a pull that comes as a stream, or by images. Nothing of it counts before `applyPage` has its end; the next one takes its place. */
  receive(asked: Asked): Intake {
    const { queue, store, schema, screen } = this.copy
    const intake: Intake = new Intake(
      store,
      (run) =>
        queue.run(async () => {
          if (this.#intake !== intake || this.#isStale(asked)) throw new SyncError('busy', 'stale', 'another pull has begun meanwhile')
          return run()
        }),
      schema,
      screen.whole,
      asked.cursor === '',
    )
    this.#intake = intake
    return intake
  }

  /** Stores a page, or the end of a stream: rows, cursor and acknowledgement together. Stale: it answers an older question, and nothing was done. */
  async applyPage(page: Page, asked: Asked, intake?: Intake): Promise<'stale' | 'more' | 'complete'> {
    const { queue, screen } = this.copy
    return queue.run(async () => {
      if (this.#isStale(asked) || (intake && intake !== this.#intake)) return 'stale'
      this.#intake = undefined
      const { batch, device, ops } = await turned(this.copy, page, asked)
      // Rows that are shown are not taken away for a part of the new ones.
      if (batch.reset) this.#replaces ||= this.device.complete
      if (intake?.begun) batch.staged = 'take'
      await this.watcher?.before(batch, this.copy.store)
      const effects = await this.copy.settle(batch, device, ops, page.revised)
      // Which rows images brought nobody told: all are looked at anew.
      screen.note(intake?.imaged ? { reset: true } : batch, effects, intake)
      if (!device.complete && (this.#replaces || !page.complete)) return 'more'
      await screen.showAll()
      if (!device.complete) return 'more'
      this.#replaces = false
      this.watcher?.complete()
      return 'complete'
    })
  }

  /** A row as the screen shows it. */
  async get(table: string, key: string): Promise<Row | undefined> {
    return this.copy.queue.run(() => this.copy.screen.get(table, this.copy.key(table, key)))
  }

  /** Hands over all rows of a table, as the screen shows them, before any later change is told of. */
  async rows(table: string, deliver: (rows: Map<string, Row>) => void): Promise<void> {
    await this.copy.queue.run(() => this.copy.screen.rows(table, deliver))
  }

  /** Hands over the rows that may belong to one of the subsets, and those under the keys, as `rows` does; a key without a row has none. */
  async find(table: string, wanted: Wanted, deliver: (rows: Map<string, Row>) => void): Promise<void> {
    await this.copy.queue.run(() => this.copy.screen.find(table, wanted, deliver))
  }

  /** Reads the store, with no step in between. */
  async read<Value>(run: (store: Store) => Promise<Value>): Promise<Value> {
    return this.copy.queue.run(() => run(this.copy.store))
  }

  async close(): Promise<void> {
    await this.copy.queue.run(async () => {
      this.#closed = true
      await this.copy.store.close()
    })
  }

  #isStale({ cursor, clientID }: Asked): boolean {
    // A store that is asked again opens again.
    if (this.#closed) throw new SyncError('refused', 'closed', 'this client is closed')
    return cursor !== this.device.cursor || clientID !== this.device.clientID
  }
}
