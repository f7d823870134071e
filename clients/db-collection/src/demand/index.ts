// Buckets on demand: what this tab is subscribed to. Whoever holds the store keeps each for its rule's time, and is told again before that is over.
import type { NizhalClient } from '../client'
import { every, type Timer } from '../platform'
import { bucketOf, keyText } from '../protocol/key'
import type { Json } from '../protocol/wire'

/** A subscription to a bucket on demand. */
export interface Subscription {
  /** Its name, `rule:value`. */
  readonly bucket: string
  /** Resolves when the bucket's rows are here. One that is not this user's has none, and counts as here when the server was asked for it. */
  readonly ready: Promise<void>
  /** Gives it up: when nobody is subscribed, the device keeps the bucket for the time of its rule. */
  close(): void
}

/** The longest name of a bucket, in bytes. */
const MAX_NAME_BYTES = 2048

/** What each client of this tab is subscribed to. */
const HELD = new WeakMap<NizhalClient, Map<string, { count: number; timer: Timer }>>()

/**
 * Subscribes to a bucket of a rule on demand: its rows come with the next pull, and stay until the rule's time has passed since the last
 * subscription was closed. `params` has one value for each parameter of the rule, in their order. Throws where they do not fit.
 */
export function subscribeBucket(client: NizhalClient, rule: string, params: readonly Json[]): Subscription {
  const known = client.schema?.onDemand?.[rule]
  if (!known) throw new TypeError(`rule ${rule} is not on demand, or not known: write #[on_demand(ttl = "…")] above it, and give the client the schema that \`nizhal gen ts\` writes`)
  if (known.params.length !== params.length) throw new TypeError(`rule ${rule} has ${known.params.length} parameters, and there are ${params.length} values`)
  const bucket = bucketOf(rule, params.map((param, at) => keyText(param, known.params[at]!.type)))
  if (encodeURI(bucket).replace(/%../g, '.').length > MAX_NAME_BYTES) throw new TypeError(`the bucket's name is longer than ${MAX_NAME_BYTES} bytes`)
  const ttlMs = known.ttlSeconds * 1000
  const keep = () => client.keepBucket(bucket, client.environment.nowMs() + ttlMs)
  const buckets = heldBy(client)
  // Told at half of its time, so that a device that dies keeps it for that long at least.
  const held = buckets.get(bucket) ?? { count: 0, timer: every(ttlMs / 2, () => void keep().catch(() => undefined)) }
  buckets.set(bucket, held)
  held.count += 1
  let stop: () => void = () => undefined
  const here = new Promise<void>((resolve) => {
    const look = () => client.buckets.subscribed.some((one) => one.bucket === bucket && one.complete) && resolve()
    stop = client.onStatus(look)
    look()
  })
  const ready = keep().then((isKept) => {
    if (!isKept) throw new Error('a device subscribes to at most 1,000 buckets; those that were given up count until their time is over')
    return here
  })
  ready.finally(() => stop()).catch(() => undefined)
  let isOpen = true
  const close = () => {
    if (!isOpen) return
    isOpen = false
    if (--held.count > 0) return
    held.timer.stop()
    buckets.delete(bucket)
    void keep().catch(() => undefined)
  }
  return { bucket, ready, close }
}

function heldBy(client: NizhalClient): Map<string, { count: number; timer: Timer }> {
  const known = HELD.get(client)
  if (known) return known
  const held = new Map<string, { count: number; timer: Timer }>()
  HELD.set(client, held)
  client.onClose(() => held.forEach(({ timer }) => timer.stop()))
  return held
}
