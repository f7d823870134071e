// The client: one store, one leader among the tabs, the same calls in each of them.
import type { BlobAnswer, BlobCalls, BlobNews, BlobStore, ReachBlobs } from './blob/store'
import { Emitter } from './engine/change'
import type { Op } from './engine/op'
import type { PresenceEvent, PresenceState } from './engine/presence'
import type { Draft } from './engine/outbox'
import type { Revised } from './engine/revised'
import type { Wanted } from './engine/screen'
import type { SyncState } from './engine/session'
import type { SubscribeSource } from './engine/source'
import { confirmation } from './confirm'
import { Holder } from './holder'
import { defaultSourceOf, intervalOf, reconnectOf, timeoutOf, type NizhalClientOptions } from './options'
import { every, later, messageOf, newId, onNetwork, openChannel, report, saysOffline, tabLocks, type Timer } from './platform'
import { bounded } from './protocol/number'
import type { Schema } from './protocol/schema'
import type { Json, Row } from './protocol/wire'
import { Subscriptions } from './subscription'
import { writeOf, type NizhalStatus, type NizhalWrite } from './status'
import type { BackendEvent, Buckets, Told } from './tab/backend'
import { TabChannel } from './tab/channel'
import { elect } from './tab/leader'
import { Watches, type WatchListener, type WatchSomeListener } from './watch'

export { WriteRejected, WriteUnknown } from './confirm'
export type { WatchListener } from './watch'

type Failure = NonNullable<SyncState['error']>

const BEGIN: SyncState = { phase: 'offline', error: undefined, lastSyncedAt: undefined, streaming: false }
const NO_LEADER: Failure = { kind: 'no_leader', code: 'no_leader', message: 'another tab of this app holds the data and does not answer: close it or bring it to the front' }
const SILENT_STORE: Failure = { kind: 'store', code: 'store_silent', message: 'this device’s storage does not answer; it is waited for' }
/** How long the tab that leads may be silent at most. */
const MAX_SILENCE_MS = 10_000

/** A device of a Nizhal app. */
export class NizhalClient {
  /** Resolves when this tab can read, be it as the leader or through one. */
  readonly ready: Promise<void>
  readonly options: NizhalClientOptions
  readonly environment: NonNullable<NizhalClientOptions['environment']>
  /** Where blobs are kept, if they are, and how the server is reached about them; see `createNizhalBlobs`. */
  blobs: { store: BlobStore; reach: ReachBlobs | undefined } | undefined
  #channel: TabChannel
  #holder: Holder | undefined
  readonly #told: Told = { ops: [], cursor: '', revised: [], buckets: { laterRules: [], subscribed: [] }, schema: undefined, storage: { lost: undefined, volatile: undefined }, state: BEGIN, news: { uploads: [], volatile: undefined }, states: {} }
  #online: boolean
  #leaderless: Timer | undefined
  #isOpening = false
  #probe: Timer | undefined
  #source: SubscribeSource | undefined
  readonly #watches: Watches
  readonly #subscriptions: Subscriptions
  #statuses = new Emitter<NizhalStatus>()
  #writes = new Emitter<NizhalWrite[]>()
  #presenceEvents = new Emitter<PresenceEvent>()
  #blobEvents = new Emitter<BlobNews>()
  #closes = new Emitter<void>()
  #election: { resign(): Promise<void> }
  #stops: (() => void)[] = []

  constructor(options: NizhalClientOptions) {
    this.options = options
    this.environment = options.environment ?? { nowMs: () => Date.now(), newId }
    this.#online = options.online ?? !saysOffline()
    this.#source = defaultSourceOf(options)
    if (options.status) this.#statuses.on(options.status)
    const name = `nizhal:${options.name ?? 'default'}`
    const locks = (options.locks === undefined ? options.store && tabLocks() : options.locks) ?? undefined
    let settle: { resolve(): void; reject(error: unknown): void } = { resolve: () => undefined, reject: () => undefined }
    this.ready = new Promise((resolve, reject) => (settle = { resolve, reject }))
    this.ready.catch(() => undefined)
    this.#watches = new Watches((table, deliver) => this.#channel.ask('rows', table, deliver), this.ready)
    this.#subscriptions = new Subscriptions(options.bucketsForSyncRule, bounded(options.ttl, 30_000, 0, 24 * 3600_000), () => this.#holder?.relisten())
    const patienceMs = Math.min(timeoutOf(options), MAX_SILENCE_MS)
    const hear = {
      event: (event: BackendEvent) => this.#hear(event),
      leader: () => {
        this.#led()
        settle.resolve()
        this.#watches.rescans.emit()
      },
      hello: () => this.#holder?.announce(),
      silence: () => this.#silence(),
    }
    // A memory store is this tab's alone: there is nobody to talk to.
    this.#channel = new TabChannel(name, this.environment.newId(), hear, locks && ((name) => this.#makeChannel(name)), patienceMs)
    this.#leaderless = later(patienceMs, () => this.#silence())
    this.#election = elect(locks, name, async () => {
      try {
        const stop = await this.#lead(name)
        settle.resolve()
        this.#say()
        return stop
      } catch (error) {
        this.#leaderless?.stop()
        settle.reject(error)
        this.#stick({ kind: 'store', code: 'store', message: messageOf(error) })
        throw error
      }
    })
    this.#watchBrowser()
  }

  /** Holds the store from now on. */
  async #lead(name: string): Promise<() => Promise<void>> {
    this.#isOpening = true
    const holder = await Holder.open(this, name, (event) => {
      this.#hear(event)
      this.#channel.tell(event)
    })
    this.#led()
    this.#holder = holder
    this.#channel.lead(holder.calls)
    holder.announce()
    holder.setSource(this.#source)
    holder.setOnline(this.#online)
    this.#watches.rescans.emit()
    return () => holder.close()
  }

  #makeChannel(name: string): BroadcastChannel | undefined {
    const { channel } = this.options
    try {
      return channel ? channel(name) : channel === undefined ? openChannel(name) : undefined
    } catch (error) {
      report(error)
      return undefined
    }
  }

  /** Somebody leads. */
  #led(): void {
    this.#leaderless?.stop()
    if ([NO_LEADER, SILENT_STORE].includes(this.#told.state.error!)) this.#told.state = BEGIN
  }

  /** Nobody answers: another tab has the store and is frozen, or tabs cannot talk here. */
  #silence(): void {
    if (this.#holder) return
    this.#stick(this.#isOpening ? SILENT_STORE : NO_LEADER)
  }

  #stick(error: Failure): void {
    this.#told.state = { ...this.#told.state, phase: 'stuck', error }
    this.#say()
  }

  get status(): NizhalStatus {
    const { state, ops, revised, buckets, storage } = this.#told
    const incomplete = buckets.laterRules.length + buckets.subscribed.filter(({ complete }) => !complete).length
    const count = (which: Op['state']) => ops.filter((op) => op.state === which).length
    return { ...state, pending: count('waiting'), rejected: count('rejected'), revised, incomplete, online: this.#online, leader: this.#holder !== undefined, storageLost: storage.lost, volatile: storage.volatile }
  }

  onStatus(listener: (status: NizhalStatus) => void): () => void {
    return this.#statuses.on(listener)
  }

  /** The tables: those that the app named, or what the server said. */
  get schema(): Schema | undefined {
    return this.options.schema ?? this.#told.schema
  }

  /** The writes that are not over: pending, applied but not yet seen in the rows, and rejected. */
  get writes(): NizhalWrite[] {
    return this.#told.ops.map(writeOf)
  }

  onWrites(listener: (writes: NizhalWrite[]) => void): () => void {
    return this.#writes.on(listener)
  }

  /** Where this device is; opaque. */
  cursor(): string {
    return this.#told.cursor
  }

  /** The buckets that the stream has named as this actor's, as `rule:value`. */
  scope(): string[] {
    return Object.keys(this.#told.states)
  }

  /** All rows of a table now, then every change, in order. */
  watch(table: string, listener: WatchListener): () => void {
    return this.#watches.all(table, listener)
  }

  /** Every change of a table, for somebody who holds some of its rows: `reread` says that what is held has to be asked for again. */
  watchSome(table: string, listener: WatchSomeListener): () => void {
    return this.#watches.some(table, listener)
  }

  /** Hands over the rows that may belong to one of the subsets, and those under the keys, before any later change is told of. */
  find(table: string, wanted: Wanted, deliver: (rows: Map<string, Row>) => void): Promise<void> {
    return this.#channel.ask('find', table, wanted, deliver)
  }

  async rows(table: string): Promise<Row[]> {
    let found: Row[] = []
    await this.#channel.ask('rows', table, (rows) => (found = [...rows.values()]))
    return found
  }

  get(table: string, key: string): Promise<Row | undefined> {
    return this.#channel.ask('get', table, key)
  }

  /** Writes; when it resolves the write is on the device's disk and on the screen, and goes to the server when that is possible. */
  async mutate(draft: Draft): Promise<NizhalWrite> {
    return writeOf(await this.#channel.ask('mutate', { ...draft, id: draft.id ?? this.environment.newId() }))
  }

  /**
   * Resolves when the server applied the write and the rows show it. Rejects with `WriteRejected` when it was refused or parked, and with
   * `WriteUnknown` when this device does not know it (any more).
   */
  confirmed(id: string): Promise<void> {
    return confirmation(id, {
      op: (id) => this.#told.ops.find((one) => one.id === id),
      outcome: (id) => this.#channel.ask('outcome', id),
      news: [this.#writes, this.#watches.rescans],
      closed: this.#closes,
    })
  }

  discard(id: string): Promise<boolean> {
    return this.#channel.ask('discard', id)
  }

  async retry(id: string): Promise<NizhalWrite | undefined> {
    const op = await this.#channel.ask('retry', id)
    return op && writeOf(op)
  }

  /** The writes that got another result than they were answered with, until `confirmRevised`; `status.revised` is the same list. */
  get revised(): readonly Revised[] {
    return this.#told.revised
  }

  /** The user was told of a result that changed. Returns false when there is none such, as when it has changed again meanwhile. */
  confirmRevised({ id, status }: Pick<Revised, 'id' | 'status'>): Promise<boolean> {
    return this.#channel.ask('confirmRevised', { id, status })
  }

  /** Pulls to the end of a snapshot, now. */
  pull(): Promise<void> {
    return this.#channel.ask('pull')
  }

  /** Pushes all that waits, now. */
  push(): Promise<void> {
    return this.#channel.ask('push')
  }

  /** Hears of a sync rule's buckets until the returned function is called; without a rule, of all. */
  subscribe(rule?: string): () => void {
    return this.#subscriptions.add(rule)
  }

  /** Asks for a bucket on demand until then, in ms since 1970; false where so many are asked for already. See `subscribeBucket`. */
  keepBucket(bucket: string, untilMs: number): Promise<boolean> {
    return this.#channel.ask('keep', bucket, untilMs)
  }

  /** The buckets that are not here yet, and those that are subscribed to; `status.incomplete` counts those that are not here. */
  get buckets(): Buckets {
    return this.#told.buckets
  }

  /** The buckets to name to the stream; none means all. */
  wantedBuckets(): string[] {
    return this.#subscriptions.buckets()
  }

  /** Shows this user in a bucket. */
  track(bucket: string, payload: Record<string, Json> = {}): Promise<void> {
    return this.#channel.ask('track', bucket, payload)
  }

  untrack(bucket: string): Promise<void> {
    return this.#channel.ask('untrack', bucket)
  }

  presenceState(bucket: string): PresenceState {
    return this.#told.states[bucket] ?? {}
  }

  onPresence(listener: (event: PresenceEvent) => void): () => void {
    return this.#presenceEvents.on(listener)
  }

  /** Keeps blobs in this store; see `createNizhalBlobs`. */
  keepBlobs(store: BlobStore, reach?: ReachBlobs): void {
    if (this.blobs) throw new Error('this client keeps blobs already: call createNizhalBlobs once a client')
    this.blobs = { store, reach }
    this.#holder?.keepBlobs()
  }

  /** Asks whoever keeps the blobs; see `createNizhalBlobs`. */
  askBlobs(method: keyof BlobCalls, args: unknown[]): Promise<BlobAnswer> {
    return this.#channel.ask('blob', method, args)
  }

  get blobNews(): BlobNews {
    return this.#told.news
  }

  onBlobNews(listener: (news: BlobNews) => void): () => void {
    return this.#blobEvents.on(listener)
  }

  onClose(listener: () => void): () => void {
    return this.#closes.on(listener)
  }

  /** Lets traffic flow or stops it, whatever the network is. */
  setOnline(online: boolean): void {
    this.#probe?.stop()
    this.#online = online
    this.#holder?.setOnline(online)
    this.#say()
  }

  /** Where pings come from from now on: `undefined` for the server's WebSocket, `null` for polling alone. */
  setSource(source: SubscribeSource | null | undefined, intervalMs?: number): void {
    this.#source = source === undefined ? defaultSourceOf(this.options) : (source ?? undefined)
    this.#holder?.setSource(this.#source, intervalMs === undefined ? undefined : intervalOf(intervalMs))
  }

  async close(): Promise<void> {
    for (const stop of this.#stops) stop()
    this.#subscriptions.close()
    this.#probe?.stop()
    this.#leaderless?.stop()
    this.#closes.emit()
    await this.#election.resign()
    this.#channel.close()
    this.#holder = undefined
  }

  #hear(event: BackendEvent): void {
    if (event.type === 'changes') return this.#watches.changes.emit(event.changes)
    const before = this.#told.states
    Object.assign(this.#told, event)
    switch (event.type) {
      case 'ops':
        if (this.#writes.heard) this.#writes.emit(this.writes)
        return this.#say()
      case 'blobs':
        return this.#blobEvents.emit(event.news)
      case 'storage':
      case 'state':
        return this.#say()
      case 'presence':
        for (const bucket of Object.keys({ ...before, ...event.states })) this.#presenceEvents.emit({ bucket, state: this.presenceState(bucket) })
    }
  }

  #say(): void {
    this.#statuses.emit(this.status)
  }

  #watchBrowser(): void {
    if (this.options.online !== undefined) return
    this.#stops.push(onNetwork((online) => this.#believe(online)))
    if (!this.#online) this.#believe(false)
  }

  /** Takes the browser's word for the network. That there is none may be wrong, or never be taken back: now and then it is tried. */
  #believe(online: boolean): void {
    this.setOnline(online)
    if (online) return
    this.#probe = every(reconnectOf(this.options).maxMs, () => {
      this.#holder?.calls.pull().then(() => this.#believe(true), () => undefined)
    })
  }
}

/** Makes a client. Reading works when `ready` resolves; syncing begins by itself. */
export function createNizhalClient(options: NizhalClientOptions): NizhalClient {
  return new NizhalClient(options)
}
