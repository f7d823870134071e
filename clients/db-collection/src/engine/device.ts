// What a device remembers beside rows and outbox, and the names under which the store keeps it.
import { newId as uuid } from '../platform'
import { countOf } from '../protocol/number'
import type { Schema } from '../protocol/schema'
import type { Batch } from '../store/store'

/** The layout of the store; another one is emptied of rows, its outbox kept. */
export const FORMAT = '1'

/** The device's own memory. */
export interface Device {
  cursor: string
  epoch: string | undefined
  /** Who this device is in the server's sequences; replaced when the server's memory of it cannot be trusted. */
  clientID: string
  /** The next `mutationID`. */
  nextNumber: number
  nextSeq: number
  hlc: string | undefined
  /** 32 hex digits: the clock's node. */
  node: string
  /** To whom rows and outbox belong. */
  user: string | undefined
  schemaHash: string | undefined
  /** The last page that was the end of a snapshot has been applied. */
  complete: boolean
}

/** Reads it; what was never written starts as new. */
export function readDevice(meta: Record<string, string>, newId: () => string): Device {
  return {
    cursor: meta['cursor'] ?? '',
    epoch: meta['epoch'],
    clientID: meta['clientID'] ?? newId(),
    nextNumber: countOf(Number(meta['nextNumber'])) || 1,
    nextSeq: countOf(Number(meta['nextSeq'])) || 1,
    hlc: meta['hlc'],
    node: [meta['node'], newId().replaceAll('-', '')].find(isNode) ?? uuid().replaceAll('-', ''),
    user: meta['user'],
    schemaHash: meta['schemaHash'],
    complete: meta['complete'] === '1',
  }
}

/** All of it, as a part of a batch. It is a few hundred bytes: which of it changed is not worth asking. */
export function writeDevice(device: Device): NonNullable<Batch['meta']> {
  return {
    format: FORMAT,
    cursor: device.cursor,
    epoch: device.epoch ?? null,
    clientID: device.clientID,
    nextNumber: String(device.nextNumber),
    nextSeq: String(device.nextSeq),
    hlc: device.hlc ?? null,
    node: device.node,
    user: device.user ?? null,
    schemaHash: device.schemaHash ?? null,
    complete: device.complete ? '1' : '0',
  }
}

/** What a server takes for a clock's node; a stamp with another would be refused with its mutation. */
function isNode(text: string | undefined): boolean {
  return text !== undefined && /^[0-9a-f]{32}$/.test(text)
}

/** The tables as the store remembers them; what cannot be read is asked for again. */
export function keptSchema(kept: string | undefined): Schema | undefined {
  try {
    return kept === undefined ? undefined : (JSON.parse(kept) as Schema)
  } catch {
    return undefined
  }
}
