// A bridge for apps that use `@tanstack/offline-transactions`: its transactions become writes of our outbox.
import type { NizhalClient } from '../client'
import { WriteRejected } from '../client'
import type { Effect } from '../engine/op'
import { plain, pendingOf } from '../mutators'
import { keyOf } from '../protocol/key'
import type { Row } from '../protocol/wire'

/** A mutation of a transaction, as far as the bridge reads it. */
export interface BridgedMutation {
  type: 'insert' | 'update' | 'delete'
  modified: object
  original: object
  changes: object
}

/** What `startOfflineExecutor` calls. */
export type BridgedFn = (params: { transaction: { mutations: readonly BridgedMutation[] }; idempotencyKey: string }) => Promise<void>

/** Says which mutator a transaction's mutation is. */
export type CallOf = (mutation: BridgedMutation) => { table: string; name: string; args: object }

/** Parts for `startOfflineExecutor`. */
export interface NizhalOffline {
  mutationFn(call: CallOf): BridgedFn
  /** Any tab may hand writes over: our leader sends them. */
  leaderElection: {
    requestLeadership(): Promise<boolean>
    releaseLeadership(): void
    isLeader(): boolean
    onLeadershipChange(listener: (leader: boolean) => void): () => void
  }
  /** A database name of this store's own, for `storage`. */
  storageName: string
}

/**
 * Makes the parts. `NonRetriableError` is the class that `@tanstack/offline-transactions` exports.
 *
 * A transaction counts as done when it is in our outbox, so that it holds no server row back; with `ack` when the server
 * applied it. The idempotency key makes the writes' ids: a transaction that comes twice is one.
 */
export function nizhalOffline(client: NizhalClient, { NonRetriableError, ack = false }: { NonRetriableError: new (message: string) => Error; ack?: boolean }): NizhalOffline {
  const hand = async (call: CallOf, mutation: BridgedMutation, id: string) => {
    const { table, name, args } = call(mutation)
    const schema = client.schema?.tables[table]
    const row = (mutation.type === 'delete' ? mutation.original : mutation.modified) as Row
    const key = keyOf(schema, row)
    const effect: Effect =
      mutation.type === 'insert'
        ? { table, key, kind: 'insert', row: plain(row, table) as Row }
        : mutation.type === 'update'
          ? { table, key, kind: 'update', patch: plain(mutation.changes, table) as Row }
          : { table, key, kind: 'delete' }
    const write = await client.mutate({ id, name, args: plain(args), effects: [effect] })
    if (ack) await pendingOf(client, write).confirmed
  }
  return {
    mutationFn: (call) => async ({ transaction, idempotencyKey }) => {
      try {
        for (const [at, mutation] of transaction.mutations.entries()) await hand(call, mutation, `${idempotencyKey}-${at}`)
      } catch (error) {
        // Parked in our list of refused writes already; over there it must not be tried for ever.
        if (error instanceof WriteRejected) throw new NonRetriableError(error.message)
        // Its own rule is to look for 400, 401, 403 and 422 in the text: a transient fault must not carry digits.
        throw new Error((error instanceof Error ? error.message : String(error)).replace(/\d/g, '#'))
      }
    },
    leaderElection: {
      requestLeadership: async () => true,
      releaseLeadership: () => undefined,
      isLeader: () => true,
      onLeadershipChange: () => () => undefined,
    },
    storageName: `nizhal-offline:${client.options.name ?? 'default'}`,
  }
}
