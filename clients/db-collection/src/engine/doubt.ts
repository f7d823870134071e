// A mutation that the server answers with failures, again and again: it is sent alone, then last, then parked. Nothing waits behind it.
import { isPending, type Op } from './op'

/** Failures in a row of a mutation that was sent alone, before others go before it, and again before it is parked. */
export const MAX_TRIES = 3

/** A failure that decides nothing about the mutation it was the answer to. */
export interface Failure {
  code: string
  message: string
  /** The server said it; a connection that broke says nothing, and parks nothing. */
  answered: boolean
}

/** The ops after a failure of one that was sent alone, and whether it has to be parked. */
export function doubted(ops: readonly Op[], id: string, { code, message, answered }: Failure): { ops: Op[]; parks: boolean } {
  let parks = false
  const next = ops.map((op) => {
    if (op.id !== id || !isPending(op)) return op
    const { aside = false, proven = false, tries = 0 } = op.doubt ?? {}
    const doubt = { tries: tries + 1, aside, proven, code, error: message }
    parks = answered && aside && proven && doubt.tries >= MAX_TRIES
    return { ...op, doubt }
  })
  return { ops: next, parks }
}

/** Whether a screen should say that this op does not come through. */
export function isStuck({ doubt }: Op): boolean {
  return doubt !== undefined && (doubt.aside || doubt.tries >= MAX_TRIES)
}

/** The ops with those set aside that have failed often enough, where something else can go before them. */
export function aside(ops: readonly Op[]): readonly Op[] {
  const failing = ops.filter((op) => isPending(op) && op.doubt && !op.doubt.aside && op.doubt.tries >= MAX_TRIES)
  const held = dependants(ops, [...failing, ...ops.filter(isAside)])
  if (failing.length === 0 || !ops.some((op) => isPending(op) && op.number > 0 && !held.has(op.id))) return ops
  return ops.map((op) => (failing.includes(op) ? { ...op, doubt: { ...op.doubt!, aside: true, proven: false, tries: 0 } } : op))
}

/** The ops in the order in which they are to be sent: what is aside, and what depends on it, after the rest. */
export function inOrder(ops: readonly Op[]): Op[] {
  const held = dependants(ops, ops.filter(isAside))
  return [...ops.filter((op) => !held.has(op.id)), ...ops.filter((op) => held.has(op.id))]
}

/** Whether something that could be sent has a number behind what is aside. */
export function isOutOfOrder(ops: readonly Op[]): boolean {
  const numbers = inOrder(ops.filter((op) => isPending(op) && op.number > 0)).map(({ number }) => number)
  return numbers.some((number, at) => at > 0 && number < numbers[at - 1]!)
}

/** Notes that the server has decided something, with those that were in doubt. */
export function proven(before: readonly Op[], after: Op[]): Op[] {
  if (!after.some((op, at) => isPending(before[at]!) && !isPending(op))) return after
  return after.map((op) => (isAside(op) && !op.doubt!.proven ? { ...op, doubt: { ...op.doubt!, proven: true, tries: 0 } } : op))
}

/** These ops and all that name them in `dependsOn`, through others too; by id. */
export function dependants(ops: readonly Op[], of: readonly Op[]): Set<string> {
  const found = new Set(of.map(({ id }) => id))
  if (found.size === 0) return found
  for (let before = -1; before !== found.size; ) {
    before = found.size
    for (const op of ops) if (isPending(op) && op.dependsOn.some((on) => found.has(on))) found.add(op.id)
  }
  return found
}

function isAside(op: Op): boolean {
  return isPending(op) && op.doubt?.aside === true
}
