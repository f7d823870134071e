// What a push's answers make of the outbox.
import type { MutationResult } from '../protocol/wire'
import { proven } from './doubt'
import { cancelled, refused } from './fallen'
import { isPending, type Op } from './op'

/**
 * The ops as answered; whether the server's sequence and ours have parted; and whether the ops have gaps in their numbers, since some that
 * depend on a refused one were cancelled here. A server of wire 2 would cancel them too; one that knows no `dependsOn` would run them.
 */
export function answered(before: readonly Op[], results: readonly MutationResult[]): { ops: readonly Op[]; parted: boolean; gaps: boolean } {
  const byId = new Map(results.map((result) => [result.clientMutationId, result]))
  const first = before.find((op) => isPending(op) && byId.has(op.id))
  let parted = false
  const ops = before.map((op): Op => {
    const result = isPending(op) ? byId.get(op.id) : undefined
    switch (result?.status) {
      case 'applied':
      case 'duplicate':
        return { ...decided(op), state: 'applied', ...(result.serverId !== undefined && { serverId: result.serverId }) }
      case 'rejected':
      case 'forbidden':
      case 'cancelled': {
        // The sequence is another's, or its number went to another mutation: this one never ran.
        if (result.code === 'client_id_taken' || result.code === 'number_used') {
          parted = true
          return op
        }
        // Its answer is too old to be known; that it was applied, the server has said before.
        if (result.code === 'expired' && op.wasApplied) return { ...decided(op), state: 'applied' }
        return refused(op, { status: result.status, code: result.code ?? result.status, error: result.error ?? '' })
      }
      case 'outOfOrder':
        // Behind another of the batch is no news; a gap before the first is: the server knows less than we were told.
        if (op === first && (result.lastMutationId ?? 0) < op.number - 1) parted = true
        return op
      default:
        return op
    }
  })
  const fallen = ops.filter((op, at) => op.state === 'rejected' && isPending(before[at]!))
  const left = cancelled(ops, fallen, 'refused')
  return { ops: proven(before, [...left]), parted, gaps: left !== ops }
}

/** There is no more doubt about it. */
function decided({ doubt: _, ...op }: Op): Op {
  return op
}
