// What a page makes of the store: rows put and dropped, and where the device is then.
import { keyOf } from '../protocol/key'
import type { Schema } from '../protocol/schema'
import type { Page } from '../protocol/wire'
import type { Batch, Store } from '../store/store'
import type { Device } from './device'
import type { BlobGate } from './held'
import { isKeyed } from './keyed'
import type { Op } from './op'
import { purged } from './purge'
import { rotated } from './rotate'

/** What a page was asked with: an answer to an older question is not applied. */
export interface Asked {
  cursor: string
  clientID: string
  /** The buckets on demand that were wanted. */
  buckets?: readonly string[] | undefined
}

/** What the page is laid over. */
export interface Copy {
  store: Store
  schema: Schema | undefined
  device: Device
  ops: readonly Op[]
  /** What is known of the device's blobs. */
  gate: BlobGate
  /** A row's key as the store has it. */
  key(table: string, id: string): string
  newId(): string
}

/** The page as one batch, with the device and the outbox as they are after it. `asked`: the question that it answers. */
export async function turned(copy: Copy, page: Page, asked: Asked): Promise<{ batch: Batch; device: Device; ops: readonly Op[] }> {
  const { store, schema } = copy
  const reset = page.cursorReset || asked.cursor === ''
  const batch: Batch = { reset, put: [], drop: [...page.tombstoned, ...page.removed].map(({ table, id }) => ({ table, key: copy.key(table, id) })) }
  let cursor = page.cursor
  if (!reset && page.removedBuckets.length > 0) {
    const { gone, ambiguous } = await purged(store, schema, page.removedBuckets)
    batch.drop!.push(...gone)
    // What another held bucket may still show cannot be told from here: all of it is asked for again.
    if (ambiguous) cursor = ''
  }
  for (const { table, rows } of page.changed) {
    const described = schema?.tables[table]
    for (const row of rows) if (isKeyed(table, described, row)) batch.put!.push({ table, key: keyOf(described, row), row })
  }
  let device: Device = { ...copy.device, cursor, epoch: page.epoch, complete: !page.hasMore }
  let ops: readonly Op[] = copy.ops.map((op) => (op.clientID === asked.clientID && op.number > 0 && op.number <= page.lastMutationId ? { ...op, covered: true } : op))
  if (copy.device.epoch !== undefined && copy.device.epoch !== page.epoch) {
    // The server lost what it knew of our sequence: the outbox is replayed under a new one.
    ;({ device, ops } = rotated(device, copy.ops, copy.newId(), copy.gate))
  }
  if (page.complete || !page.hasMore) {
    const { laterRules = [] } = page
    const isHere = (bucket: string) => !laterRules.some((rule) => bucket.startsWith(`${rule}:`))
    const demand = Object.entries(device.demand).map(([bucket, one]) => [bucket, asked.buckets?.includes(bucket) ? { ...one, complete: isHere(bucket) } : one])
    device = { ...device, laterRules, demand: Object.fromEntries(demand) as Device['demand'] }
  }
  if (cursor === '') device = { ...device, complete: false }
  return { batch, device, ops }
}
