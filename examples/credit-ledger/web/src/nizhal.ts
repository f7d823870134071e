// Written by `nizhal gen ts` from the contract of credit-ledger 1.0.0. Not to be edited.
import { createNizhalClient, createNizhalMutators } from '@nizhal/db-collection'
import type { MutatorBodies, NizhalClient, NizhalClientOptions, Schema } from '@nizhal/db-collection'
import { nizhalCollectionOptions, type NizhalCollectionConfig } from '@nizhal/db-collection/tanstack'

type Json = null | boolean | number | string | Json[] | { [name: string]: Json }
// A contract need not use every type.
export type { Json }

/** Someone who buys on credit. */
export interface CustomersRow {
  /** The id that the device gave. */
  client_id: string | null
  created_at: string
  deleted_at: string | null
  id: string
  name: string
  note: string | null
  phone: string | null
  shop_id: string
  updated_at: string
}

/**
 * One fact about money: credit given (above zero) or a payment taken (below zero).
 *
 * Entries are only ever added. A balance is the sum of a customer's entries and stored nowhere, so two devices that
 * write offline cannot disagree about it.
 */
export interface LedgerEntriesRow {
  amount: string
  /** When the money or the goods changed hands. */
  at: string
  /** The id that the device gave. */
  client_id: string | null
  created_at: string
  /** The member of staff who wrote it down. */
  created_by: string
  customer_id: string
  deleted_at: string | null
  id: string
  /** A photo of the paper receipt. */
  photo: {
    mime: string
    sha256: string
    size: number
  } | null
  reason: string | null
  /** The number on the paper receipt. */
  ref: string | null
  shop_id: string
  updated_at: string
}

/** A message to send to a customer when a credit falls due. */
export interface RemindersRow {
  channel: string
  created_at: string
  customer_id: string
  deleted_at: string | null
  /** The credit that it reminds of. */
  entry_id: string
  id: string
  scheduled_at: string
  sent_at: string | null
  shop_id: string
  /** `pending` or `sent`. */
  status: string
  updated_at: string
}

/** A row of each table. */
export type Tables = {
  customers: CustomersRow
  ledger_entries: LedgerEntriesRow
  reminders: RemindersRow
}

/** Adds a customer to the actor's shop. */
export interface AddCustomerArgs {
  /** The customer's id, made by the device. */
  clientId: string
  name: string
  note?: string | null
  phone?: string | null
}

/**
 * Takes a customer out of the shop's list.
 *
 * The ledger entries stay: they are facts about money, and the day's totals must not change because a name went.
 * Reminders that still wait go too, for nobody may be sent a message after they were taken off the list.
 */
export interface DeleteCustomerArgs {
  customerId: string
}

/** Writes down goods given on credit. */
export interface RecordCreditArgs {
  amount: number | string
  /** When it happened; now, when left out. */
  at?: string | null
  /** The entry's id, made by the device. */
  clientId: string
  customerId: string
  /** When it is to be paid: the customer is reminded a day before and a day after; else a day from now. */
  dueDate?: string | null
  reason?: string | null
  /** The number on the paper receipt. */
  ref?: string | null
}

/** Writes down money that a customer paid. */
export interface RecordPaymentArgs {
  amount: number | string
  /** When it happened; now, when left out. */
  at?: string | null
  /** The entry's id, made by the device. */
  clientId: string
  customerId: string
  /** A photo of the paper receipt, uploaded before. */
  photo?: {
    mime: string
    sha256: string
    size: number
  } | null
  reason?: string | null
  /** The number on the paper receipt. */
  ref?: string | null
}

/** Gives a customer another name. */
export interface UpdateCustomerNameArgs {
  customerId: string
  value: string
}

/** Gives a customer another telephone number, or none. */
export interface UpdateCustomerPhoneArgs {
  customerId: string
  /** The number; null or an empty text takes it away. */
  value?: string | null
}

/** What each mutator takes. */
export type MutatorArgs = {
  addCustomer: AddCustomerArgs
  deleteCustomer: DeleteCustomerArgs
  recordCredit: RecordCreditArgs
  recordPayment: RecordPaymentArgs
  updateCustomerName: UpdateCustomerNameArgs
  updateCustomerPhone: UpdateCustomerPhoneArgs
}

/** The tables as the server describes them. */
export const schema: Schema = {
  "hash": "c861a2d5e57e2efc043c1d71e8dfd6d81244cc14a2bbcfc39e58688ca3971e42",
  "mutators": [
    "addCustomer",
    "deleteCustomer",
    "recordCredit",
    "recordPayment",
    "updateCustomerName",
    "updateCustomerPhone"
  ],
  "tables": {
    "customers": {
      "buckets": [
        {
          "columns": [
            "shop_id"
          ],
          "rule": "myShops"
        }
      ],
      "columns": [
        {
          "name": "id",
          "nullable": false,
          "type": "text"
        },
        {
          "name": "shop_id",
          "nullable": false,
          "type": "text"
        },
        {
          "name": "name",
          "nullable": false,
          "type": "text"
        },
        {
          "name": "phone",
          "nullable": true,
          "type": "text"
        },
        {
          "name": "note",
          "nullable": true,
          "type": "text"
        },
        {
          "name": "client_id",
          "nullable": true,
          "type": "text"
        },
        {
          "default": {
            "now": true
          },
          "name": "created_at",
          "nullable": false,
          "type": "timestamptz"
        }
      ],
      "primaryKey": [
        "id"
      ]
    },
    "ledger_entries": {
      "buckets": [
        {
          "columns": [
            "shop_id"
          ],
          "rule": "myShops"
        }
      ],
      "columns": [
        {
          "name": "id",
          "nullable": false,
          "type": "text"
        },
        {
          "name": "shop_id",
          "nullable": false,
          "type": "text"
        },
        {
          "name": "customer_id",
          "nullable": false,
          "type": "text"
        },
        {
          "name": "amount",
          "nullable": false,
          "type": "numeric"
        },
        {
          "name": "reason",
          "nullable": true,
          "type": "text"
        },
        {
          "name": "ref",
          "nullable": true,
          "type": "text"
        },
        {
          "blob": true,
          "name": "photo",
          "nullable": true,
          "type": "jsonb"
        },
        {
          "name": "at",
          "nullable": false,
          "type": "timestamptz"
        },
        {
          "name": "created_by",
          "nullable": false,
          "type": "text"
        },
        {
          "name": "client_id",
          "nullable": true,
          "type": "text"
        },
        {
          "default": {
            "now": true
          },
          "name": "created_at",
          "nullable": false,
          "type": "timestamptz"
        }
      ],
      "primaryKey": [
        "id"
      ]
    },
    "reminders": {
      "buckets": [
        {
          "columns": [
            "shop_id"
          ],
          "rule": "myShops"
        }
      ],
      "columns": [
        {
          "name": "id",
          "nullable": false,
          "type": "text"
        },
        {
          "name": "shop_id",
          "nullable": false,
          "type": "text"
        },
        {
          "name": "customer_id",
          "nullable": false,
          "type": "text"
        },
        {
          "name": "entry_id",
          "nullable": false,
          "type": "text"
        },
        {
          "name": "scheduled_at",
          "nullable": false,
          "type": "timestamptz"
        },
        {
          "default": "sms",
          "name": "channel",
          "nullable": false,
          "type": "text"
        },
        {
          "default": "pending",
          "name": "status",
          "nullable": false,
          "type": "text"
        },
        {
          "name": "sent_at",
          "nullable": true,
          "type": "timestamptz"
        },
        {
          "default": {
            "now": true
          },
          "name": "created_at",
          "nullable": false,
          "type": "timestamptz"
        }
      ],
      "primaryKey": [
        "id"
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

/** Options of a collection over `customers`. */
export function customersCollection(client: NizhalClient, options: CollectionOptions<CustomersRow> = {}) {
  return nizhalCollectionOptions<CustomersRow>({ ...options, client, name: 'customers' })
}

/** Options of a collection over `ledger_entries`. */
export function ledgerEntriesCollection(client: NizhalClient, options: CollectionOptions<LedgerEntriesRow> = {}) {
  return nizhalCollectionOptions<LedgerEntriesRow>({ ...options, client, name: 'ledger_entries' })
}

/** Options of a collection over `reminders`. */
export function remindersCollection(client: NizhalClient, options: CollectionOptions<RemindersRow> = {}) {
  return nizhalCollectionOptions<RemindersRow>({ ...options, client, name: 'reminders' })
}
