// Where pings come from: a WebSocket that comes back by itself, or what the app plugs in instead.

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

/** The wait before try number `failures` (from 1). */
export function backoffMs({ minMs, maxMs, jitter }: Reconnect, failures: number, random: () => number): number {
  const full = Math.min(maxMs, minMs * 2 ** Math.min(failures - 1, 30))
  // Less, never more: the longest wait is what was promised, and a crowd that was cut off together comes back spread out.
  return full * (1 - jitter * random())
}

/** The standard WebSocket, with pings of our own and backoff. */
export function webSocketSource(reconnect: Reconnect, Socket: typeof WebSocket = globalThis.WebSocket): SubscribeSource {
  return (options) => {
    let socket: WebSocket | undefined
    let timer: ReturnType<typeof setTimeout> | undefined
    let failures = 0
    let closed = false
    const again = () => {
      if (closed) return
      failures += 1
      timer = setTimeout(connect, backoffMs(reconnect, failures, Math.random))
    }
    const connect = async () => {
      try {
        const url = await options.url()
        if (closed) return
        const opened = new Socket(url)
        socket = opened
        opened.onopen = () => {
          failures = 0
          options.onOpen()
        }
        opened.onmessage = ({ data }) => typeof data === 'string' && options.onMessage(data)
        opened.onclose = ({ code }) => {
          if (socket !== opened) return
          socket = undefined
          options.onClose(code)
          again()
        }
        // `onclose` follows and does the work; without a listener Node prints the error.
        opened.onerror = () => undefined
      } catch {
        again()
      }
    }
    void connect()
    return {
      send(text) {
        if (socket?.readyState === 1) socket.send(text)
      },
      close() {
        closed = true
        clearTimeout(timer)
        const open = socket
        socket = undefined
        open?.close(1000)
      },
    }
  }
}
