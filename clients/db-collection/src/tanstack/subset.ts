// A query's demand as a subset of our own: plain data, in the terms that every supported version of TanStack DB has.
import type { LoadSubsetOptions } from '@tanstack/db'
import type { Expression, Order, Subset } from '../store/subset'

/** How a collection compares texts. */
export interface Collation {
  stringSort?: 'lexical' | 'locale' | 'custom'
  locale?: string
  localeOptions?: object
}

interface Compared extends Collation {
  direction?: 'asc' | 'desc'
  nulls?: 'first' | 'last'
}

/**
 * The subset of a `loadSubset`.
 *
 * Pages are counted from the order's start (`offset + limit`), not from the cursor: its conditions differ between versions, and
 * compare texts otherwise than the order does. What earlier pages loaded is not written again.
 */
export function subsetOf({ where, orderBy, limit, offset }: LoadSubsetOptions, collation: Collation = {}): Subset {
  // 0.8 names a collation only where the query does; the collection's holds elsewhere, and it is the language's if nothing is said.
  const orders = orderBy?.map(({ expression, compareOptions }) => orderOf(expression as Expression, { stringSort: 'locale', ...collation, ...(compareOptions as Compared) }))
  const known = orders?.filter((order) => order !== undefined)
  const subset: Subset = where ? { where: expressionOf(where as Expression) } : {}
  // An order that is not ours to know may begin anywhere: all of it is loaded.
  if (limit === undefined || !known?.length || known.length !== orders!.length) return subset
  return { ...subset, orderBy: known, most: (offset ?? 0) + limit }
}

function orderOf({ type, path }: Expression, { direction, nulls, stringSort, locale, localeOptions }: Compared): Order | undefined {
  const column = path?.[0]
  if (type !== 'ref' || path?.length !== 1 || column === undefined || stringSort === 'custom') return undefined
  return {
    column,
    descending: direction === 'desc',
    nulls: nulls ?? 'first',
    ...(stringSort === 'locale' && { locale: { ...(locale !== undefined && { name: locale }), ...(localeOptions && { options: localeOptions }) } }),
  }
}

/** Without its class and whatever else cannot go to another tab. */
function expressionOf({ type, name, args, path, value }: Expression): Expression {
  switch (type) {
    case 'func':
      return { type, ...(name !== undefined && { name }), args: (args ?? []).map(expressionOf) }
    case 'ref':
      return { type, path: [...(path ?? [])] }
    case 'val':
      return isPlain(value) ? { type, value } : { type: 'other' }
    default:
      return { type: 'other' }
  }
}

function isPlain(value: unknown): boolean {
  if (Array.isArray(value)) return value.every((item) => isPlain(item) && !Array.isArray(item))
  return value === null || ['string', 'number', 'boolean'].includes(typeof value)
}
