// When to pull and push: at a write, a ping, an interval, a way back online; and how long to wait after a failure.
import type { Json } from '../protocol/wire'
import { elapsedMs, every, later, messageOf, type Timer } from '../platform'
import { Emitter } from './change'
import { isStuck } from './doubt'
import { pull, push, Suspicion, type Sizes, type Streams } from './exchange'
import { isPending } from './op'
import { Pace, waitAfter } from './pace'
import { Presence } from './presence'
import { isUndecided } from './push'
import { Received } from './progress'
import { Queue } from './queue'
import type { Replica } from './replica'
import type { LiveSource, Reconnect, SourceOptions, SubscribeSource } from './source'
import { SyncError, type Transport } from './transport'
import { Lookout } from './unseen'

/** What a screen may want to say about syncing. */
export interface SyncState {
  /** `waiting`: it failed, and is tried again. `stuck`: it fails again and again, for a reason that waiting alone does not mend. */
  phase: 'idle' | 'syncing' | 'waiting' | 'stuck' | 'offline'
  /** The last failure, until something succeeds; `write` is the one that does not come through, where it is one. */
  error: { kind: string; code: string; message: string; write?: string } | undefined
  /** ms since 1970; of the last pull that reached a snapshot's end. */
  lastSyncedAt: number | undefined
  /** Rows of the pull that is under way, and how many there will be, where the server said so at the beginning of a first sync. */
  progress?: { rows: number; total: number | undefined } | undefined
  /** Whether pings come in. */
  streaming: boolean
  /** The last time that something was sent again because the server said that it applied it and no pull showed it; ms since 1970. */
  repaired?: { code: 'applied_unseen'; write: string; at: number }
}

/** How a session runs. */
export interface SessionOptions {
  sizes: Sizes
  streams: Streams
  intervalMs: number
  reconnect: Reconnect
  /** How long a write that the server applied may be missing from pulls. */
  unseenMs: number
  source: SubscribeSource | undefined
  streamUrl(): Promise<string>
  /** The stream said that the credential expired. */
  refresh(): Promise<void>
  /** Learns the tables when the app did not name them. */
  describe(): Promise<void>
  nowMs(): number
}

/** The server drops entries that are silent for 30 s. */
const HEARTBEAT_MS = 10_000
/** Answers in a row that bring a device nowhere, before it says that it is stuck. */
const STUCK_AFTER = 5

/** One device's traffic with its server. */
export class Session {
  readonly states = new Emitter<SyncState>()
  readonly presence = new Presence()
  state: SyncState = { phase: 'offline', error: undefined, lastSyncedAt: undefined, streaming: false }
  // One pull and one push at a time each: what the server answers is applied in the order it was asked.
  readonly #pulls = new Queue()
  readonly #pushes = new Queue()
  #wanted = { pull: false, push: false }
  #running = false
  #online = false
  #closed = false
  #failures = 0
  /** Failures in a row that the server answered with. */
  #stalled = 0
  /** The server asked to be left alone until then. */
  #notBeforeMs = 0
  readonly #pace = new Pace()
  #received: Received | undefined
  readonly #suspicion = new Suspicion()
  readonly #lookout: Lookout
  /** A write that the server applied, and that no pull shows although it was sent again. */
  #unseen: SyncState['error']
  #away = true
  #timer: Timer | undefined
  #heart: Timer | undefined
  #live: LiveSource | undefined

  constructor(
    private readonly replica: Replica,
    private readonly transport: Transport,
    private options: SessionOptions,
  ) {
    this.#lookout = new Lookout(options.unseenMs)
  }

  get online(): boolean {
    return this.#online
  }

  /** Lets traffic flow or stops it. */
  setOnline(online: boolean): void {
    if (online === this.#online || this.#closed) return
    this.#online = online
    if (online) {
      this.#failures = 0
      this.#stalled = 0
      this.#listen()
      this.want({ pull: true, push: true })
    } else {
      this.#away = true
      this.#silence()
      this.#say({ phase: 'offline', streaming: false })
    }
  }

  /** Changes where pings come from, or how often to ask without them. */
  configure(change: { source?: SubscribeSource | undefined; intervalMs?: number }): void {
    this.options = { ...this.options, ...change }
    if (!this.#online) return
    this.#silence()
    this.#listen()
    this.want({ pull: true })
  }

  /** Asks for an exchange as soon as it may be. */
  want(what: { pull?: boolean; push?: boolean }): void {
    this.#wanted.pull ||= what.pull ?? false
    this.#wanted.push ||= what.push ?? false
    // Where no timer can be set, nobody else would try again; and what fails must not keep a write from going around it.
    if (this.#failures === 0 || !this.#timer || (what.push && this.replica.outbox.canGoAround)) this.#begin()
  }

  /** Pulls now, whatever the schedule says. */
  async pull(): Promise<void> {
    await this.#pulls.run(async () => {
      await this.options.describe()
      this.#received ??= new Received(({ rows, total }) => this.#say({ progress: { rows, total } }))
      await pull(this.replica, this.transport, this.options.sizes, this.options.streams, this.#received, this.options.nowMs())
      this.#received = undefined
      this.#say({ lastSyncedAt: this.options.nowMs(), progress: undefined })
      await this.#lookForUnseen()
    })
  }

  /** What the server applied must come back with some pull: it is sent again once, which is harmless, and then told of. */
  async #lookForUnseen(): Promise<void> {
    const unseen = this.#lookout.look(this.replica.outbox.ops, elapsedMs())
    this.#unseen = unseen?.todo === 'tell' ? { kind: 'refused', code: 'applied_unseen', message: 'the server says that it applied a write, and no pull shows it', write: unseen.write } : undefined
    if (unseen?.todo !== 'resend') return
    await this.replica.outbox.rotate()
    this.#say({ repaired: { code: 'applied_unseen', write: unseen.write, at: this.options.nowMs() } })
    this.want({ push: true })
  }

  /** Pushes now. */
  async push(): Promise<void> {
    await this.#pushes.run(() => push(this.replica, this.transport, this.options.sizes, () => this.pull(), this.#suspicion))
  }

  track(bucket: string, payload: Record<string, Json>): void {
    this.#live?.send(this.presence.track(bucket, payload))
    if (!this.#live) this.presence.track(bucket, payload)
  }

  untrack(bucket: string): void {
    const frame = this.presence.untrack(bucket)
    this.#live?.send(frame)
  }

  close(): void {
    this.setOnline(false)
    this.#closed = true
  }

  /** Begins a cycle, at once or as soon as the server wants to be asked. */
  #begin(): void {
    if (!this.#online || this.#running) return
    const wait = this.#notBeforeMs - elapsedMs()
    if (wait <= 0) void this.#cycle()
    else if (!this.#timer) this.#arm(wait)
  }

  #arm(ms: number): void {
    this.#timer?.stop()
    this.#timer = later(ms, () => {
      this.#timer = undefined
      this.#wanted.pull = true
      this.#wanted.push ||= this.replica.outbox.pending.length > 0
      void this.#cycle()
    })
  }

  async #cycle(): Promise<void> {
    this.#running = true
    this.#timer?.stop()
    this.#timer = undefined
    const pending = this.replica.outbox.pending.map(({ id }) => id)
    let wait = this.options.intervalMs
    try {
      while (this.#online && (this.#wanted.pull || this.#wanted.push)) {
        if (!(await this.#paced())) break
        this.#say({ phase: 'syncing' })
        await this.#exchange()
      }
      this.#failures = 0
      this.#stalled = 0
      this.#say({ phase: !this.#online ? 'offline' : this.#unseen ? 'stuck' : 'idle', error: this.#unseen })
    } catch (error) {
      wait = this.#failed(error, pending)
    } finally {
      this.#running = false
    }
    if (this.#online) this.#arm(wait)
  }

  /** Waits as long as must be; false where nothing can be waited for. */
  async #paced(): Promise<boolean> {
    const ms = this.#pace.take()
    return ms === 0 || new Promise((resolve) => later(ms, () => resolve(true)) ?? resolve(false))
  }

  async #exchange(): Promise<void> {
    // Taken down first: a write that comes meanwhile asks again.
    const wanted = this.#wanted
    this.#wanted = { pull: false, push: false }
    let isPushing = false
    try {
      if (wanted.push && this.replica.outbox.pending.length > 0) {
        // After an absence a pull comes first: a server restored meanwhile is known by our cursor, until writes have moved its clock.
        if (this.#away) await this.pull()
        this.#away = false
        isPushing = true
        await this.push()
        isPushing = false
        wanted.pull = true
      }
      if (wanted.pull) await this.pull()
    } catch (error) {
      this.#wanted = { pull: this.#wanted.pull || wanted.pull, push: this.#wanted.push || wanted.push }
      if (isPushing) await this.#pullBeside(error)
      throw error
    }
  }

  /** A push that fails must not keep the others' rows away; and where a pull goes well, it is not the network that breaks. */
  async #pullBeside(error: unknown): Promise<void> {
    const broken = error instanceof SyncError && error.kind === 'offline'
    this.#suspicion.reachable = (!broken || this.#failures > 0) && (await this.pull().then(() => true, () => false))
  }

  /** Notes a failure; the ms to wait. */
  #failed(error: unknown, pending: readonly string[]): number {
    const failure = error instanceof SyncError ? error : new SyncError('refused', 'fault', messageOf(error))
    const waiting = this.replica.outbox.ops.filter(isPending)
    // What was decided on the way is progress: the next try need not wait as if there had been none.
    const came = pending.some((id) => !waiting.some((op) => op.id === id))
    this.#failures = came ? 1 : this.#failures + 1
    this.#stalled = isUndecided(failure) ? (came ? 1 : this.#stalled + 1) : 0
    this.#away = true
    const stuck = waiting.find(isStuck)
    const { reconnect } = this.options
    const wait = waitAfter(reconnect, this.#failures, failure.retryAfterMs, Math.random)
    this.#notBeforeMs = failure.retryAfterMs === undefined ? 0 : elapsedMs() + wait
    const phase = !this.#online ? 'offline' : stuck || this.#stalled >= STUCK_AFTER ? 'stuck' : 'waiting'
    this.#say({ phase, error: { kind: failure.kind, code: failure.code, message: failure.message, ...(stuck && { write: stuck.id }) } })
    return wait
  }

  #listen(): void {
    const { source } = this.options
    if (!source || this.#live) return
    const options: SourceOptions = {
      url: () => this.options.streamUrl(),
      onOpen: () => {
        this.#say({ streaming: true })
        for (const frame of this.presence.tracking()) this.#live?.send(frame)
        // Pings that came while nobody listened are made up for; and a server that is back need not be waited for.
        this.#wanted = { pull: true, push: true }
        this.#begin()
      },
      onMessage: (text) => {
        if (text.startsWith('repull:')) this.want({ pull: true })
        else this.presence.receive(text)
      },
      onClose: (code) => {
        this.presence.forget()
        this.#say({ streaming: false })
        if (code === 1008) void this.options.refresh().catch(() => undefined)
      },
    }
    this.#live = source(options)
    // The ping is for its answer: by that a connection is known to live.
    this.#heart = every(HEARTBEAT_MS, () => ['ping', ...this.presence.heartbeats()].forEach((frame) => this.#live?.send(frame)))
  }

  #silence(): void {
    this.#timer?.stop()
    this.#timer = undefined
    this.#heart?.stop()
    this.#live?.close()
    this.#live = undefined
    this.presence.forget()
    if (this.state.streaming) this.#say({ streaming: false })
  }

  #say(change: Partial<SyncState>): void {
    this.state = { ...this.state, ...change }
    this.states.emit(this.state)
  }
}
