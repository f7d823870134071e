// Which blobs the rows of a device name, and which of them rows that leave it named.
import type { PageWatcher, Replica } from '../engine/replica'
import { blobsIn, blobsOf } from '../protocol/blob'
import type { Batch, Store } from '../store/store'

/** Notes the blobs of rows that leave, and tells of them when a snapshot is complete: these, or `all` that no row names now. */
export class Leaving implements PageWatcher {
  #unnamed: Set<string> | 'all' = new Set()

  constructor(private readonly tell: (unnamed: ReadonlySet<string> | 'all') => void) {}

  async before({ reset, drop = [] }: Batch, store: Store): Promise<void> {
    if (reset) this.#unnamed = 'all'
    const keys = new Map<string, string[]>()
    for (const { table, key } of drop) (keys.get(table) ?? keys.set(table, []).get(table)!).push(key)
    for (const [table, gone] of keys) {
      if (this.#unnamed === 'all') return
      for (const row of (await store.get(table, gone)).values()) for (const sha256 of blobsOf(row)) this.#unnamed.add(sha256)
    }
  }

  complete(): void {
    const unnamed = this.#unnamed
    this.#unnamed = new Set()
    if (unnamed === 'all' || unnamed.size > 0) this.tell(unnamed)
  }
}

/** The blobs that rows or writes name; `undefined` while the tables are not known. */
export async function namedBlobs(replica: Replica): Promise<Set<string> | undefined> {
  const { described, outbox } = replica
  if (!described) return undefined
  const named = new Set(outbox.ops.flatMap(({ args }) => [...blobsIn(args)]))
  for (const [table, { columns }] of Object.entries(described.tables)) {
    if (!columns.some(({ blob }) => blob)) continue
    for (const [, row] of await replica.read((store) => store.scan(table))) for (const sha256 of blobsOf(row)) named.add(sha256)
  }
  return named
}
