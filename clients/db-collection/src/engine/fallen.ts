// Mutations that fall: one that was refused or parked, and with it all that depend on it.
import { dependants } from './doubt'
import { isPending, type Op, type Refusal } from './op'

/** The op as it is when it is refused: nothing is in doubt about it any more. */
export function refused({ doubt: _, ...op }: Op, refusal: Refusal): Op {
  return { ...op, state: 'rejected', refusal }
}

/** The ops after one of them was parked, with those that depend on it cancelled; the same where it does not wait. */
export function parked(ops: readonly Op[], id: string, refusal: Refusal): readonly Op[] {
  const op = ops.find((one) => one.id === id && isPending(one))
  if (!op) return ops
  return cancelled(ops.map((one) => (one === op ? refused(op, refusal) : one)), [op], `parked: ${refusal.error}`)
}

/** The ops after these were refused: those that depend on them and wait are cancelled; the same where there are none. */
export function cancelled(ops: readonly Op[], fallen: readonly Op[], how: string): readonly Op[] {
  const causes = new Map<string, Op>()
  for (const op of fallen) for (const id of dependants(ops, [op])) if (!causes.has(id)) causes.set(id, op)
  const cancels = (op: Op) => isPending(op) && causes.has(op.id)
  if (!ops.some(cancels)) return ops
  return ops.map((op) => (cancels(op) ? refused(op, { status: 'cancelled', code: 'cancelled', error: `it depends on ${causes.get(op.id)!.name}, which is ${how}` }) : op))
}
