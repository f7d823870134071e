// Rows that cannot be kept: one of them is its own trouble, not its page's.
import { hasKey, keyOf } from '../protocol/key'
import type { TableSchema } from '../protocol/schema'
import type { Row } from '../protocol/wire'
import { report } from '../platform'

/** Whether a row can be kept: two that lack their keys would take each other's place. One that cannot is told of by table and key. */
export function isKeyed(table: string, described: TableSchema | undefined, row: Row): boolean {
  if (hasKey(described, row)) return true
  report(new Error(`the server sent a row of ${table} without its key (${keyOf(described, row)}); it is not shown`))
  return false
}
