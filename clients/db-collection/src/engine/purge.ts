// What a lost bucket takes along.
import { bucketsOf } from '../protocol/key'
import type { Schema } from '../protocol/schema'
import type { RowKey, Store } from '../store/store'

/** The rows of lost buckets, and whether some of them may be in a bucket that is still held. */
export async function purged(store: Store, schema: Schema | undefined, names: readonly string[]): Promise<{ gone: RowKey[]; ambiguous: boolean }> {
  const gone: RowKey[] = []
  const rules = new Set(Object.values(schema?.tables ?? {}).flatMap(({ buckets }) => buckets.map(({ rule }) => rule)))
  // Wire 1 gives a bucket's bare value: it may be any rule's.
  const bare = names.filter((name) => ![...rules].some((rule) => name.startsWith(`${rule}:`)))
  const lost = new Set([...names, ...bare.flatMap((value) => [...rules].map((rule) => `${rule}:${value}`))])
  let ambiguous = schema === undefined || bare.length > 0
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
