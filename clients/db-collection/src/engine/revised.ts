// Replayed mutations whose result changed after they were answered: the server ran them again behind one that was made before them and
// arrived later.
import type { Json, MutationResult } from '../protocol/wire'
import { refused } from './fallen'
import type { Fate } from './fate'
import type { Op, Refusal } from './op'

/** A mutation that got another result than it was answered with. */
export interface Revised {
  id: string
  /** The mutator, and its arguments, as far as the device still has them. */
  name?: string
  args?: Json
  /** `applied`, and it is no dead letter any more; else it is one now, if the device has it. */
  status: 'applied' | Refusal['status']
  /** Why it does not apply any more, for machines and for people. */
  code?: string
  error?: string
}

/** How many results that changed are kept to be told. */
const MAX_REVISED = 1000

/** What a device knows of its mutations. */
export interface Known {
  ops: readonly Op[]
  /** Of those that left the outbox. */
  fates: ReadonlyMap<string, Fate>
  revised: readonly Revised[]
}

/** What the server's news make of it: ops parked and unparked, fates that changed, and what is to be told. The same a second time changes nothing. */
export function revise({ ops, fates, revised }: Known, said: readonly MutationResult[]): Known {
  if (said.length === 0) return { ops, fates, revised }
  const next = new Map(fates)
  for (const { clientMutationId: id, status, code = status, error = '' } of said) {
    const op = ops.find((one) => one.id === id)
    const fate = next.get(id)
    const known = op ?? fate?.op ?? fate?.refused
    const was = op?.state ?? (fate && (fate.refused ? 'rejected' : 'applied'))
    const applies = status === 'applied' || status === 'duplicate'
    // One that waits is sent again: its answer is the result that it has then. What the device does not know of may never have been refused.
    if (status === 'outOfOrder' || was === 'waiting' || (applies && was !== 'rejected')) continue
    if (applies) {
      const { refusal: _, ...again } = known!
      ops = ops.filter((one) => one !== op)
      next.set(id, { seq: again.seq, ...(again.args !== null && { op: { ...again, state: 'applied', covered: true } }) })
    } else {
      const fallen = refused(known ?? ({ id, seq: fate?.seq ?? 0, name: '', args: null, hlc: '', dependsOn: [], effects: [] } as Partial<Op> as Op), { status, code, error })
      if (op || (known && was !== 'rejected')) ops = [...ops.filter((one) => one !== op), fallen].sort((a, b) => a.seq - b.seq)
      // That is no news.
      if (was === 'rejected') continue
      next.delete(id)
      if (!known) next.set(id, { seq: fallen.seq, refused: fallen })
    }
    const { name, args = null } = known ?? {}
    revised = [...revised.filter((one) => one.id !== id), { id, ...(name && { name }), ...(args !== null && { args }), ...(applies ? { status: 'applied' as const } : { status, code, error }) }].slice(-MAX_REVISED)
  }
  return { ops, fates: next, revised }
}
