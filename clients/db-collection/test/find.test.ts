// What a store finds for a subset is never less than what TanStack DB would take, and for a limited one the first of its order.
import * as tanstack from '@tanstack/db'
import { assert, asyncProperty, constantFrom, array, record, integer, oneof, constant, string, option, boolean, letrec, type Arbitrary } from 'fast-check'
import { expect, test } from 'vitest'
import type { Json, Row } from '../src/protocol/wire'
import { MemoryStore } from '../src/store/memory'
import type { Store } from '../src/store/store'
import type { Expression, Order } from '../src/store/subset'
import { subsetOf } from '../src/tanstack/subset'
import { Disk } from './harness/wasm'

type Evaluator = (row: unknown) => unknown
const { compileSingleRowExpression, makeComparator, IR } = tanstack as unknown as {
  compileSingleRowExpression: (expression: unknown) => Evaluator
  makeComparator: (options: object) => (a: unknown, b: unknown) => number
  IR: { Func: new (name: string, args: unknown[]) => Expression; PropRef: new (path: string[]) => Expression; Value: new (value: unknown) => Expression }
}

const text = oneof(string({ maxLength: 3 }), constantFrom('a', 'B', 'b', 'ä', 'é', 'Z', '10', '9', '', '\u{1f600}', '\uffee', '_%', 'a"b\\'))
const value: Arbitrary<Json> = oneof({ weight: 4, arbitrary: text }, { weight: 3, arbitrary: integer({ min: -3, max: 12 }) }, boolean(), constant(null), constant(1.5), constant({ in: 'side' }))
const columns = ['s', 'n', 'odd name', 'q"uote']
const rowsOf: Arbitrary<Row[]> = array(record({ s: option(text), n: oneof(integer({ min: -3, max: 12 }), text, constant(null)), 'odd name': value, 'q"uote': value }, { requiredKeys: ['s'] }) as Arbitrary<Row>, { maxLength: 40 })

/** An order over values of several kinds is none. */
const sortableRows: Arbitrary<Row[]> = array(record({ s: option(text), n: option(integer({ min: -3, max: 12 })), 'q"uote': text }, { requiredKeys: ['s'] }) as Arbitrary<Row>, { maxLength: 40 })

const { expression } = letrec<{ expression: Expression; leaf: Expression }>((tie) => {
  const ref = constantFrom(...columns, 'nowhere').map((name) => new IR.PropRef([name]))
  const literal = oneof(text, integer({ min: -3, max: 12 }), boolean(), constant(null), constant(new Date(0))).map((it) => new IR.Value(it))
  const list = oneof(array(text, { maxLength: 4 }), array(integer({ min: -3, max: 12 }), { maxLength: 4 })).map((it) => new IR.Value(it))
  const func = (name: string, ...args: Arbitrary<Expression>[]) => record(Object.fromEntries(args.map((arg, at) => [at, arg]))).map((found) => new IR.Func(name, Object.values(found)))
  return {
    leaf: oneof(
      ...['eq', 'gt', 'gte', 'lt', 'lte'].map((name) => func(name, ref, literal)),
      func('eq', literal, ref),
      func('in', ref, list),
      func('like', ref, text.map((it) => new IR.Value(`${it}%`))),
      func('ilike', ref, text.map((it) => new IR.Value(`%${it}_`))),
      func('isNull', ref),
      func('eq', func('lower', ref), literal),
      func('gt', func('length', ref), literal),
    ),
    expression: oneof({ maxDepth: 3 }, tie('leaf'), func('and', tie('expression'), tie('expression')), func('or', tie('expression'), tie('expression')), func('not', tie('expression'))),
  }
})

const compareOptions = record({ direction: constantFrom('asc', 'desc'), nulls: constantFrom('first', 'last'), stringSort: constantFrom('lexical', 'locale') })
const orderBy = array(record({ column: constantFrom('s', 'n', 'q"uote'), compareOptions }), { minLength: 1, maxLength: 2 })

async function filled(rows: Row[], disk: Disk): Promise<[string, Store][]> {
  const put = rows.map((row, at) => ({ table: 't', key: `k${at}`, row: { ...row, id: `k${at}` } as Row }))
  put.push({ table: 'other', key: 'k0', row: { id: 'other' } })
  const stores: [string, Store][] = [['memory', new MemoryStore()], ['sqlite', disk.store()]]
  for (const [, store] of stores) {
    await store.open()
    await store.commit({ reset: true, put })
  }
  return stores
}

test('a condition leaves out nothing that belongs in', async () => {
  const disk = await Disk.make()
  let cut = 0
  await assert(
    asyncProperty(rowsOf, expression, async (rows, where) => {
      const takes = compileSingleRowExpression(where)
      const wanted = rows.flatMap((row, at) => (takes({ ...row, id: `k${at}` }) === true ? [`k${at}`] : []))
      for (const [name, store] of await filled(rows, disk)) {
        const found = await store.find('t', subsetOf({ where } as never))
        const keys = found.map(([key]) => key)
        expect(wanted.filter((key) => !keys.includes(key)), name).toEqual([])
        for (const [key, row] of found) expect(row['id']).toBe(key)
        cut += rows.length - keys.length
      }
    }),
    { numRuns: 1000 },
  )
  expect(cut).toBeGreaterThan(1000)
})

test('the first of an order are all among what is found, and little else', async () => {
  const disk = await Disk.make()
  await assert(
    asyncProperty(sortableRows, option(expression, { nil: undefined }), orderBy, integer({ min: 1, max: 6 }), integer({ min: 0, max: 5 }), async (rows, where, orders, limit, offset) => {
      const takes = where ? compileSingleRowExpression(where) : () => true
      const keyed = rows.map((row, at) => ({ ...row, id: `k${at}` }) as Row).filter((row) => takes(row) === true)
      const compared = orders.map(({ column, compareOptions }) => ({ column, compare: makeComparator(compareOptions) }))
      keyed.sort((a, b) => compared.reduce((so, { column, compare }) => so || compare(a[column], b[column]), 0))
      // Of those that tie in every column of the order, any may be meant.
      const last = keyed.slice(0, offset + limit).at(-1)
      const wanted = last ? keyed.filter((row) => compared.reduce((so, { column, compare }) => so || compare(row[column], last[column]), 0) <= 0) : []
      const ordered = orders.map(({ column, compareOptions }) => ({ expression: new IR.PropRef([column]), compareOptions }))
      const subset = subsetOf({ where, orderBy: ordered, limit, offset } as never)
      for (const [name, store] of await filled(rows, disk)) {
        const keys = (await store.find('t', subset)).map(([key]) => key)
        expect(wanted.map((row) => row['id']).filter((key) => !keys.includes(String(key))), name).toEqual([])
        const leading = compared[0]!
        if (!where && last && leading.column !== 'q"uote') expect(keys.length).toBe(keyed.filter((row) => leading.compare(row[leading.column], last[leading.column]) <= 0).length)
      }
    }),
    { numRuns: 700 },
  )
})

test('a large table is looked through in bounded steps', async () => {
  const disk = await Disk.make()
  const rows = Array.from({ length: 9001 }, (_, at) => ({ id: `k${String(at).padStart(5, '0')}`, n: (at * 7919) % 9001, s: at % 2 ? 'odd' : 'even' }))
  const store = disk.store()
  await store.open()
  await store.commit({ put: rows.map((row) => ({ table: 't', key: row.id, row })) })
  const order: Order = { column: 'n', descending: true, nulls: 'first' }
  expect((await store.find('t', { orderBy: [order], most: 3 })).map(([, row]) => row['n']).sort()).toEqual([8998, 8999, 9000])
  const where = { type: 'func', name: 'eq', args: [{ type: 'ref', path: ['s'] }, { type: 'val', value: 'odd' }] }
  expect((await store.find('t', { where })).length).toBe(4500)
  expect((await store.find('t', { where, orderBy: [order], most: 2 })).every(([, row]) => row['s'] === 'odd')).toBe(true)
})
