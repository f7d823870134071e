// Whether a row may belong to a subset, with the three-valued logic of TanStack DB. In doubt the answer is yes.
import type { Row } from '../protocol/wire'
import type { Expression } from './subset'

/** Not known to us: the row is taken, and who asked looks again. */
const UNSURE = Symbol('unsure')

/** Whether a row may be in the result of a `where`. */
export function matches(where: Expression | undefined, row: Row): boolean {
  return judged(where, row) !== 'no'
}

/** Whether a row is in the result of a `where`, as far as can be told. */
export function judged(where: Expression | undefined, row: Row): 'yes' | 'maybe' | 'no' {
  if (where === undefined) return 'yes'
  const value = evaluate(where, row)
  return value === UNSURE ? 'maybe' : value === true ? 'yes' : 'no'
}

/** The column that a reference names, when it names one. */
export function columnOf(path: readonly string[] | undefined): string | undefined {
  return path?.length === 1 ? path[0] : undefined
}

function evaluate(expression: Expression, row: Row): unknown {
  switch (expression.type) {
    case 'val':
      return expression.value
    case 'ref': {
      const column = columnOf(expression.path)
      return column !== undefined && column in row ? row[column] : UNSURE
    }
    case 'func':
      return call(expression.name ?? '', (expression.args ?? []).map((arg) => evaluate(arg, row)))
    default:
      return UNSURE
  }
}

function call(name: string, args: unknown[]): unknown {
  if (name === 'and') return args.includes(false) ? false : args.includes(UNSURE) ? UNSURE : args.includes(null) ? null : args.every((arg) => arg === true)
  if (name === 'or') return args.includes(true) ? true : args.includes(UNSURE) ? UNSURE : args.includes(null) ? null : false
  if (args.includes(UNSURE)) return UNSURE
  const [left, right] = args
  if (name === 'isNull') return left === null
  // A comparison with nothing is neither true nor false.
  if (left === null || left === undefined || (args.length > 1 && (right === null || right === undefined))) return KNOWN.has(name) ? null : UNSURE
  const sameKind = typeof left === typeof right && (typeof left === 'string' || typeof left === 'number')
  switch (name) {
    case 'not':
      return typeof left === 'boolean' ? !left : UNSURE
    case 'eq':
      return typeof left === typeof right && typeof left !== 'object' ? left === right : UNSURE
    case 'gt':
      return sameKind ? left > (right as typeof left) : UNSURE
    case 'gte':
      return sameKind ? left >= (right as typeof left) : UNSURE
    case 'lt':
      return sameKind ? left < (right as typeof left) : UNSURE
    case 'lte':
      return sameKind ? left <= (right as typeof left) : UNSURE
    case 'in':
      return Array.isArray(right) && typeof left !== 'object' && right.every((item) => typeof item === typeof left) ? right.includes(left) : UNSURE
    case 'like':
      return typeof left === 'string' && typeof right === 'string' ? alike(left, right) : UNSURE
    case 'ilike':
      return typeof left === 'string' && typeof right === 'string' ? alike(left.toLowerCase(), right.toLowerCase()) : UNSURE
    case 'lower':
      return typeof left === 'string' ? left.toLowerCase() : UNSURE
    case 'upper':
      return typeof left === 'string' ? left.toUpperCase() : UNSURE
    default:
      return UNSURE
  }
}

const KNOWN = new Set(['not', 'eq', 'gt', 'gte', 'lt', 'lte', 'in', 'like', 'ilike'])

/** Whether a text is like a pattern with `%` and `_`; a backslash is left to who asked. */
function alike(text: string, pattern: string): unknown {
  if (pattern.includes('\\')) return UNSURE
  const source = pattern.replace(/[.*+?^${}()|[\]]/g, '\\$&').replaceAll('%', '[^]*').replaceAll('_', '[^]')
  return new RegExp(`^${source}$`).test(text)
}
