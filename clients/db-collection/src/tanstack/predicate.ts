// Which rows a query needs. A query filters again by itself, so in doubt the answer is yes.
import type { Row } from '../protocol/wire'

type Expression = { type: string; name?: string; args?: Expression[]; path?: string[]; value?: unknown }

/** Unknown to us: the row is loaded. */
const UNKNOWN = Symbol('unknown')

/** Whether a row may be in the result of a `where`. */
export function matches(where: unknown, row: Row): boolean {
  if (where === undefined || where === null) return true
  const value = evaluate(where as Expression, row)
  return value === UNKNOWN || value === true
}

function evaluate(expression: Expression, row: Row): unknown {
  switch (expression.type) {
    case 'val':
      return expression.value
    case 'ref': {
      // The path may begin with the collection's alias.
      const path = expression.path ?? []
      const name = path.at(-1)
      return path.length <= 2 && name !== undefined && name in row ? row[name] : UNKNOWN
    }
    case 'func':
      return call(expression.name ?? '', (expression.args ?? []).map((arg) => evaluate(arg, row)))
    default:
      return UNKNOWN
  }
}

function call(name: string, args: unknown[]): unknown {
  const [left, right] = args
  if (name === 'and') return args.includes(false) ? false : args.includes(UNKNOWN) ? UNKNOWN : args.every((arg) => arg === true)
  if (name === 'or') return args.includes(true) ? true : args.includes(UNKNOWN) ? UNKNOWN : false
  // What a comparison with null is, is the query's to say.
  if (args.some((arg) => arg === UNKNOWN || arg === null || arg === undefined)) return UNKNOWN
  const same = typeof left === typeof right && (typeof left === 'string' || typeof left === 'number')
  switch (name) {
    case 'eq':
      return typeof left === typeof right && typeof left !== 'object' ? left === right : UNKNOWN
    case 'gt':
      return typeof left === 'number' && same ? left > (right as number) : UNKNOWN
    case 'gte':
      return typeof left === 'number' && same ? left >= (right as number) : UNKNOWN
    case 'lt':
      return typeof left === 'number' && same ? left < (right as number) : UNKNOWN
    case 'lte':
      return typeof left === 'number' && same ? left <= (right as number) : UNKNOWN
    case 'in':
      return Array.isArray(right) && typeof left !== 'object' && right.every((item) => typeof item === typeof left) ? right.includes(left) : UNKNOWN
    default:
      return UNKNOWN
  }
}
