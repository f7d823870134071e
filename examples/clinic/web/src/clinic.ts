// One phone of the clinic: its own store, its own client, the collections that the screens read.
import type { NizhalClient } from '@nizhal/db-collection'
import { createCollection } from '@tanstack/react-db'
import { nameOf, openPhone } from '../../../web/phone'
import { clinicsCollection, createClient, createMutators, dosesCollection, slotsCollection, stockCollection } from './nizhal'

export type Clinic = Awaited<ReturnType<typeof open>>

/** The clinic of the seed. */
export const CLINIC = 'clinic-1'

/** Opens the phone of this nurse. */
export async function open(who: string) {
  const phone = await openPhone('clinic', who, () => new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' }), createClient)
  const { client } = phone
  const options = { syncRule: 'myClinics' }
  return {
    ...phone,
    clinics: createCollection(clinicsCollection(client, options)),
    slots: createCollection(slotsCollection(client, options)),
    stock: createCollection(stockCollection(client, options)),
    doses: createCollection(dosesCollection(client, options)),
    mutators: mutatorsOf(client, who),
  }
}

/** The key of a row whose key has two columns. */
const keyOf = (...parts: string[]) => JSON.stringify(parts)

/** What each write will probably do; in which order the writes of both phones count, the server says. */
function mutatorsOf(client: NizhalClient, who: string) {
  return createMutators(client, {
    async bookSlot(tx, { clinicId, time, patient }) {
      const slot = await tx.get('slots', keyOf(clinicId, time))
      // Then the write waits without effect: the server decides who was first.
      if (slot?.nurse) throw new Error(`this slot was taken by ${slot.nurse}`)
      tx.update('slots', keyOf(clinicId, time), { patient, booked_by: who, nurse: nameOf(who), booked_at: tx.now })
    },
    freeSlot: (tx, { clinicId, time }) => tx.update('slots', keyOf(clinicId, time), { patient: null, booked_by: null, nurse: null, booked_at: null }),
    async receiveDoses(tx, { clinicId, vaccine, doses }) {
      const stock = await tx.get('stock', keyOf(clinicId, vaccine))
      if (stock) tx.update('stock', keyOf(clinicId, vaccine), { doses: String(Number(stock.doses) + doses) })
      else tx.insert('stock', { clinic_id: clinicId, vaccine, doses: String(doses) })
    },
    async reserveDose(tx, { clientId, clinicId, vaccine, patient }) {
      const left = Number((await tx.get('stock', keyOf(clinicId, vaccine)))?.doses ?? 0)
      if (left < 1) throw new Error(`no dose of ${vaccine} is left`)
      tx.update('stock', keyOf(clinicId, vaccine), { doses: String(left - 1) })
      tx.insert('doses', { id: clientId, clinic_id: clinicId, vaccine, patient, nurse: nameOf(who), reserved_at: tx.now })
    },
  })
}
