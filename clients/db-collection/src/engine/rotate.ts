// A new identity for the device's sequence, when the server's memory of the old one is lost or another's.
import type { Device } from './device'
import type { Op } from './op'

/**
 * Gives the device a fresh `clientID` and numbers all that the rows do not show yet from 1, in order.
 *
 * What an earlier sequence delivered is delivered again: its `clientMutationId` makes that harmless where the server remembers,
 * and necessary where it was restored from a backup. Parked ops need no number.
 */
export function rotated(device: Device, ops: readonly Op[], clientID: string): { device: Device; ops: Op[] } {
  let number = 1
  const renumbered = ops.map((op): Op => {
    if (op.state === 'rejected') return op
    return { ...op, clientID, number: number++, state: 'waiting', covered: false }
  })
  return { device: { ...device, clientID, nextNumber: number }, ops: renumbered }
}
