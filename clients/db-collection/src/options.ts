// What an app says when it makes a client.
import type { Environment } from './engine/copy'
import { webSocketSource, type Reconnect, type SubscribeSource } from './engine/source'
import type { Auth, Transport } from './engine/transport'
import type { Locks, Witness } from './platform'
import { bounded } from './protocol/number'
import type { Schema } from './protocol/schema'
import type { Store } from './store/store'
import type { NizhalStatus } from './status'

/** Options of `createNizhalClient`. */
export interface NizhalClientOptions {
  /** Where the server is, such as `https://sync.example.com`. Not needed in mode `local` or with a `syncTarget`. */
  server?: string
  auth?: Auth
  /** Rows, cursor and outbox; in memory by default. Give each user a store of their own. */
  store?: Store
  /** Names the store among tabs; the same in every tab that opens it. */
  name?: string
  /** Who uses the device; read from the bearer token when it is a JWT and this is left out. */
  user?: string
  /** The tables; asked from the server when left out. */
  schema?: Schema
  /** `local`: no server, now or ever; `sync` by default. */
  mode?: 'sync' | 'local'
  pull?: {
    /** How often to ask when nothing pings; 30 s by default. */
    intervalMs?: number
    /** Rows in a page, to 10,000; 2,000 by default. */
    pageSize?: number
    /** Whether a first sync, and what is more than a page, comes as a stream from one snapshot; `true` by default, pages where it cannot. */
    stream?: boolean
  }
  /** Waits after failures: 0.5 s doubled to 30 s by default, less a random half. */
  reconnect?: Partial<Reconnect>
  /** Where pings come from; the WebSocket of the server by default, `null` for polling alone. */
  subscribeSource?: SubscribeSource | null
  /** Names the buckets to hear of for a sync rule; all that the actor holds when left out. */
  bucketsForSyncRule?: (rule: string) => readonly string[]
  /** How long a sync rule is listened to after the last who subscribed left, in ms; 30 s by default. */
  ttl?: number
  /** Another backend than a Nizhal server: pull and push of your own. */
  syncTarget?: Transport
  /** What to show of this user in every bucket that the server names. */
  presence?: Record<string, string | number | boolean | null>
  /** Called with every change of status. */
  status?: (status: NizhalStatus) => void
  /** Whether traffic flows at the start; what the browser says by default. */
  online?: boolean
  /** How long one request may take; 30 s by default. */
  timeoutMs?: number
  /** How long a write that the server applied may be missing from pulls before it is sent again; 60 s by default. */
  unseenMs?: number
  fetch?: typeof fetch
  WebSocket?: typeof WebSocket
  /** How tabs find their leader; the browser's own by default, `null` where there is one tab. */
  locks?: Locks | null
  channel?: ((name: string) => BroadcastChannel) | null
  /** Remembers outside the store that there is one, so that its loss is noticed; `localStorage` by default. */
  witness?: Witness | null
  environment?: Environment
}

const DAY_MS = 24 * 3600_000

/** The waits between tries: what the app left out, and what it cannot mean. */
export function reconnectOf({ reconnect = {} }: NizhalClientOptions): Reconnect {
  const minMs = bounded(reconnect.minMs, 500, 10, DAY_MS)
  return { minMs, maxMs: Math.max(minMs, bounded(reconnect.maxMs, 30_000, 10, DAY_MS)), jitter: bounded(reconnect.jitter, 0.5, 0, 1) }
}

/** How long one request may take. */
export function timeoutOf({ timeoutMs }: NizhalClientOptions): number {
  return bounded(timeoutMs, 30_000, 1, DAY_MS)
}

/** How long a write that the server applied may be missing from pulls. */
export function unseenOf({ unseenMs }: NizhalClientOptions): number {
  return bounded(unseenMs, 60_000, 0, DAY_MS)
}

/** How often to ask when nothing pings. */
export function intervalOf(intervalMs: number | undefined): number {
  return bounded(intervalMs, 30_000, 10, DAY_MS)
}

/** Rows in a page. */
export function pageSizeOf({ pull }: NizhalClientOptions): number {
  return Math.floor(bounded(pull?.pageSize, 2000, 1, 10_000))
}

/** Where pings come from when the app says nothing else. */
export function defaultSourceOf(options: NizhalClientOptions): SubscribeSource | undefined {
  const { subscribeSource, WebSocket: given, mode, server } = options
  if (subscribeSource !== undefined) return subscribeSource ?? undefined
  return mode === 'local' || !server ? undefined : webSocketSource(reconnectOf(options), given)
}
