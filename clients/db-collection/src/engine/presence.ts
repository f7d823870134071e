// Who else is there: the state of each bucket, kept from the stream's frames.
import { jsonOf, type Json } from '../protocol/wire'
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
    const { bucket, state, joins, leaves } = (jsonOf(frame.slice(`presence:${kind}:`.length)) ?? {}) as Record<string, unknown>
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
    return frameOf('track', { bucket, payload })
  }

  isTracked(bucket: string): boolean {
    return this.#tracked.has(bucket)
  }

  untrack(bucket: string): string {
    this.#tracked.delete(bucket)
    return frameOf('untrack', { bucket })
  }

  /** What a new connection has to be told. */
  tracking(): string[] {
    return [...this.#tracked].map(([bucket, payload]) => frameOf('track', { bucket, payload }))
  }

  heartbeats(): string[] {
    return [...this.#tracked.keys()].map((bucket) => frameOf('heartbeat', { bucket }))
  }

  /** Nobody is known to be anywhere while the stream is down. */
  forget(): void {
    const known = this.buckets
    this.#states.clear()
    for (const bucket of known) this.events.emit({ bucket, state: {} })
  }
}

function frameOf(verb: string, body: object): string {
  return `presence:${verb}:${JSON.stringify(body)}`
}

/** What can be read of a state. */
function stateOf(said: unknown): PresenceState {
  if (typeof said !== 'object' || said === null) return {}
  const isEntry = (entry: unknown): entry is PresenceEntry => typeof (entry as PresenceEntry | null)?.presence_ref === 'string'
  return Object.fromEntries(Object.entries(said).flatMap(([user, entries]) => (Array.isArray(entries) ? [[user, entries.filter(isEntry)]] : [])))
}

function merged(state: PresenceState, joins: PresenceState, leaves: PresenceState): PresenceState {
  const byRef = new Map<string, [user: string, entry: PresenceEntry]>()
  for (const one of entriesOf(state)) byRef.set(one[1].presence_ref, one)
  for (const [, { presence_ref }] of entriesOf(leaves)) byRef.delete(presence_ref)
  for (const one of entriesOf(joins)) byRef.set(one[1].presence_ref, one)
  const next: PresenceState = {}
  for (const [user, entry] of byRef.values()) (next[user] ??= []).push(entry)
  return next
}

function entriesOf(state: PresenceState): [user: string, entry: PresenceEntry][] {
  return Object.entries(state).flatMap(([user, entries]) => entries.map((entry): [string, PresenceEntry] => [user, entry]))
}
