// When to pull and push: at a write, a ping, an interval, a way back online; and how long to wait after a failure.
import type { Json } from '../protocol/wire'
import { Emitter } from './change'
import { pull, push, type Sizes, type Streams } from './exchange'
import { Presence } from './presence'
import { Queue } from './queue'
import type { Replica } from './replica'
import { backoffMs, type LiveSource, type Reconnect, type SourceOptions, type SubscribeSource } from './source'
import { SyncError, type Transport } from './transport'

/** What a screen may want to say about syncing. */
export interface SyncState {
  phase: 'idle' | 'syncing' | 'waiting' | 'offline'
  /** The last failure, until something succeeds. */
  error: { kind: string; code: string; message: string } | undefined
  /** ms since 1970; of the last pull that reached a snapshot's end. */
  lastSyncedAt: number | undefined
  /** Whether pings come in. */
  streaming: boolean
}

/** How a session runs. */
export interface SessionOptions {
  sizes: Sizes
  streams: Streams
  intervalMs: number
  reconnect: Reconnect
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
  #away = true
  #timer: ReturnType<typeof setTimeout> | undefined
  #heart: ReturnType<typeof setInterval> | undefined
  #live: LiveSource | undefined

  constructor(
    private readonly replica: Replica,
    private readonly transport: Transport,
    private options: SessionOptions,
  ) {}

  get online(): boolean {
    return this.#online
  }

  /** Lets traffic flow or stops it. */
  setOnline(online: boolean): void {
    if (online === this.#online || this.#closed) return
    this.#online = online
    if (online) {
      this.#failures = 0
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
    if (this.#online && !this.#running && this.#failures === 0) void this.#cycle()
  }

  /** Pulls now, whatever the schedule says. */
  async pull(): Promise<void> {
    await this.#pulls.run(async () => {
      await this.options.describe()
      await pull(this.replica, this.transport, this.options.sizes, this.options.streams)
      this.#say({ lastSyncedAt: this.options.nowMs() })
    })
  }

  /** Pushes now. */
  async push(): Promise<void> {
    await this.#pushes.run(() => push(this.replica, this.transport, this.options.sizes, () => this.pull()))
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

  async #cycle(): Promise<void> {
    this.#running = true
    clearTimeout(this.#timer)
    let wait: number | undefined = this.options.intervalMs
    try {
      while (this.#online && (this.#wanted.pull || this.#wanted.push)) {
        this.#say({ phase: 'syncing' })
        // Taken down first: a write that comes meanwhile asks again.
        const wanted = this.#wanted
        this.#wanted = { pull: false, push: false }
        try {
          if (wanted.push && this.replica.pending.length > 0) {
            // After an absence a pull comes first: a server restored meanwhile is known by our cursor, until writes have moved its clock.
            if (this.#away) await this.pull()
            this.#away = false
            await this.push()
            wanted.pull = true
          }
          if (wanted.pull) await this.pull()
        } catch (error) {
          this.#wanted = { pull: this.#wanted.pull || wanted.pull, push: this.#wanted.push || wanted.push }
          // A push that fails must not keep the others' rows away.
          if (wanted.push && !(error instanceof SyncError && error.kind === 'offline')) await this.pull().catch(() => undefined)
          throw error
        }
      }
      this.#failures = 0
      this.#say({ phase: this.#online ? 'idle' : 'offline', error: undefined })
    } catch (error) {
      this.#failures += 1
      this.#away = true
      const failure = error instanceof SyncError ? error : new SyncError('refused', 'fault', error instanceof Error ? error.message : String(error))
      wait = failure.retryAfterMs ?? backoffMs(this.options.reconnect, this.#failures, Math.random)
      this.#say({ phase: this.#online ? 'waiting' : 'offline', error: { kind: failure.kind, code: failure.code, message: failure.message } })
    } finally {
      this.#running = false
    }
    if (!this.#online) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#wanted.pull = true
      this.#wanted.push ||= this.replica.pending.length > 0
      void this.#cycle()
    }, wait)
  }

  #listen(): void {
    const { source } = this.options
    if (!source || this.#live) return
    const options: SourceOptions = {
      url: () => this.options.streamUrl(),
      onOpen: () => {
        this.#say({ streaming: true })
        for (const frame of this.presence.tracking()) this.#live?.send(frame)
        // Pings that came while nobody listened are made up for.
        this.#retryNow()
        this.want({ pull: true, push: true })
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
    this.#heart = setInterval(() => {
      const beats = this.presence.heartbeats()
      for (const frame of beats.length > 0 ? beats : ['ping']) this.#live?.send(frame)
    }, HEARTBEAT_MS)
  }

  #retryNow(): void {
    this.#failures = 0
  }

  #silence(): void {
    clearTimeout(this.#timer)
    clearInterval(this.#heart)
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
