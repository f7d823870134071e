// Where pings come from: a WebSocket that comes back by itself, or what the app plugs in instead.
import { elapsedMs, later, socketClass, within, type Timer } from '../platform'

/** What a source is given. */
export interface SourceOptions {
  /** Asked before each connection, so that a renewed token is used. */
  url(): Promise<string>
  onOpen(): void
  onMessage(text: string): void
  /** `code` is the WebSocket's. */
  onClose(code: number): void
}

/** A live source. `send` is a no-op while it is not connected. */
export interface LiveSource {
  send(text: string): void
  close(): void
}

/** Opens a source of pings. */
export type SubscribeSource = (options: SourceOptions) => LiveSource

/** How long to wait between tries: doubled from `minMs` to `maxMs`, less a random part of `jitter`. */
export interface Reconnect {
  minMs: number
  maxMs: number
  /** 0 to 1. */
  jitter: number
}

/** How long a connection may take to open. */
const OPEN_MS = 30_000
/** An open connection that brought nothing for so long, not even the answer to a ping, is dead. */
const SILENT_MS = 45_000
/** What a connection is closed with that broke. */
const BROKEN = 1006

/** The wait before try number `failures` (from 1). */
export function backoffMs({ minMs, maxMs, jitter }: Reconnect, failures: number, random: () => number): number {
  const full = Math.min(maxMs, minMs * 2 ** Math.min(failures - 1, 30))
  // Less, never more: the longest wait is what was promised, and a crowd that was cut off together comes back spread out.
  return full * (1 - jitter * random())
}

/** The standard WebSocket, with pings of our own and backoff. */
export function webSocketSource(reconnect: Reconnect, given?: typeof WebSocket): SubscribeSource {
  return (options) => {
    const source = new ReconnectingSocket(options, reconnect, given)
    void source.connect()
    return source
  }
}

class ReconnectingSocket implements LiveSource {
  #socket: WebSocket | undefined
  #timer: Timer | undefined
  #failures = 0
  #closed = false
  #isOpen = false
  #openedMs = 0
  #heardMs = 0

  constructor(
    private readonly options: SourceOptions,
    private readonly reconnect: Reconnect,
    private readonly given: typeof WebSocket | undefined,
  ) {}

  async connect(): Promise<void> {
    try {
      // Looked up each time: it may come late.
      const Socket = this.given ?? socketClass()
      if (!Socket) throw new Error('no WebSocket')
      const url = await within(OPEN_MS, this.options.url(), () => new Error('no address'))
      if (this.#closed) return
      this.#attend(new Socket(url))
    } catch {
      this.#again()
    }
  }

  send(text: string): void {
    if (!this.#isOpen || this.#socket?.readyState !== 1) return
    if (elapsedMs() - this.#heardMs > SILENT_MS) return this.#lost(BROKEN)
    try {
      this.#socket.send(text)
    } catch {
      this.#lost(BROKEN)
    }
  }

  close(): void {
    this.#closed = true
    this.#timer?.stop()
    this.#drop()
  }

  #attend(socket: WebSocket): void {
    this.#socket = socket
    const isCurrent = () => this.#socket === socket
    this.#timer = later(OPEN_MS, () => isCurrent() && !this.#isOpen && this.#lost(BROKEN))
    socket.onopen = () => {
      if (!isCurrent()) return
      this.#timer?.stop()
      this.#isOpen = true
      this.#openedMs = this.#heardMs = elapsedMs()
      this.options.onOpen()
    }
    socket.onmessage = ({ data }) => {
      if (!isCurrent()) return
      this.#heardMs = elapsedMs()
      if (typeof data === 'string') this.options.onMessage(data)
    }
    socket.onclose = ({ code }) => isCurrent() && this.#lost(code)
    // `onclose` follows and does the work; without a listener Node prints the error.
    socket.onerror = () => undefined
  }

  /** The connection is gone, or as good as gone. */
  #lost(code: number): void {
    // One that opens and closes at once has failed; one that held for a while begins anew.
    if (this.#isOpen && elapsedMs() - this.#openedMs >= this.reconnect.maxMs) this.#failures = 0
    const wasOpen = this.#isOpen
    this.#drop()
    if (wasOpen) this.options.onClose(code)
    this.#again()
  }

  #drop(): void {
    const socket = this.#socket
    this.#socket = undefined
    this.#isOpen = false
    try {
      socket?.close(1000)
    } catch {
      // It was none.
    }
  }

  #again(): void {
    if (this.#closed) return
    this.#failures += 1
    this.#timer?.stop()
    this.#timer = later(backoffMs(this.reconnect, this.#failures, Math.random), () => void this.connect())
  }
}
