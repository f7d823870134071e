// The client: one store, one leader among the tabs, the same calls in each of them.
import type { BlobAnswer, BlobCalls, BlobNews, BlobStore, ReachBlobs } from './blob/store'
import { Emitter } from './engine/change'
import type { Op } from './engine/op'
import type { PresenceEvent, PresenceState } from './engine/presence'
import type { Draft } from './engine/outbox'
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
import type { BackendEvent } from './tab/backend'
import { TabChannel } from './tab/channel'
import { elect } from './tab/leader'
import { Watches, type WatchListener, type WatchSomeListener } from './watch'

export { WriteRejected, WriteUnknown } from './confirm'
export type { WatchListener } from './watch'

const BEGIN: SyncState = { phase: 'offline', error: undefined, lastSyncedAt: undefined, streaming: false }
const NO_LEADER = { kind: 'no_leader', code: 'no_leader', message: 'another tab of this app holds the data and does not answer: close it or bring it to the front' }
const SILENT_STORE = { kind: 'store', code: 'store_silent', message: 'this device’s storage does not answer; it is waited for' }
/** How long the tab that leads may be silent at most. */
const MAX_SILENCE_MS = 10_000

/** A device of a Nizhal app. */
export class NizhalClient {
  /** Resolves when this tab can read, be it as the leader or through one. */
  readonly ready: Promise<void>
  readonly options: NizhalClientOptions
  readonly environment: NonNullable<NizhalClientOptions['environment']>
  #channel: TabChannel
  #holder: Holder | undefined
  #ops: Op[] = []
  #counts = { pending: 0, rejected: 0 }
  #cursor = ''
  #schema: Schema | undefined
  #state = BEGIN
  #storage: { lost: { unsynced: number } | undefined; volatile: string | undefined } = { lost: undefined, volatile: undefined }
  #online: boolean
  #leaderless: Timer | undefined
  #isOpening = false
  #probe: Timer | undefined
  #source: SubscribeSource | undefined
  #blobs: { store: BlobStore; reach: ReachBlobs | undefined } | undefined
  #blobNews: BlobNews = { uploads: [], volatile: undefined }
  #presences: Record<string, PresenceState> = {}
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
    this.#watches = new Watches((table, deliver) => this.#channel.rows(table, deliver), this.ready)
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
        this.#state = { ...this.#state, phase: 'stuck', error: { kind: 'store', code: 'store', message: messageOf(error) } }
        settle.reject(error)
        this.#say()
        throw error
      }
    })
    this.#watchBrowser()
  }

  /** Holds the store from now on. */
  async #lead(name: string): Promise<() => Promise<void>> {
    this.#isOpening = true
    const blobs = () => this.#blobs
    const host = {
      options: this.options,
      environment: this.environment,
      wantedBuckets: () => this.wantedBuckets(),
      get blobs() {
        return blobs()
      },
    }
    const holder = await Holder.open(host, name, (event) => {
      this.#hear(event)
      this.#channel.tell(event)
    })
    this.#led()
    this.#holder = holder
    this.#channel.lead(holder)
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
    if (this.#state.error === NO_LEADER || this.#state.error === SILENT_STORE) this.#state = BEGIN
  }

  /** Nobody answers: another tab has the store and is frozen, or tabs cannot talk here. */
  #silence(): void {
    if (this.#holder) return
    this.#state = { ...this.#state, phase: 'stuck', error: this.#isOpening ? SILENT_STORE : NO_LEADER }
    this.#say()
  }

  get status(): NizhalStatus {
    return { ...this.#state, ...this.#counts, online: this.#online, leader: this.#holder !== undefined, storageLost: this.#storage.lost, volatile: this.#storage.volatile }
  }

  onStatus(listener: (status: NizhalStatus) => void): () => void {
    return this.#statuses.on(listener)
  }

  /** The tables: those that the app named, or what the server said. */
  get schema(): Schema | undefined {
    return this.options.schema ?? this.#schema
  }

  /** The writes that are not over: pending, applied but not yet seen in the rows, and rejected. */
  get writes(): NizhalWrite[] {
    return this.#ops.map(writeOf)
  }

  onWrites(listener: (writes: NizhalWrite[]) => void): () => void {
    return this.#writes.on(listener)
  }

  /** Where this device is; opaque. */
  cursor(): string {
    return this.#cursor
  }

  /** The buckets that the stream has named as this actor's, as `rule:value`. */
  scope(): string[] {
    return Object.keys(this.#presences)
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
    return this.#channel.find(table, wanted, deliver)
  }

  async rows(table: string): Promise<Row[]> {
    let found: Row[] = []
    await this.#channel.rows(table, (rows) => (found = [...rows.values()]))
    return found
  }

  get(table: string, key: string): Promise<Row | undefined> {
    return this.#channel.get(table, key)
  }

  /** Writes; when it resolves the write is on the device's disk and on the screen, and goes to the server when that is possible. */
  async mutate(draft: Draft): Promise<NizhalWrite> {
    return writeOf(await this.#channel.mutate({ ...draft, id: draft.id ?? this.environment.newId() }))
  }

  /**
   * Resolves when the server applied the write and the rows show it. Rejects with `WriteRejected` when it was refused or parked, and with
   * `WriteUnknown` when this device does not know it (any more).
   */
  confirmed(id: string): Promise<void> {
    return confirmation(id, {
      op: (id) => this.#ops.find((one) => one.id === id),
      outcome: (id) => this.#channel.outcome(id),
      news: [this.#writes, this.#watches.rescans],
      closed: this.#closes,
    })
  }

  discard(id: string): Promise<boolean> {
    return this.#channel.discard(id)
  }

  async retry(id: string): Promise<NizhalWrite | undefined> {
    const op = await this.#channel.retry(id)
    return op && writeOf(op)
  }

  /** Pulls to the end of a snapshot, now. */
  pull(): Promise<void> {
    return this.#channel.pull()
  }

  /** Pushes all that waits, now. */
  push(): Promise<void> {
    return this.#channel.push()
  }

  /** Hears of a sync rule's buckets until the returned function is called; without a rule, of all. */
  subscribe(rule?: string): () => void {
    return this.#subscriptions.add(rule)
  }

  /** The buckets to name to the stream; none means all. */
  wantedBuckets(): string[] {
    return this.#subscriptions.buckets()
  }

  /** Shows this user in a bucket. */
  track(bucket: string, payload: Record<string, Json> = {}): Promise<void> {
    return this.#channel.track(bucket, payload)
  }

  untrack(bucket: string): Promise<void> {
    return this.#channel.untrack(bucket)
  }

  presenceState(bucket: string): PresenceState {
    return this.#presences[bucket] ?? {}
  }

  onPresence(listener: (event: PresenceEvent) => void): () => void {
    return this.#presenceEvents.on(listener)
  }

  /** Keeps blobs in this store; see `createNizhalBlobs`. */
  keepBlobs(store: BlobStore, reach?: ReachBlobs): void {
    if (this.#blobs) throw new Error('this client keeps blobs already: call createNizhalBlobs once a client')
    this.#blobs = { store, reach }
    this.#holder?.keepBlobs()
  }

  /** Asks whoever keeps the blobs; see `createNizhalBlobs`. */
  askBlobs(method: keyof BlobCalls, args: unknown[]): Promise<BlobAnswer> {
    return this.#channel.blob(method, args)
  }

  get blobNews(): BlobNews {
    return this.#blobNews
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
    switch (event.type) {
      case 'changes':
        return this.#watches.changes.emit(event.changes)
      case 'ops':
        this.#ops = event.ops
        this.#cursor = event.cursor
        this.#counts = { pending: 0, rejected: 0 }
        for (const { state } of event.ops) {
          if (state === 'waiting') this.#counts.pending += 1
          else if (state === 'rejected') this.#counts.rejected += 1
        }
        if (this.#writes.heard) this.#writes.emit(this.writes)
        return this.#say()
      case 'blobs':
        this.#blobNews = event.news
        return this.#blobEvents.emit(event.news)
      case 'schema':
        this.#schema = event.schema
        return
      case 'storage':
        this.#storage = event.storage
        return this.#say()
      case 'state':
        this.#state = event.state
        return this.#say()
      case 'presence': {
        const before = this.#presences
        this.#presences = event.states
        for (const bucket of new Set([...Object.keys(before), ...Object.keys(event.states)])) {
          this.#presenceEvents.emit({ bucket, state: this.presenceState(bucket) })
        }
      }
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
      this.#holder?.pull().then(() => this.#believe(true), () => undefined)
    })
  }
}

/** Makes a client. Reading works when `ready` resolves; syncing begins by itself. */
export function createNizhalClient(options: NizhalClientOptions): NizhalClient {
  return new NizhalClient(options)
}
