// What a lost bucket takes along.
import { bucketsOf } from '../protocol/key'
import type { Schema } from '../protocol/schema'
import type { RowKey, Store } from '../store/store'

/** The rows of lost buckets, and whether some of them may be in a bucket that is still held. */
export async function purged(store: Store, schema: Schema | undefined, lost: ReadonlySet<string>): Promise<{ gone: RowKey[]; ambiguous: boolean }> {
  const gone: RowKey[] = []
  let ambiguous = schema === undefined
  for (const [table, described] of Object.entries(schema?.tables ?? {})) {
    if (!described.buckets.some(({ rule }) => [...lost].some((name) => name.startsWith(`${rule}:`)))) continue
    for (const [key, row] of await store.scan(table)) {
      const names = bucketsOf(described, row)
      if (names && !names.some((name) => lost.has(name))) continue
      gone.push({ table, key })
      if (!names || !names.every((name) => lost.has(name))) ambiguous = true
    }
  }
  return { gone, ambiguous }
}
