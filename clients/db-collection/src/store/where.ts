// A subset's condition in SQL. It may let through more than match, never less; `exact` says when it lets through no more.
import type { SqlValue } from './driver'
import { columnOf } from './predicate'
import type { Expression } from './subset'

/** A piece of SQL with what is bound to it. */
export interface Piece {
  sql: string
  params: SqlValue[]
}

const ANYTHING = { sql: '1', params: [], exact: false }
const COMPARISONS: Record<string, string> = { eq: '=', gt: '>', gte: '>=', lt: '<', lte: '<=' }

/** The value of a column. */
export function extractOf(column: string): Piece {
  // A name with a quote in it cannot be said in a path; its rows are looked at outside.
  return column.includes('"') || column.includes('\\') ? { sql: 'null', params: [] } : { sql: 'json_extract(row, ?)', params: [`$."${column}"`] }
}

/** The condition; what SQL cannot decide is true. */
export function whereOf(where: Expression | undefined): Piece & { exact: boolean } {
  if (where === undefined) return { ...ANYTHING, exact: true }
  if (where.type !== 'func') return ANYTHING
  const args = where.args ?? []
  const name = where.name ?? ''
  if (name === 'and' || name === 'or') {
    const parts = args.map(whereOf)
    if (parts.length === 0) return ANYTHING
    return { sql: `(${parts.map(({ sql }) => sql).join(` ${name} `)})`, params: parts.flatMap(({ params }) => params), exact: parts.every(({ exact }) => exact) }
  }
  const [left, right] = args
  const column = left?.type === 'ref' ? columnOf(left.path) : undefined
  if (column === undefined || /["\\]/.test(column)) return ANYTHING
  const { sql, params } = extractOf(column)
  if (name === 'isNull') return { sql: `${sql} is null`, params, exact: false }
  if (right?.type !== 'val') return ANYTHING
  const { value } = right
  if (COMPARISONS[name] && sortable(name, value)) {
    // JSON's booleans come out as 1 and 0, and a number may be one: what SQL finds is looked at again.
    const bound = typeof value === 'boolean' ? Number(value) : value
    if (name === 'eq') return { sql: `${sql} = ?`, params: [...params, bound], exact: typeof value === 'string' }
    // JavaScript compares a number with a text that looks like one, and decimals are texts; SQL does not: what is of another kind is let through.
    const other = `json_type(row, ?) not in ${typeof value === 'string' ? "('text')" : "('integer', 'real')"}`
    return { sql: `(${other} or ${sql} ${COMPARISONS[name]} ?)`, params: [...params, ...params, bound], exact: false }
  }
  if (name === 'in' && Array.isArray(value) && (value.every((item) => typeof item === 'string') || value.every((item) => typeof item === 'number'))) {
    return { sql: `${sql} in (select value from json_each(?))`, params: [...params, JSON.stringify(value)], exact: false }
  }
  return ANYTHING
}

function sortable(name: string, value: unknown): value is string | number | boolean {
  if (typeof value === 'number') return Number.isFinite(value)
  if (name === 'eq') return typeof value === 'string' || typeof value === 'boolean'
  // SQLite compares texts by their UTF-8, JavaScript by its code units: the same, until surrogates come in.
  return typeof value === 'string' && /^[\0-\ud7ff]*$/.test(value)
}
