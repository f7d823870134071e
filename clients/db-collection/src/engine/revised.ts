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
    // One that waits is sent again: its answer is the result that it has then.
    if (status === 'outOfOrder' || was === 'waiting') continue
    let news: Pick<Revised, 'status' | 'code' | 'error'> = { status: 'applied' }
    if (status === 'applied' || status === 'duplicate') {
      // What the device does not know of may never have been refused.
      if (was !== 'rejected') continue
      const { refusal: _, ...again } = known!
      ops = ops.filter((one) => one !== op)
      next.set(id, { seq: again.seq, ...(again.args !== null && { op: { ...again, state: 'applied', covered: true } }) })
    } else {
      news = { status, code, error }
      const refusal = { status, code, error }
      if (was === 'rejected') {
        ops = ops.map((one) => (one === op ? { ...one, refusal } : one))
        continue
      }
      const { seq = 0 } = fate ?? {}
      const fallen = refused(known ?? { seq, id, name: '', args: null, hlc: '', dependsOn: [], effects: [], clientID: '', number: 0, state: 'rejected', covered: true }, refusal)
      if (known) ops = [...ops.filter((one) => one !== op), fallen].sort((a, b) => a.seq - b.seq)
      next.delete(id)
      if (!known) next.set(id, { seq, refused: fallen })
    }
    const { name, args = null } = known ?? {}
    revised = [...revised.filter((one) => one.id !== id), { id, ...(name && { name }), ...(args !== null && { args }), ...news }].slice(-MAX_REVISED)
  }
  return { ops, fates: next, revised }
}
