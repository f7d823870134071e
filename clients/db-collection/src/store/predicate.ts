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
  if (name === 'and' || name === 'or') {
    const decides = name === 'or'
    return args.includes(decides) ? decides : args.includes(UNSURE) ? UNSURE : args.includes(null) ? null : !decides && args.every((arg) => arg === true)
  }
  const [left, right] = args
  const test = TESTS.get(name)
  if (args.includes(UNSURE)) return UNSURE
  if (name === 'isNull') return left === null
  // A comparison with nothing is neither true nor false.
  if ((left ?? null) === null || (args.length > 1 && (right ?? null) === null)) return test && name !== 'lower' && name !== 'upper' ? null : UNSURE
  return test ? test(left, right) : UNSURE
}

/** A test of values of one of these kinds, both of the same where there are two. */
const of =
  (kinds: readonly string[], test: (left: any, right: any) => unknown) =>
  (left: unknown, right: unknown): unknown =>
    kinds.includes(typeof left) && (test.length < 2 || typeof right === typeof left) ? test(left, right) : UNSURE

const TEXT = ['string']
const SORTED = ['string', 'number']
const TESTS = new Map<string, (left: unknown, right: unknown) => unknown>([
  ['not', of(['boolean'], (left) => !left)],
  ['eq', of([...SORTED, 'boolean'], (left, right) => left === right)],
  ['gt', of(SORTED, (left, right) => left > right)],
  ['gte', of(SORTED, (left, right) => left >= right)],
  ['lt', of(SORTED, (left, right) => left < right)],
  ['lte', of(SORTED, (left, right) => left <= right)],
  ['in', (left, right) => (Array.isArray(right) && typeof left !== 'object' && right.every((item) => typeof item === typeof left) ? right.includes(left) : UNSURE)],
  ['like', of(TEXT, (left, right) => alike(left, right))],
  ['ilike', of(TEXT, (left, right) => alike(left.toLowerCase(), right.toLowerCase()))],
  ['lower', of(TEXT, (left) => left.toLowerCase())],
  ['upper', of(TEXT, (left) => left.toUpperCase())],
])

/** Whether a text is like a pattern with `%` and `_`; a backslash is left to who asked. */
function alike(text: string, pattern: string): unknown {
  if (pattern.includes('\\')) return UNSURE
  const source = pattern.replace(/[.*+?^${}()|[\]]/g, '\\$&').replaceAll('%', '[^]*').replaceAll('_', '[^]')
  return new RegExp(`^${source}$`).test(text)
}
