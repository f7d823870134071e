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
  /** `mutationID` in the sequence of `clientID`; 0 while it waits for an upload. */
  number: number
  /** `waiting` for an answer, `applied` by the server, or parked as `rejected`. */
  state: 'waiting' | 'applied' | 'rejected'
  /** Whether the rows that this device holds show its effects already. */
  covered: boolean
  /** Why it was parked. */
  refusal?: Refusal
  serverId?: string
  /** Set while the server's answers decide nothing about it. */
  doubt?: Doubt
  /** The server once said that it applied it: a replay whose answer is forgotten is no news. */
  wasApplied?: boolean
}

/** Why a mutation is parked: `undecided` when no answer ever said what became of it, so that it may have been applied. */
export interface Refusal {
  status: 'rejected' | 'forbidden' | 'cancelled' | 'undecided'
  code: string
  error: string
}

/** What is known of a mutation that the server answers with failures. */
export interface Doubt {
  /** Failures in a row when it was sent alone. */
  tries: number
  /** Others go before it. */
  aside: boolean
  /** The server has decided others since: the fault is not the server's as a whole. */
  proven: boolean
  code: string
  error: string
}

/** Whether the op's effects are laid over the rows. */
export function isShown(op: Op): boolean {
  return op.state !== 'rejected' && !(op.state === 'applied' && op.covered)
}

/** Whether the server's final answer is still to come. */
export function isPending(op: Op): boolean {
  return op.state === 'waiting'
}
