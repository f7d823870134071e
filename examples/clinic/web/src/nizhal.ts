// Written by `nizhal gen ts` from the contract of clinic 1.0.0. Not to be edited.
import { createNizhalClient, createNizhalMutators } from '@nizhal/db-collection'
import type { MutatorBodies, NizhalClient, NizhalClientOptions, Schema } from '@nizhal/db-collection'
import { nizhalCollectionOptions, type NizhalCollectionConfig } from '@nizhal/db-collection/tanstack'

type Json = null | boolean | number | string | Json[] | { [name: string]: Json }
// A contract need not use every type.
export type { Json }

/** A clinic. Merged by columns, as its name and its clock are tied to nothing else. */
export interface ClinicsRow {
  deleted_at: string | null
  id: string
  name: string
  updated_at: string
  /** How far the clinic's clock is ahead of UTC, in minutes: 330 in Colombo. */
  utc_offset_minutes: number
}

/** A dose that is reserved for a patient. */
export interface DosesRow {
  clinic_id: string
  deleted_at: string | null
  id: string
  /** The name of the nurse who reserved it. */
  nurse: string
  patient: string
  reserved_at: string
  updated_at: string
  vaccine: string
}

/**
 * A time of the day that one patient may have.
 *
 * Two nurses who are offline may both give it away. Each row of theirs is sound by itself; that a slot has one patient ties the two
 * together, so the table is replayed: whoever booked first has the slot, whichever phone was heard first.
 */
export interface SlotsRow {
  booked_at: string | null
  /** The nurse who booked it, by her user id … */
  booked_by: string | null
  clinic_id: string
  deleted_at: string | null
  /** … and by her name. */
  nurse: string | null
  patient: string | null
  /** `09:30`, by the clinic's clock. */
  time: string
  updated_at: string
}

/** How many doses of a vaccine are in the fridge and nobody's: a fold over deliveries and reservations, which never falls below zero. */
export interface StockRow {
  clinic_id: string
  deleted_at: string | null
  doses: string
  updated_at: string
  vaccine: string
}

/** A row of each table. */
export type Tables = {
  clinics: ClinicsRow
  doses: DosesRow
  slots: SlotsRow
  stock: StockRow
}

/** Gives a slot to a patient. The first who books has it. */
export interface BookSlotArgs {
  clinicId: string
  patient: string
  /** `09:30`, by the clinic's clock. */
  time: string
}

/** Gives a slot back. Only the nurse who booked it may. */
export interface FreeSlotArgs {
  clinicId: string
  /** `09:30`, by the clinic's clock. */
  time: string
}

/** Puts a delivery into the fridge. */
export interface ReceiveDosesArgs {
  clinicId: string
  doses: number
  vaccine: string
}

/** Reserves a dose in the fridge for a patient. There is never less than none. */
export interface ReserveDoseArgs {
  /** The id of the dose, made by the device. */
  clientId: string
  clinicId: string
  patient: string
  vaccine: string
}

/** What each mutator takes. */
export type MutatorArgs = {
  bookSlot: BookSlotArgs
  freeSlot: FreeSlotArgs
  receiveDoses: ReceiveDosesArgs
  reserveDose: ReserveDoseArgs
}

/** The tables as the server describes them. */
export const schema: Schema = {
  "hash": "c5ae6aa95d34386c8526b98d963aeb02e2d35aa1df5556bfb28a0d50e10c8f53",
  "mutators": [
    "bookSlot",
    "freeSlot",
    "receiveDoses",
    "reserveDose"
  ],
  "replayed": [
    "bookSlot",
    "freeSlot",
    "receiveDoses",
    "reserveDose"
  ],
  "tables": {
    "clinics": {
      "buckets": [
        {
          "columns": [
            "id"
          ],
          "rule": "myClinics"
        }
      ],
      "columns": [
        {
          "name": "id",
          "nullable": false,
          "type": "text"
        },
        {
          "name": "name",
          "nullable": false,
          "type": "text"
        },
        {
          "default": 0,
          "name": "utc_offset_minutes",
          "nullable": false,
          "type": "integer"
        }
      ],
      "primaryKey": [
        "id"
      ]
    },
    "doses": {
      "buckets": [
        {
          "columns": [
            "clinic_id"
          ],
          "rule": "myClinics"
        }
      ],
      "columns": [
        {
          "name": "id",
          "nullable": false,
          "type": "uuid"
        },
        {
          "name": "clinic_id",
          "nullable": false,
          "type": "text"
        },
        {
          "name": "vaccine",
          "nullable": false,
          "type": "text"
        },
        {
          "name": "patient",
          "nullable": false,
          "type": "text"
        },
        {
          "name": "nurse",
          "nullable": false,
          "type": "text"
        },
        {
          "name": "reserved_at",
          "nullable": false,
          "type": "timestamptz"
        }
      ],
      "primaryKey": [
        "id"
      ]
    },
    "slots": {
      "buckets": [
        {
          "columns": [
            "clinic_id"
          ],
          "rule": "myClinics"
        }
      ],
      "columns": [
        {
          "name": "clinic_id",
          "nullable": false,
          "type": "text"
        },
        {
          "name": "time",
          "nullable": false,
          "type": "text"
        },
        {
          "name": "patient",
          "nullable": true,
          "type": "text"
        },
        {
          "name": "booked_by",
          "nullable": true,
          "type": "text"
        },
        {
          "name": "nurse",
          "nullable": true,
          "type": "text"
        },
        {
          "name": "booked_at",
          "nullable": true,
          "type": "timestamptz"
        }
      ],
      "primaryKey": [
        "clinic_id",
        "time"
      ]
    },
    "stock": {
      "buckets": [
        {
          "columns": [
            "clinic_id"
          ],
          "rule": "myClinics"
        }
      ],
      "columns": [
        {
          "name": "clinic_id",
          "nullable": false,
          "type": "text"
        },
        {
          "name": "vaccine",
          "nullable": false,
          "type": "text"
        },
        {
          "name": "doses",
          "nullable": false,
          "type": "bigint"
        }
      ],
      "primaryKey": [
        "clinic_id",
        "vaccine"
      ]
    }
  },
  "version": "1.0.0"
}

/** A client that knows the tables. */
export function createClient(options: Omit<NizhalClientOptions, 'schema'>): NizhalClient {
  return createNizhalClient({ ...options, schema })
}

/** The mutators, typed; each body says what its write will probably do. */
export function createMutators(client: NizhalClient, bodies: MutatorBodies<MutatorArgs, Tables>) {
  return createNizhalMutators<MutatorArgs, Tables>(client, bodies)
}

type CollectionOptions<Row extends object> = Omit<NizhalCollectionConfig<Row>, 'client' | 'name'>

/** Options of a collection over `clinics`. */
export function clinicsCollection(client: NizhalClient, options: CollectionOptions<ClinicsRow> = {}) {
  return nizhalCollectionOptions<ClinicsRow>({ ...options, client, name: 'clinics' })
}

/** Options of a collection over `doses`. */
export function dosesCollection(client: NizhalClient, options: CollectionOptions<DosesRow> = {}) {
  return nizhalCollectionOptions<DosesRow>({ ...options, client, name: 'doses' })
}

/** Options of a collection over `slots`. */
export function slotsCollection(client: NizhalClient, options: CollectionOptions<SlotsRow> = {}) {
  return nizhalCollectionOptions<SlotsRow>({ ...options, client, name: 'slots' })
}

/** Options of a collection over `stock`. */
export function stockCollection(client: NizhalClient, options: CollectionOptions<StockRow> = {}) {
  return nizhalCollectionOptions<StockRow>({ ...options, client, name: 'stock' })
}
