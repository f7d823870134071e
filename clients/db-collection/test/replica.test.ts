// The engine by itself, where no server can be made to answer so.
import { expect, test } from 'vitest'
import { pull, push } from '../src/engine/exchange'
import { Replica } from '../src/engine/replica'
import { Session } from '../src/engine/session'
import type { Transport } from '../src/engine/transport'
import type { Schema } from '../src/protocol/schema'
import type { Mutation, MutationResult, Page, Row } from '../src/protocol/wire'
import { MemoryStore } from '../src/store/memory'
import { addCustomer, rename } from './harness/device'

const schema: Schema = {
  version: '1.0.0',
  hash: 'h',
  tables: {
    customers: { primaryKey: ['id'], columns: [], buckets: [{ rule: 'shops', columns: ['shop_id'] }] },
    transfers: { primaryKey: ['id'], columns: [], buckets: [{ rule: 'shops', columns: ['from_shop'] }, { rule: 'shops', columns: ['to_shop'] }] },
  },
}
const sizes = { pageRows: 10, batchOps: 10, batchBytes: 1 << 20 }

async function replicaOf(store = new MemoryStore()) {
  let ids = 0
  return Replica.open(store, { nowMs: () => 0, newId: () => `id-${++ids}` }, schema)
}

function page(cursor: string, rows: Record<string, Row[]> = {}, more: Partial<Page> = {}): Page {
  const changed = Object.entries(rows).map(([table, of]) => ({ table, rows: of }))
  return { changed, tombstoned: [], removed: [], removedBuckets: [], cursor, epoch: 'e', cursorReset: false, hasMore: false, lastMutationId: 0, ...more }
}

const asked = (replica: Replica) => ({ cursor: replica.device.cursor, clientID: replica.device.clientID })
const names = async (replica: Replica, table = 'customers') => {
  let found: string[] = []
  await replica.rows(table, (rows) => (found = [...rows.values()].map(({ id, name }) => `${id} ${name ?? ''}`.trim()).sort()))
  return found
}

test('inv05: the answer to an older question changes nothing', async () => {
  const replica = await replicaOf()
  const first = asked(replica)
  await replica.applyPage(page('c1', { customers: [{ id: 'a', name: 'New' }] }), first)
  expect(await replica.applyPage(page('c0', { customers: [{ id: 'a', name: 'Old' }] }), first)).toBe('stale')
  const before = asked(replica)
  await replica.outbox.mutate(addCustomer('b', 'Waits', 's1'))
  await replica.outbox.rotate()
  // It speaks of a sequence that is no more: its acknowledgement would drop another write.
  expect(await replica.applyPage(page('c2', {}, { lastMutationId: 1 }), before)).toBe('stale')
  expect(await names(replica)).toEqual(['a New', 'b Waits'])
  expect(replica.device.cursor).toBe('c1')
})

test('inv07: what another held bucket may still show is asked for again', async () => {
  const replica = await replicaOf()
  const rows = { customers: [{ id: 'a', shop_id: 's1' }, { id: 'b', shop_id: 's2' }], transfers: [{ id: 't', from_shop: 's1', to_shop: 's2' }, { id: 'u', from_shop: 's2', to_shop: 's2' }] }
  await replica.applyPage(page('c1', rows), asked(replica))
  expect(await replica.applyPage(page('c2', {}, { removedBuckets: ['shops:s1'] }), asked(replica))).toBe('more')
  expect(replica.device.cursor).toBe('')
  expect(await names(replica, 'transfers')).toEqual(['u'])
  await replica.applyPage(page('c3', { customers: [{ id: 'b', shop_id: 's2' }], transfers: rows.transfers }), asked(replica))
  expect([await names(replica), await names(replica, 'transfers')]).toEqual([['b'], ['t', 'u']])
})

test('a complete snapshot is shown at once, an incomplete one not at all', async () => {
  const replica = await replicaOf()
  await replica.applyPage(page('c1', { customers: [{ id: 'a', name: '1' }] }), asked(replica))
  const shown: string[][] = []
  replica.changes.on(({ changes }) => shown.push(changes.map(({ key }) => key)))
  await replica.applyPage(page('c2', { customers: [{ id: 'b' }] }, { hasMore: true }), asked(replica))
  expect(shown).toEqual([])
  await replica.applyPage(page('c3', { customers: [{ id: 'c' }] }), asked(replica))
  expect(shown).toEqual([['b', 'c']])
})

test('inv09: a patch does not raise a deleted row', async () => {
  const replica = await replicaOf()
  await replica.applyPage(page('c1', { customers: [{ id: 'a', name: 'Here' }] }), asked(replica))
  await replica.outbox.mutate(rename('a', 'Renamed'))
  await replica.applyPage(page('c2', {}, { tombstoned: [{ table: 'customers', id: 'a' }] }), asked(replica))
  expect(await names(replica)).toEqual([])
})

test('an edit keeps what others change in other columns', async () => {
  const replica = await replicaOf()
  await replica.applyPage(page('c1', { customers: [{ id: 'a', name: 'Old', phone: '1' }] }), asked(replica))
  await replica.outbox.mutate(rename('a', 'Mine'))
  await replica.applyPage(page('c2', { customers: [{ id: 'a', name: 'Theirs', phone: '2' }] }), asked(replica))
  expect(await replica.get('customers', 'a')).toEqual({ id: 'a', name: 'Mine', phone: '2' })
})

test('inv04: a server whose cursor stands still is told of, not asked for ever', async () => {
  const replica = await replicaOf()
  const transport = { pull: async () => page('same', {}, { hasMore: true }) } as unknown as Transport
  await expect(pull(replica, transport, sizes)).rejects.toMatchObject({ code: 'cursor_stands_still' })
})

test('inv23: an answer about other mutations settles nothing', async () => {
  const replica = await replicaOf()
  await replica.outbox.mutate(addCustomer('a', 'Mine', 's1'))
  const transport = { push: async () => [{ clientMutationId: 'someone-else', status: 'applied' }] } as unknown as Transport
  await expect(push(replica, transport, sizes, async () => undefined)).rejects.toMatchObject({ code: 'malformed' })
  expect(replica.outbox.pending.length).toBe(1)
})

test('inv25: a write does not wait for a request that hangs', async () => {
  const replica = await replicaOf()
  const hangs = { pull: () => new Promise(() => undefined), push: () => new Promise(() => undefined) } as unknown as Transport
  await replica.outbox.mutate(addCustomer('a', 'One', 's1'))
  void pull(replica, hangs, sizes)
  void push(replica, hangs, sizes, async () => undefined)
  await replica.outbox.mutate(addCustomer('b', 'Two', 's1'))
  expect(await names(replica)).toEqual(['a One', 'b Two'])
})

test('inv22: a commit that fails leaves memory as the store is', async () => {
  const store = new MemoryStore()
  const replica = await replicaOf(store)
  const commit = store.commit.bind(store)
  store.commit = async () => {
    throw new Error('the disk is full')
  }
  await expect(replica.outbox.mutate(addCustomer('a', 'Lost', 's1'))).rejects.toThrow('full')
  expect([replica.outbox.ops.length, await names(replica)]).toEqual([0, []])
  store.commit = commit
  expect((await replica.outbox.mutate(addCustomer('b', 'Kept', 's1'))).number).toBe(1)
})

test('inv16: a refusal takes the write off the screen at once', async () => {
  const replica = await replicaOf()
  const op = await replica.outbox.mutate(addCustomer('a', 'Refused', 's1'))
  const shown: unknown[] = []
  replica.changes.on(({ changes }) => shown.push(...changes))
  await replica.outbox.applyResults([{ clientMutationId: op.id, status: 'rejected', code: 'rejected', error: 'no' }])
  expect(shown).toEqual([{ table: 'customers', key: 'a', row: undefined }])
  expect([await names(replica), replica.outbox.rejected.map(({ refusal }) => refusal?.error)]).toEqual([[], ['no']])
})

test('inv16: a write that the app gives up is forgotten, one that waits is not', async () => {
  const replica = await replicaOf()
  const op = await replica.outbox.mutate(addCustomer('a', 'Mine', 's1'))
  expect(await replica.outbox.discard(op.id)).toBe(false)
  await replica.outbox.park(op.id, 'too_large', 'it is')
  expect(await names(replica)).toEqual([])
  expect(await replica.outbox.discard(op.id)).toBe(true)
  expect(replica.outbox.ops).toEqual([])
})

test('inv16: what depends on a refused write is cancelled here too, and those behind it move up', async () => {
  const replica = await replicaOf()
  const bad = await replica.outbox.mutate(addCustomer('a', 'Bad', 's1'))
  const on = await replica.outbox.mutate({ ...rename('x', 'On it'), dependsOn: [bad.id] })
  const further = await replica.outbox.mutate({ ...rename('y', 'Further'), dependsOn: [on.id] })
  const free = await replica.outbox.mutate(addCustomer('c', 'Free', 's1'))
  const { clientID } = replica.device
  // A server of wire 1 ends a batch at what it refuses, and knows nothing of dependants.
  await replica.outbox.applyResults([{ clientMutationId: bad.id, status: 'rejected', code: 'rejected', error: 'no' }])
  expect(replica.outbox.rejected.map(({ id, refusal }) => [id, refusal?.status, refusal?.error])).toEqual([
    [bad.id, 'rejected', 'no'],
    [on.id, 'cancelled', 'it depends on addCustomer, which is refused'],
    [further.id, 'cancelled', 'it depends on addCustomer, which is refused'],
  ])
  expect(replica.outbox.pending.map(({ id, number }) => [id, number])).toEqual([[free.id, 1]])
  // Their numbers were never used under the name of before.
  expect(replica.device.clientID).not.toBe(clientID)
  expect(await names(replica)).toEqual(['c Free'])
})

/** A server that applies each write once and shows what it applied when `shows` says so. */
function forgetful(shows: (pushes: string[][]) => boolean) {
  const pushes: string[][] = []
  const sent: Mutation[] = []
  const transport: Transport = {
    pull: async ({ deviceId }) => {
      const last = Math.max(0, ...sent.filter(({ clientID }) => clientID === deviceId).map(({ mutationID }) => mutationID ?? 0))
      return page(`c${pushes.length}`, {}, { lastMutationId: shows(pushes) ? last : 0 })
    },
    push: async (mutations) => {
      const known = new Set(sent.map(({ clientMutationId }) => clientMutationId))
      pushes.push(mutations.map(({ clientMutationId }) => clientMutationId))
      sent.push(...mutations)
      return mutations.map(({ clientMutationId }): MutationResult => ({ clientMutationId, status: known.has(clientMutationId) ? 'duplicate' : 'applied' }))
    },
    contract: async () => ({}),
  }
  return { transport, pushes }
}

function sessionOf(replica: Replica, transport: Transport, unseenMs: number) {
  const reconnect = { minMs: 10, maxMs: 10, jitter: 0 }
  const quiet = { streamUrl: async () => '', refresh: async () => undefined, describe: async () => undefined, nowMs: () => 7, source: undefined }
  return new Session(replica, transport, { sizes, streams: { wanted: false, cut: false }, intervalMs: 3_600_000, reconnect, unseenMs, ...quiet })
}

test('inv04: a write that the server applied and no pull shows is sent again', async () => {
  const replica = await replicaOf()
  const { transport, pushes } = forgetful((pushes) => pushes.length > 1)
  const session = sessionOf(replica, transport, 0)
  const op = await replica.outbox.mutate(addCustomer('a', 'Waits', 's1'))
  await session.push()
  await session.pull()
  expect([replica.outbox.ops[0]?.state, session.state.repaired]).toEqual(['applied', undefined])
  await session.pull()
  expect(session.state.repaired).toEqual({ code: 'applied_unseen', write: op.id, at: 7 })
  await session.push()
  await session.pull()
  expect([pushes, replica.outbox.ops, session.state.error]).toEqual([[[op.id], [op.id]], [], undefined])
  expect(replica.outbox.outcome(op.id).state).toBe('confirmed')
})

test('inv04: one that is never shown is told of, and sent again once', async () => {
  const replica = await replicaOf()
  const { transport, pushes } = forgetful(() => false)
  const session = sessionOf(replica, transport, 0)
  const op = await replica.outbox.mutate(addCustomer('a', 'Lost', 's1'))
  const told = new Promise<void>((resolve) => session.states.on(({ phase }) => phase === 'stuck' && resolve()))
  session.setOnline(true)
  for (let at = 0; at < 4; at += 1) {
    await session.pull()
    await session.push()
  }
  session.want({ pull: true })
  await told
  expect(session.state.error).toMatchObject({ code: 'applied_unseen', write: op.id })
  expect(pushes.length).toBe(2)
  session.close()
})

test('a write is not sent again before its time', async () => {
  const replica = await replicaOf()
  const { transport, pushes } = forgetful(() => false)
  const session = sessionOf(replica, transport, 60_000)
  await replica.outbox.mutate(addCustomer('a', 'Waits', 's1'))
  await session.push()
  for (let at = 0; at < 3; at += 1) await session.pull()
  expect([pushes.length, session.state.repaired]).toEqual([1, undefined])
})
