// The small parts, as tables: what is let in, how things are named, how long to wait.
import { expect, test } from 'vitest'
import { Presence } from '../src/engine/presence'
import { backoffMs } from '../src/engine/source'
import { userOf } from '../src/engine/transport'
import { completed, plain } from '../src/mutators'
import { bucketsOf, keyOf } from '../src/protocol/key'
import { schemaOf } from '../src/protocol/schema'
import { MalformedAnswer, readPage, readResults } from '../src/protocol/wire'
import { matches } from '../src/store/predicate'
import type { Expression } from '../src/store/subset'
import { schema } from './harness/device'

const PAGE = { changed: [{ table: 't', rows: [{ id: 'a' }] }], tombstoned: [{ table: 't', id: 'b' }], removed: [], removedBuckets: ['r:v'], cursor: 'c', epoch: 'e' }

test('inv05: an answer that lacks anything is refused whole', () => {
  expect(readPage({ ...PAGE, hasMore: true, lastMutationId: 3, unknown: 1 })).toEqual({ ...PAGE, cursorReset: false, hasMore: true, lastMutationId: 3 })
  for (const field of Object.keys(PAGE)) {
    const { [field]: _, ...without } = PAGE as Record<string, unknown>
    expect(() => readPage(without), field).toThrow(MalformedAnswer)
  }
  for (const body of [null, [], 'x', 7, { ...PAGE, changed: [null] }, { ...PAGE, changed: [{ table: 't', rows: ['a'] }] }, { ...PAGE, tombstoned: [{ id: 'a' }] }]) {
    expect(() => readPage(body)).toThrow(MalformedAnswer)
  }
  expect(() => readResults({ results: [{ clientMutationId: 'm', status: 'perhaps' }] })).toThrow(MalformedAnswer)
  expect(() => readResults({ applied: ['m'] })).toThrow(MalformedAnswer)
})

test('keys and buckets are spelled as the server spells them', () => {
  const table = { primaryKey: ['shop_id', 'no'], columns: [], buckets: [{ rule: 'one', columns: ['shop_id'] }, { rule: 'two', columns: ['shop_id', 'no'] }, { rule: 'all', columns: [] }] }
  expect(keyOf(table, { shop_id: 'a/b', no: 7 })).toBe('["a/b","7"]')
  expect(keyOf(undefined, { id: 'x' })).toBe('x')
  expect(bucketsOf(table, { shop_id: 'a/b', no: 7 })).toEqual(['one:a/b', 'two:a%2Fb/7', 'all:*'])
  expect(bucketsOf(table, { shop_id: 'a' })).toBeUndefined()
  expect(Object.keys(schema.tables)).toEqual(['customers', 'ledger_entries', 'reminders'])
  expect(() => schemaOf({ openapi: '3.1.0' })).toThrow('no Nizhal contract')
})

test('arguments that JSON cannot say are refused where they are given', () => {
  expect(plain({ big: 12n, at: new Date(0), gone: undefined, list: [1, null] })).toEqual({ big: '12', at: '1970-01-01T00:00:00.000Z', list: [1, null] })
  expect(() => plain({ deep: [{ n: Number.NaN }] })).toThrow('args.deep[0].n is NaN')
  expect(() => plain({ bytes: new Uint8Array(1) })).toThrow('args.bytes')
})

test('an optimistic row is whole', () => {
  const row = completed(schema, 'reminders', { id: 'r1', shop_id: 's1' }, 'T')
  expect(row).toEqual({ id: 'r1', shop_id: 's1', customer_id: null, entry_id: null, scheduled_at: null, channel: 'sms', status: 'pending', sent_at: null, created_at: 'T', updated_at: 'T', deleted_at: null })
})

test('waits grow to their limit, and are spread', () => {
  const reconnect = { minMs: 500, maxMs: 30_000, jitter: 0.5 }
  expect([1, 2, 3, 7, 100].map((failures) => backoffMs(reconnect, failures, () => 0))).toEqual([500, 1000, 2000, 30_000, 30_000])
  expect(backoffMs(reconnect, 7, () => 1)).toBe(15_000)
})

test('whom a token speaks for', () => {
  const jwt = (claims: object) => `x.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.y`
  expect(userOf({ Authorization: `Bearer ${jwt({ userId: 'ünal', ownerId: 'o' })}` })).toBe('["o","ünal"]')
  for (const value of ['Bearer opaque', `Bearer ${jwt({ sub: 'a' })}`, 'Basic eDp5', '']) expect(userOf({ authorization: value })).toBeUndefined()
})

test('presence: a replaced entry leaves and joins in one frame', () => {
  const presence = new Presence()
  presence.receive('presence:state:{"bucket":"b","state":{"ana":[{"presence_ref":"1"}],"ben":[{"presence_ref":"2"}]}}')
  presence.receive('presence:diff:{"bucket":"b","joins":{"ana":[{"presence_ref":"3","typing":true}]},"leaves":{"ana":[{"presence_ref":"1"}],"ben":[{"presence_ref":"2"}]}}')
  expect(presence.state('b')).toEqual({ ana: [{ presence_ref: '3', typing: true }] })
  expect(presence.receive('repull:b')).toBe(false)
})

test('a predicate leaves out only what it is sure of', () => {
  const ref = (name: string) => ({ type: 'ref', path: [name] })
  const val = (value: unknown) => ({ type: 'val', value })
  const call = (name: string, ...args: unknown[]) => ({ type: 'func', name, args })
  const row = { id: 'a', n: 5, s: 'text', none: null }
  const table: [unknown, boolean][] = [
    [undefined, true],
    [call('eq', ref('id'), val('a')), true],
    [call('eq', ref('id'), val('b')), false],
    [call('eq', ref('none'), val(null)), false],
    [call('isNull', ref('none')), true],
    [call('isNull', ref('id')), false],
    [call('not', call('eq', ref('none'), val('x'))), false],
    [call('eq', { type: 'ref', path: ['none', 'id'] }, val('b')), true],
    [call('gt', ref('n'), val('4')), true],
    [call('like', ref('s'), val('t_x%')), true],
    [call('like', ref('s'), val('T%')), false],
    [call('ilike', ref('s'), val('T.%')), false],
    [call('eq', call('upper', ref('s')), val('TEXT')), true],
    [call('eq', ref('elsewhere'), val('b')), true],
    [call('gt', ref('n'), val(5)), false],
    [call('gte', ref('n'), val(5)), true],
    [call('lt', ref('s'), val('a')), false],
    [call('in', ref('id'), val(['x', 'a'])), true],
    [call('in', ref('id'), val(['x'])), false],
    [call('and', call('eq', ref('id'), val('a')), call('length', ref('s'))), true],
    [call('and', call('eq', ref('id'), val('b')), call('length', ref('s'))), false],
    [call('or', call('eq', ref('id'), val('b')), call('gt', ref('n'), val(9))), false],
    [call('not', call('eq', ref('id'), val('a'))), false],
    [call('not', call('length', ref('id'))), true],
  ]
  for (const [where, wanted] of table) expect(matches(where as Expression, row), JSON.stringify(where)).toBe(wanted)
})
