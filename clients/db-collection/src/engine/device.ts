// What a device remembers beside rows and outbox, and the names under which the store keeps it.
import { newId as uuid } from '../platform'
import { countOf } from '../protocol/number'
import { jsonOf } from '../protocol/wire'
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
  /** The buckets on demand that are asked for, by name. */
  demand: Readonly<Record<string, Demanded>>
  /** The rules of which buckets are still to come. */
  laterRules: readonly string[]
}

/** A bucket on demand. */
export interface Demanded {
  /** Until when it is asked for, in ms since 1970. */
  untilMs: number
  /** Its rows are here. */
  complete: boolean
}

/** Reads it; what was never written starts as new. */
export function readDevice({ cursor = '', clientID, nextNumber, nextSeq, complete, demand, laterRules, ...meta }: Record<string, string>, newId: () => string): Device {
  const { epoch, hlc, node, user, schemaHash } = meta
  return {
    cursor,
    epoch,
    clientID: clientID ?? newId(),
    nextNumber: countOf(Number(nextNumber)) || 1,
    nextSeq: countOf(Number(nextSeq)) || 1,
    hlc,
    node: [node, newId().replaceAll('-', '')].find(isNode) ?? uuid().replaceAll('-', ''),
    user,
    schemaHash,
    complete: complete === '1',
    demand: (jsonOf(demand) ?? {}) as Device['demand'],
    laterRules: (jsonOf(laterRules) ?? []) as string[],
  }
}

/** All of it, as a part of a batch. It is a few hundred bytes: which of it changed is not worth asking. */
export function writeDevice(device: Device): NonNullable<Batch['meta']> {
  const text = (value: Device[keyof Device]) => (value === undefined ? null : typeof value === 'object' ? JSON.stringify(value) : String(typeof value === 'boolean' ? Number(value) : value))
  return { format: FORMAT, ...Object.fromEntries(Object.entries(device).map(([name, value]) => [name, text(value)])) }
}

/** What a server takes for a clock's node; a stamp with another would be refused with its mutation. */
function isNode(text: string | undefined): boolean {
  return text !== undefined && /^[0-9a-f]{32}$/.test(text)
}
