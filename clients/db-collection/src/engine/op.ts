// One entry of the outbox, from the tap on the screen to the server's answer.
import type { Json, Row } from '../protocol/wire'

/** What a mutation does to one row, as the device expects it; columns it does not name stay as the server has them. */
export type Effect =
  | { table: string; key: string; kind: 'insert'; row: Row }
  | { table: string; key: string; kind: 'update'; patch: Row }
  | { table: string; key: string; kind: 'delete' }

/** A mutation on its way. */
export interface Op {
  /** The device's own order: counted, not timed, since clocks go back. */
  seq: number
  /** `clientMutationId`: what makes a second delivery harmless. */
  id: string
  name: string
  args: Json
  hlc: string
  dependsOn: string[]
  effects: Effect[]
  clientID: string
  /** `mutationID` in the sequence of `clientID`. */
  number: number
  /** `waiting` for an answer, `applied` by the server, or parked as `rejected`. */
  state: 'waiting' | 'applied' | 'rejected'
  /** Whether the rows that this device holds show its effects already. */
  covered: boolean
  /** Why it was refused. */
  refusal?: { status: 'rejected' | 'forbidden' | 'cancelled'; code: string; error: string }
  serverId?: string
}

/** Whether the op's effects are laid over the rows. */
export function isShown(op: Op): boolean {
  return op.state !== 'rejected' && !op.covered
}

/** Whether the server's final answer is still to come. */
export function isPending(op: Op): boolean {
  return op.state === 'waiting'
}
