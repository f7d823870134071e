// The device's copy of the server's rows: pages come in, and rows go to the screen, each step one transaction. No network in here.
import { blobsIn, blobsOf } from '../protocol/blob'
import type { Schema } from '../protocol/schema'
import type { Page, Row } from '../protocol/wire'
import type { Batch, Opened, StageImages, Store } from '../store/store'
import { Emitter, type Changes } from './change'
import { LocalCopy, type Environment } from './copy'
import type { Device } from './device'
import type { BlobGate } from './held'
import { Intake } from './intake'
import { Outbox } from './outbox'
import { turned } from './page'
import type { Wanted } from './screen'
import { SyncError } from './transport'

/** What a page was asked with: an answer to an older question is not applied. */
export interface Asked {
  cursor: string
  clientID: string
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
  /** Rows left this device, and with them their blobs' names: these, or `all` that no row names now. Told when a snapshot is complete. */
  readonly unnamed = new Emitter<ReadonlySet<string> | 'all'>()
  #unnamed: Set<string> | 'all' = new Set()
  #intake: Intake | undefined
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
      if (intake?.begun) batch.staged = 'take'
      if (this.unnamed.heard) await this.#noteUnnamed(batch)
      const effects = await this.copy.settle(batch, device, ops)
      // Which rows images brought nobody told: all are looked at anew.
      screen.note(intake?.imaged ? { reset: true } : batch, effects, intake)
      if (!device.complete) return 'more'
      await screen.showAll()
      this.#tellUnnamed()
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

  /** The blobs that rows or writes name; `undefined` while the tables are not known. */
  async namedBlobs(): Promise<Set<string> | undefined> {
    const { store, schema, queue } = this.copy
    if (!schema) return undefined
    const named = new Set(this.outbox.ops.flatMap(({ args }) => [...blobsIn(args)]))
    for (const [table, { columns }] of Object.entries(schema.tables)) {
      if (!columns.some(({ blob }) => blob)) continue
      await queue.run(async () => {
        for (const [, row] of await store.scan(table)) for (const sha256 of blobsOf(row)) named.add(sha256)
      })
    }
    return named
  }

  async #noteUnnamed({ reset, drop = [] }: Batch): Promise<void> {
    if (reset) this.#unnamed = 'all'
    const keys = new Map<string, string[]>()
    for (const { table, key } of drop) (keys.get(table) ?? keys.set(table, []).get(table)!).push(key)
    for (const [table, gone] of keys) {
      if (this.#unnamed === 'all') return
      for (const row of (await this.copy.store.get(table, gone)).values()) for (const sha256 of blobsOf(row)) this.#unnamed.add(sha256)
    }
  }

  #tellUnnamed(): void {
    const unnamed = this.#unnamed
    this.#unnamed = new Set()
    if (unnamed === 'all' || unnamed.size > 0) this.unnamed.emit(unnamed)
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
