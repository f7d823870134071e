// Who else is there: the state of each bucket, kept from the stream's frames.
import type { Json } from '../protocol/wire'
import { Emitter } from './change'

/** One connection of a user. */
export type PresenceEntry = { presence_ref: string } & Record<string, Json>

/** By user id. */
export type PresenceState = Record<string, PresenceEntry[]>

/** A bucket whose presence changed. */
export interface PresenceEvent {
  bucket: string
  state: PresenceState
}

/** What the stream says of who is where. */
export class Presence {
  readonly events = new Emitter<PresenceEvent>()
  #states = new Map<string, PresenceState>()
  #tracked = new Map<string, Record<string, Json>>()

  /** Reads a frame; false when it is none of presence, or says nothing that can be read. */
  receive(frame: string): boolean {
    const kind = /^presence:(state|diff):/.exec(frame)?.[1]
    if (!kind) return false
    const { bucket, state, joins, leaves } = bodyOf(frame.slice(`presence:${kind}:`.length))
    if (typeof bucket !== 'string') return false
    const changed = kind === 'state' ? stateOf(state) : merged(this.state(bucket), stateOf(joins), stateOf(leaves))
    this.#states.set(bucket, changed)
    this.events.emit({ bucket, state: changed })
    return true
  }

  state(bucket: string): PresenceState {
    return this.#states.get(bucket) ?? {}
  }

  /** The buckets that the stream has told of. */
  get buckets(): string[] {
    return [...this.#states.keys()]
  }

  /** Remembers what to show of this device; the frame to send now. */
  track(bucket: string, payload: Record<string, Json>): string {
    this.#tracked.set(bucket, payload)
    return `presence:track:${JSON.stringify({ bucket, payload })}`
  }

  isTracked(bucket: string): boolean {
    return this.#tracked.has(bucket)
  }

  untrack(bucket: string): string {
    this.#tracked.delete(bucket)
    return `presence:untrack:${JSON.stringify({ bucket })}`
  }

  /** What a new connection has to be told. */
  tracking(): string[] {
    return [...this.#tracked].map(([bucket, payload]) => `presence:track:${JSON.stringify({ bucket, payload })}`)
  }

  heartbeats(): string[] {
    return [...this.#tracked.keys()].map((bucket) => `presence:heartbeat:${JSON.stringify({ bucket })}`)
  }

  /** Nobody is known to be anywhere while the stream is down. */
  forget(): void {
    const known = this.buckets
    this.#states.clear()
    for (const bucket of known) this.events.emit({ bucket, state: {} })
  }
}

function bodyOf(text: string): Record<string, unknown> {
  try {
    const body: unknown = JSON.parse(text)
    return typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

/** What can be read of a state. */
function stateOf(said: unknown): PresenceState {
  if (typeof said !== 'object' || said === null) return {}
  const isEntry = (entry: unknown): entry is PresenceEntry => typeof (entry as PresenceEntry | null)?.presence_ref === 'string'
  return Object.fromEntries(Object.entries(said).flatMap(([user, entries]) => (Array.isArray(entries) ? [[user, entries.filter(isEntry)]] : [])))
}

function merged(state: PresenceState, joins: PresenceState, leaves: PresenceState): PresenceState {
  const next: PresenceState = {}
  const left = new Set(Object.values(leaves).flatMap((entries) => entries.map((entry) => entry.presence_ref)))
  for (const users of [state, joins]) {
    for (const [user, entries] of Object.entries(users)) {
      const kept = entries.filter((entry) => users === joins || !left.has(entry.presence_ref))
      const known = new Map([...(next[user] ?? []), ...kept].map((entry) => [entry.presence_ref, entry]))
      if (known.size > 0) next[user] = [...known.values()]
    }
  }
  return next
}
