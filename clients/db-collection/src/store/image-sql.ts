// The rows of an image as the store keeps them: what SQL spells a cell's JSON and a row's key, from the types that the file declares.
import { toBase64 } from '../protocol/base64'
import { keyText } from '../protocol/key'
import type { TableSchema } from '../protocol/schema'

/** A column as the file has it. */
export interface ImageColumn {
  name: string
  /** As it is declared there. */
  type: string
}

/** How a type's cells are spelled. */
interface Spelling {
  /** The text of a cell, NULL of one that is. */
  text(cell: string): string
  /**
   * What of it is given to `json_object`, which quotes texts and takes most of the time; `raw`: the text stands in the row as it is, where
   * SQLite would read it anew, or spell it with fewer digits.
   */
  json: 'cell' | 'text' | 'raw'
}

const whole = (cell: string) => `cast(${cell} as text)`
/** What SQL cannot spell, `textOfCell` does. A year with a sign sorts before all others. */
const outside = (type: string) => (cell: string) => `nizhal_text('${type}', ${cell})`
const outsideIfSigned = (type: string, cell: string, usual: string) => `case when ${cell} is null then null when ${cell} < '0' then ${outside(type)(cell)} else ${usual} end`
const UUID_PARTS = [[1, 8], [9, 4], [13, 4], [17, 4], [21, 12]] as const

const SPELLINGS: Record<string, Spelling> = {
  boolean: { text: (cell) => `case ${cell} when 0 then 'false' when 1 then 'true' end`, json: 'raw' },
  smallint: { text: whole, json: 'cell' },
  integer: { text: whole, json: 'cell' },
  // No precision is lost in a text.
  bigint: { text: whole, json: 'text' },
  double: { text: outside('double'), json: 'raw' },
  text: { text: (cell) => cell, json: 'cell' },
  uuid_text: {
    text: (cell) => `case when ${cell} is not null then lower(${UUID_PARTS.map(([from, length]) => `substr(hex(${cell}), ${from}, ${length})`).join(" || '-' || ")}) end`,
    json: 'text',
  },
  // The file has as many digits of a fraction as there are, in threes, and the wire six.
  timestamp_with_timezone_text: {
    text: (cell) =>
      outsideIfSigned('timestamptz', cell, `case length(${cell}) when 32 then substr(${cell}, 1, 26) || 'Z' when 25 then substr(${cell}, 1, 19) || '.000000Z' when 29 then substr(${cell}, 1, 23) || '000Z' else ${outside('timestamptz')(cell)} end`),
    json: 'text',
  },
  date_text: { text: (cell) => outsideIfSigned('date', cell, cell), json: 'text' },
  time_text: { text: (cell) => `case length(${cell}) when 8 then ${cell} else substr(${cell} || '000000', 1, 15) end`, json: 'text' },
  json_text: { text: (cell) => cell, json: 'raw' },
  blob: { text: outside('bytea'), json: 'text' },
}

/** As many columns as `json_object` takes; SQLite's limit is 100 arguments. */
const MAX_MEMBERS = 50

/** The text of a cell that SQL cannot spell, as the wire has it: the function `nizhal_text` of a driver's SQLite. */
export function textOfCell(type: unknown, cell: unknown): string | null {
  if (cell === null || cell === undefined) return null
  if (cell instanceof Uint8Array) return toBase64(cell)
  return type === 'double' ? JSON.stringify(Number(cell)) : keyText(String(cell), String(type))
}

/** A name in SQL. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** The key and the row of each row of a table, of the columns that devices see; `undefined` where the file has what is not known here. */
export function rowSqlOf(table: TableSchema, columns: readonly ImageColumn[]): { key: string; row: string } | undefined {
  const shown = new Set([...table.columns.map(({ name }) => name), 'updated_at', 'deleted_at'])
  const texts = new Map<string, string>()
  const members: string[] = []
  const raw: string[] = []
  for (const { name, type } of columns) {
    if (!shown.has(name)) continue
    const spelling = SPELLINGS[type.toLowerCase()]
    if (!spelling) return undefined
    const cell = quoted(name)
    const text = spelling.text(cell)
    texts.set(name, text)
    if (spelling.json !== 'raw' && members.length < MAX_MEMBERS) members.push(`${literal(name)}, ${spelling.json === 'cell' ? cell : text}`)
    else raw.push(`${literal(`${JSON.stringify(name)}:`)} || ifnull(${spelling.json === 'raw' || ['smallint', 'integer'].includes(type.toLowerCase()) ? text : `json_quote(${text})`}, 'null')`)
  }
  const key = table.primaryKey.map((name) => texts.get(name))
  if (key.length === 0 || key.some((part) => part === undefined)) return undefined
  const object = `json_object(${members.join(', ')})`
  return {
    key: key.length === 1 ? key[0]! : `'[' || ${key.map((part) => `json_quote(${part})`).join(" || ',' || ")} || ']'`,
    row: raw.length === 0 ? object : `'{' || ${raw.join(" || ',' || ")} || ${members.length === 0 ? "'}'" : `',' || substr(${object}, 2)`}`,
  }
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
