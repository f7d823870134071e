// The one text of a key and of a bucket's value: of a row, of a tombstone, of an effect, of what an app asks for.
import { dashed } from '../platform'
import type { TableSchema } from './schema'
import { jsonOf, type Json, type Row } from './wire'

/** A value as keys and bucket names write it; `type` is its column's, as the contract says it. */
export function keyText(value: Json | undefined, type?: string): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value ?? null)
  switch (type) {
    case 'boolean':
      return /^(true|t|1)$/i.test(text) ? 'true' : /^(false|f|0)$/i.test(text) ? 'false' : text
    case 'smallint':
    case 'integer':
    case 'bigint':
      return text.replace(/^(-?)0+(?=\d)/, '$1').replace(/^-0$/, '0')
    case 'date':
      return text.replace(/^([+-])(\d{4,6})(?=-)/, (_, sign: string, year: string) => sign + year.padStart(6, '0'))
    case 'uuid':
      return uuidText(text)
    case 'timestamptz':
      return instantText(text)
    case 'time':
      return text.replace(/^(\d\d:\d\d:\d\d)\.(\d{1,6})\d*$/, (_, time: string, fraction: string) => (/^0+$/.test(fraction) ? time : `${time}.${fraction.padEnd(6, '0')}`))
    default:
      return text
  }
}

/** A row's key. */
export function keyOf(table: TableSchema | undefined, row: Row): string {
  const columns = keyColumns(table)
  return joined(columns.map((column) => keyText(row[column], typeOf(table, column))))
}

/** Whether a row has all of its key. */
export function hasKey(table: TableSchema | undefined, row: Row): boolean {
  return keyColumns(table).every((column) => row[column] !== undefined && row[column] !== null)
}

/** The key that a text names: a tombstone's `id`, or what an app asks for. A composite one is the JSON array of its parts. */
export function keyFrom(table: TableSchema | undefined, id: string): string {
  const columns = keyColumns(table)
  const parts = columns.length === 1 ? [id] : partsOf(id, columns.length)
  return parts ? joined(parts.map((part, at) => keyText(part, typeOf(table, columns[at]!)))) : id
}

/** A bucket's name, `rule:value`, from the values of its parameters. */
export function bucketOf(rule: string, values: readonly string[]): string {
  return `${rule}:${values.length === 0 ? '*' : values.length === 1 ? values[0] : values.map(percent).join('/')}`
}

/** The buckets that a row is in, named `rule:value`; `undefined` when a column that would tell is not the device's to see. */
export function bucketsOf(table: TableSchema, row: Row): string[] | undefined {
  const names = new Set<string>()
  for (const { rule, columns } of table.buckets) {
    if (columns.some((column) => row[column] === undefined)) return undefined
    names.add(bucketOf(rule, columns.map((column) => keyText(row[column], typeOf(table, column)))))
  }
  return [...names]
}

function keyColumns(table: TableSchema | undefined): readonly string[] {
  return table?.primaryKey ?? ['id']
}

function typeOf(table: TableSchema | undefined, column: string): string | undefined {
  return table?.columns.find(({ name }) => name === column)?.type
}

function joined(parts: readonly string[]): string {
  return parts.length === 1 ? parts[0]! : JSON.stringify(parts)
}

function partsOf(id: string, count: number): Json[] | undefined {
  const parts = jsonOf(id)
  return Array.isArray(parts) && parts.length === count ? parts : undefined
}

function uuidText(text: string): string {
  const hex = text.toLowerCase().replace(/[-{}]/g, '')
  return /^[0-9a-f]{32}$/.test(hex) ? dashed(hex) : text
}

const INSTANT = /^(\d{4}|[+-]\d{4,6})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(Z|[+-]\d\d(?::?\d\d)?)?$/i

/** An instant in UTC with six digits of fraction, a year beyond 9999 with a sign and six; what is none stays as it is. */
function instantText(text: string): string {
  const [, year, month, day, hour, minute, second, fraction = '', offset = 'Z'] = INSTANT.exec(text) ?? []
  if (year === undefined) return text
  const [sign, hours, minutes] = /z/i.test(offset) ? ['+', '0', '0'] : [offset[0], offset.slice(1, 3), offset.slice(3).replace(':', '') || '0']
  const shift = (Number(hours) * 60 + Number(minutes)) * (sign === '-' ? 1 : -1)
  const at = new Date(0)
  // Not `Date.UTC`: it takes the first hundred years for others.
  at.setUTCFullYear(Number(year), Number(month) - 1, Number(day))
  at.setUTCHours(Number(hour), Number(minute) + shift, Number(second))
  return Number.isNaN(at.getTime()) ? text : `${at.toISOString().slice(0, -5)}.${fraction.slice(0, 6).padEnd(6, '0')}Z`
}

/** RFC 3986: everything but the unreserved characters. */
function percent(text: string): string {
  return encodeURIComponent(wellFormed(text)).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** Half a character becomes the sign for one that is not known, as it does on its way through UTF-8. */
function wellFormed(text: string): string {
  return text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, '\ufffd')
}
