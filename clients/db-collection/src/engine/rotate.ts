// A new identity for the device's sequence, when the server's memory of the old one is lost or another's.
import type { Device } from './device'
import { inOrder } from './doubt'
import { Holding, type BlobGate } from './held'
import type { Op } from './op'

/**
 * Gives the device a fresh `clientID` and numbers all that the rows do not show yet from 1, in the order to send them in.
 *
 * What an earlier sequence delivered is delivered again: its `clientMutationId` makes that harmless where the server remembers,
 * and necessary where it was restored from a backup. Parked ops need no number, and what waits for an upload has none yet.
 */
export function rotated(device: Device, ops: readonly Op[], clientID: string, gate: BlobGate): { device: Device; ops: Op[] } {
  const sent = ops.filter(({ state }) => state !== 'rejected').map((op): Op => (op.state === 'applied' ? { ...op, state: 'waiting', covered: false, wasApplied: true } : { ...op, covered: false }))
  const held = Holding.of(sent, gate).ids
  const numbers = new Map(inOrder(sent.filter(({ id }) => !held.has(id))).map(({ seq }, at) => [seq, at + 1]))
  const bySeq = new Map(sent.map((op) => [op.seq, op]))
  const renumbered = ops.map((op): Op => {
    const one = bySeq.get(op.seq)
    return one ? { ...one, clientID, number: numbers.get(op.seq) ?? 0 } : op
  })
  return { device: { ...device, clientID, nextNumber: numbers.size + 1 }, ops: renumbered }
}
