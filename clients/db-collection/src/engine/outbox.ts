// The writes that wait for the server's word, or for the user's: made, answered, put in another order, parked, sent again.
import { blobsIn } from '../protocol/blob'
import { tick } from '../protocol/hlc'
import type { Json, MutationResult } from '../protocol/wire'
import { answered } from './answer'
import type { LocalCopy } from './copy'
import { aside, doubted, isOutOfOrder, type Failure } from './doubt'
import { parked } from './fallen'
import type { Outcome } from './fate'
import { Holding, isHeld } from './held'
import { isPending, type Effect, type Op, type Refusal } from './op'
import type { Revised } from './revised'

/** A mutation as its caller wants it. */
export interface Draft {
  /** Made by the caller when the same write may come twice, as from a tab that asks a new leader. */
  id?: string
  name: string
  args: Json
  effects: Effect[]
  dependsOn?: string[]
}

/** The outbox of one user on one device. Each step is one transaction. */
export class Outbox {
  constructor(private readonly copy: LocalCopy) {}

  /** The outbox changed. */
  get changed(): LocalCopy['changed'] {
    return this.copy.changed
  }

  get ops(): readonly Readonly<Op>[] {
    return this.copy.ops
  }

  get pending(): Op[] {
    return this.copy.ops.filter(isPending)
  }

  get rejected(): Op[] {
    return this.copy.ops.filter(({ state }) => state === 'rejected')
  }

  get revised(): readonly Revised[] {
    return this.copy.revised
  }

  /** What became of a write, as far as this device knows. */
  outcome(id: string): Outcome {
    const op = this.copy.ops.find((one) => one.id === id)
    if (!op) return this.copy.fate(id)
    return op.state === 'rejected' ? { state: 'rejected', op } : { state: 'pending' }
  }

  /** Writes rows' expected state and the op in one transaction; when this resolves, a crash loses nothing. */
  async mutate(draft: Draft): Promise<Op> {
    return this.copy.queue.run(async () => {
      const known = draft.id === undefined ? undefined : this.copy.ops.find(({ id }) => id === draft.id)
      if (known) return known
      const { device, environment } = this.copy
      const hlc = tick(device.hlc, environment.nowMs(), device.node)
      const made: Op = {
        seq: device.nextSeq,
        id: draft.id ?? environment.newId(),
        name: draft.name,
        args: draft.args,
        hlc,
        dependsOn: this.#dependencies(draft),
        effects: draft.effects.map((effect) => ({ ...effect, key: this.copy.key(effect.table, effect.key) })),
        clientID: device.clientID,
        number: device.nextNumber,
        state: 'waiting',
        covered: false,
      }
      const op = this.#numbered(made)
      await this.copy.add(op, { ...device, hlc, nextSeq: op.seq + 1, nextNumber: device.nextNumber + (op.number > 0 ? 1 : 0) })
      return op
    })
  }

  /** Takes the answers of a push. Returns whether the server's sequence and ours have parted. */
  async applyResults(results: readonly MutationResult[]): Promise<{ parted: boolean }> {
    return this.copy.queue.run(async () => {
      const { ops, parted, gaps } = answered(this.copy.ops, results)
      // The numbers of those that were cancelled here were never used: those behind them move up, in a sequence of their own.
      await (gaps ? this.copy.rotate(ops) : this.copy.settleOps(ops))
      return { parted }
    })
  }

  /** Starts a new sequence for all that waits; see `rotated`. */
  async rotate(): Promise<void> {
    await this.copy.queue.run(() => this.copy.rotate())
  }

  /** Parks one op without the server's word, because it can never be sent; those that depend on it are cancelled. */
  async park(id: string, code: string, error: string, status: Refusal['status'] = 'rejected'): Promise<void> {
    await this.copy.queue.run(() => this.#park(id, { status, code, error }))
  }

  /** Notes that a server's failure was the answer to this op alone. True when it is parked now, since others come through. */
  async doubt(id: string, failure: Failure): Promise<boolean> {
    return this.copy.queue.run(async () => {
      const { ops, parks } = doubted(this.copy.ops, id, failure)
      if (parks) await this.#park(id, { status: 'undecided', code: failure.code, error: failure.message })
      else await this.copy.settle({}, this.copy.device, ops)
      return parks
    })
  }

  /** Whether something waits that can go before what is in doubt. */
  get canGoAround(): boolean {
    return isOutOfOrder(aside(this.copy.ops))
  }

  /** Lets others go before what is in doubt, in a sequence of their own. True when the order is another now. */
  async makeWay(): Promise<boolean> {
    return this.copy.queue.run(async () => {
      const ops = aside(this.copy.ops)
      if (!isOutOfOrder(ops)) return false
      await this.copy.rotate(ops)
      return true
    })
  }

  /** Gives numbers to the ops whose uploads are over. */
  async release(): Promise<void> {
    if (!this.copy.ops.some(isHeld)) return
    await this.copy.queue.run(async () => {
      const { ids } = Holding.of(this.copy.ops, this.copy.gate)
      let { clientID, nextNumber } = this.copy.device
      const ops = this.copy.ops.map((op) => (isHeld(op) && !ids.has(op.id) ? { ...op, clientID, number: nextNumber++ } : op))
      if (nextNumber > this.copy.device.nextNumber) await this.copy.settleOps(ops, { ...this.copy.device, nextNumber })
    })
  }

  /**
   * The server lacks blobs that the first of these ops names, or one behind it: these, or, where it does not say which, any that it names.
   * The op waits while they are uploaded anew, or is parked where that cannot be.
   */
  async lacks(ids: readonly string[], blobs: readonly string[], error: string): Promise<void> {
    await this.copy.queue.run(async () => {
      const left = this.copy.ops.filter((op) => isPending(op) && ids.includes(op.id))
      const namesOf = ({ args }: Op) => [...blobsIn(args)].filter((sha256) => blobs.length === 0 || blobs.includes(sha256))
      const op = left.find((one) => namesOf(one).length > 0) ?? left[0]
      if (!op) return
      const named = namesOf(op)
      if (named.length > 0 && named.every((sha256) => this.copy.gate.resend(sha256))) await this.copy.rotate()
      else await this.#park(op.id, { status: 'rejected', code: 'blob_missing', error })
    })
  }

  /** Forgets a parked op for good. Returns false when there is none of this id. */
  async discard(id: string): Promise<boolean> {
    return this.copy.queue.run(async () => {
      const op = this.rejected.find((one) => one.id === id)
      if (op) await this.copy.drop(op)
      return op !== undefined
    })
  }

  /** Tells no more of a result that changed. Returns false when there is none such. */
  async confirmRevised(revised: Pick<Revised, 'id' | 'status'>): Promise<boolean> {
    return this.copy.queue.run(() => this.copy.confirm(revised))
  }

  /** Sends a parked op again, at the end of the queue: as a new mutation, or as the same one when nobody knows what became of it. */
  async retry(id: string): Promise<Op | undefined> {
    const op = this.rejected.find((one) => one.id === id)
    if (!op) return undefined
    if (op.refusal?.status === 'undecided') return this.#requeue(id)
    const { name, args, effects } = op
    const again = await this.mutate({ name, args, effects, dependsOn: [] })
    await this.discard(id)
    return again
  }

  async #park(id: string, refusal: Refusal): Promise<void> {
    const ops = parked(this.copy.ops, id, refusal)
    const fallen = this.copy.ops.filter((op, at) => op !== ops[at])
    // Their numbers were never used: those behind them move up, in a sequence of their own.
    if (fallen.length > 0) await (fallen.every(isHeld) ? this.copy.settleOps(ops) : this.copy.rotate(ops))
  }

  async #requeue(id: string): Promise<Op | undefined> {
    return this.copy.queue.run(async () => {
      const { clientID, nextNumber } = this.copy.device
      const again = (op: Op): Op => {
        const { refusal: _, ...rest } = op
        return this.#numbered({ ...rest, state: 'waiting', covered: false, dependsOn: [], clientID, number: nextNumber })
      }
      const ops = this.copy.ops.map((op) => (op.id === id && op.state === 'rejected' ? again(op) : op))
      const op = ops.find((one) => one.id === id)
      await this.copy.settleOps(ops, { ...this.copy.device, nextNumber: nextNumber + (op?.number === nextNumber ? 1 : 0) })
      return op
    })
  }

  /** An op that comes next, without its number where it waits for an upload. */
  #numbered(op: Op): Op {
    const holding = new Holding(this.copy.gate)
    for (const before of this.copy.ops) if (isHeld(before)) holding.add(before)
    return holding.holds(op) ? { ...op, number: 0 } : op
  }

  /** The earlier ops that made the rows this one writes to: when one is refused, this one has nothing to stand on. */
  #dependencies({ effects, dependsOn }: Draft): string[] {
    const on = new Set(dependsOn)
    for (const { table, key } of effects) {
      for (const op of this.copy.screen.over(table, key)) {
        if (isPending(op) && op.effects.some((it) => it.kind === 'insert' && it.table === table && it.key === key)) on.add(op.id)
      }
    }
    return [...on]
  }
}
