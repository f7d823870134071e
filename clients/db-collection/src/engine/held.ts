// Mutations that wait for an upload. They have no number until it is over, so that the device's sequence has no gap and others pass them.
import { blobsIn } from '../protocol/blob'
import { isPending, type Op } from './op'

/** What the outbox has to know of the blobs that this device has. */
export interface BlobGate {
  /** Whether a blob is here and not yet at the server. */
  isUnsent(sha256: string): boolean
  /** The server lacks a blob: uploads it anew. False where its bytes are not here, or the server goes on lacking it. */
  resend(sha256: string): boolean
}

/** A device without blobs. */
export const NO_BLOBS: BlobGate = { isUnsent: () => false, resend: () => false }

/** Whether an op waits for an upload, or for an op that does. */
export function isHeld(op: Op): boolean {
  return isPending(op) && op.number === 0
}

/** Finds, in the outbox's order, the ops that wait for uploads. */
export class Holding {
  readonly ids = new Set<string>()
  readonly #rows = new Set<string>()

  constructor(private readonly gate: BlobGate) {}

  /** The ops of an outbox that wait, whatever number they have. */
  static of(ops: readonly Op[], gate: BlobGate): Holding {
    const holding = new Holding(gate)
    for (const op of ops) if (isPending(op) && holding.holds(op)) holding.add(op)
    return holding
  }

  /** Whether an op that comes next waits: it names a blob that is not sent, or depends on one that waits, or writes a row of such a one. */
  holds({ args, dependsOn, effects }: Pick<Op, 'args' | 'dependsOn' | 'effects'>): boolean {
    return [...blobsIn(args)].some((sha256) => this.gate.isUnsent(sha256)) || dependsOn.some((id) => this.ids.has(id)) || effects.some((effect) => this.#rows.has(rowOf(effect)))
  }

  add({ id, effects }: Op): void {
    this.ids.add(id)
    for (const effect of effects) this.#rows.add(rowOf(effect))
  }
}

function rowOf({ table, key }: { table: string; key: string }): string {
  return JSON.stringify([table, key])
}
