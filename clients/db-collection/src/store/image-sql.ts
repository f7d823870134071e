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
  /** The text of a cell that is not NULL. */
  text(cell: string): string
  /** What the text is in JSON: a string in which nothing need be escaped, any string, or as it stands. */
  json: 'plain' | 'text' | 'raw'
}

const FOUR_DIGITS = "'[0-9][0-9][0-9][0-9]-*'"
const whole = (cell: string) => `cast(${cell} as text)`
/** What SQL cannot spell, `textOfCell` does. */
const outside = (type: string) => (cell: string) => `nizhal_text('${type}', ${cell})`

const SPELLINGS: Record<string, Spelling> = {
  boolean: { text: (cell) => `case ${cell} when 0 then 'false' when 1 then 'true' end`, json: 'raw' },
  smallint: { text: whole, json: 'raw' },
  integer: { text: whole, json: 'raw' },
  // No precision is lost in a text.
  bigint: { text: whole, json: 'plain' },
  double: { text: outside('double'), json: 'raw' },
  text: { text: (cell) => cell, json: 'text' },
  uuid_text: {
    text: (cell) => `lower(${[[1, 8], [9, 4], [13, 4], [17, 4], [21, 12]].map(([from, length]) => `substr(hex(${cell}), ${from}, ${length})`).join(" || '-' || ")})`,
    json: 'plain',
  },
  // The file has as many digits of a fraction as there are, and the wire six.
  timestamp_with_timezone_text: {
    text(cell) {
      const fraction = `replace(substr(${cell}, 20), '+00:00', '')`
      const six = `substr(${fraction} || substr('.000000', length(${fraction}) + 1), 1, 7)`
      return `case when ${cell} glob ${FOUR_DIGITS} then substr(${cell}, 1, 19) || ${six} || 'Z' else ${outside('timestamptz')(cell)} end`
    },
    json: 'plain',
  },
  date_text: { text: (cell) => `case when ${cell} glob ${FOUR_DIGITS} then ${cell} else ${outside('date')(cell)} end`, json: 'plain' },
  time_text: { text: (cell) => `case length(${cell}) when 8 then ${cell} else substr(${cell} || '000000', 1, 15) end`, json: 'plain' },
  json_text: { text: (cell) => cell, json: 'raw' },
  blob: { text: outside('bytea'), json: 'plain' },
}

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
  const cells = new Map<string, { text: string; json: string }>()
  for (const { name, type } of columns) {
    if (!shown.has(name)) continue
    const spelling = SPELLINGS[type.toLowerCase()]
    if (!spelling) return undefined
    const text = spelling.text(quoted(name))
    const json = spelling.json === 'raw' ? text : spelling.json === 'plain' ? `'"' || (${text}) || '"'` : `json_quote(${text})`
    cells.set(name, { text, json: `case when ${quoted(name)} is null then 'null' else ${json} end` })
  }
  const key = table.primaryKey.map((name) => cells.get(name)?.text)
  if (key.length === 0 || key.some((part) => part === undefined)) return undefined
  const members = [...cells].map(([name, { json }]) => `${literal(`${JSON.stringify(name)}:`)} || ${json}`)
  return {
    key: key.length === 1 ? key[0]! : `'[' || ${key.map((part) => `json_quote(${part})`).join(" || ',' || ")} || ']'`,
    row: `'{' || ${members.join(" || ',' || ")} || '}'`,
  }
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
