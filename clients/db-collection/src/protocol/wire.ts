// Wire 2 as this client reads it: the shapes of the wire protocol, and a door that lets nothing else in.

/** What JSON can say. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

/** A row as the server sends it: column name to value. */
export type Row = Record<string, Json>

/** A row that is gone: `id` is its key as text. */
export interface Gone {
  table: string
  id: string
}

/** One answer of `POST /sync/pull`. */
export interface Page {
  changed: { table: string; rows: Row[] }[]
  tombstoned: Gone[]
  removed: Gone[]
  removedBuckets: string[]
  cursor: string
  epoch: string
  cursorReset: boolean
  hasMore: boolean
  lastMutationId: number
}

/** One mutation of `POST /sync/push`. */
export interface Mutation {
  name: string
  args: Json
  clientMutationId: string
  clientID: string
  mutationID: number
  hlc: string
  dependsOn?: string[]
}

/** What became of one mutation. */
export interface MutationResult {
  clientMutationId: string
  status: 'applied' | 'duplicate' | 'rejected' | 'outOfOrder' | 'forbidden' | 'cancelled'
  code?: string
  error?: string
  clientId?: string
  serverId?: string
  lastMutationId?: number
}

/** An answer that is not what the wire protocol says: cut, mangled, or another server's. Nothing of it is applied. */
export class MalformedAnswer extends Error {
  override name = 'MalformedAnswer'
}

const STATUSES = new Set(['applied', 'duplicate', 'rejected', 'outOfOrder', 'forbidden', 'cancelled'])

/** Reads a pull's answer; an answer that lacks a field is refused whole. */
export function readPage(body: unknown): Page {
  const page = object(body, 'a pull answers with an object')
  return { ...rest(page), changed: list(page['changed'], 'changed').map(readBatch) }
}

/** Reads one line of a streamed pull: rows of a table, or, as the last, all but the rows. */
export function readLine(body: unknown): { last?: undefined; table: string; rows: Row[] } | { last: Page } {
  const line = object(body, 'a line is an object')
  return 'rows' in line ? readBatch(line) : { last: rest(line) }
}

function readBatch(batch: unknown): { table: string; rows: Row[] } {
  const { table, rows } = object(batch, 'a batch is an object')
  return { table: text(table, 'table'), rows: list(rows, 'rows').map((row) => object(row, 'a row is an object') as Row) }
}

function rest(page: Record<string, unknown>): Page {
  return {
    changed: [],
    tombstoned: list(page['tombstoned'], 'tombstoned').map(gone),
    removed: list(page['removed'], 'removed').map(gone),
    removedBuckets: list(page['removedBuckets'], 'removedBuckets').map((name) => text(name, 'removedBuckets')),
    cursor: text(page['cursor'], 'cursor'),
    epoch: text(page['epoch'], 'epoch'),
    cursorReset: page['cursorReset'] === true,
    hasMore: page['hasMore'] === true,
    lastMutationId: typeof page['lastMutationId'] === 'number' ? page['lastMutationId'] : 0,
  }
}

/** Reads the results of a push, also those that an error's body carries. */
export function readResults(body: unknown): MutationResult[] {
  const { results } = object(body, 'a push answers with an object')
  return list(results, 'results').map((item) => {
    const result = object(item, 'a result is an object')
    text(result['clientMutationId'], 'clientMutationId')
    if (!STATUSES.has(text(result['status'], 'status'))) throw new MalformedAnswer(`no result is called ${String(result['status'])}`)
    return result as unknown as MutationResult
  })
}

function gone(item: unknown): Gone {
  const { table, id } = object(item, 'what is gone is an object')
  return { table: text(table, 'table'), id: text(id, 'id') }
}

function object(value: unknown, said: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new MalformedAnswer(said)
  return value as Record<string, unknown>
}

function list(value: unknown, field: string): unknown[] {
  if (!Array.isArray(value)) throw new MalformedAnswer(`${field} is a list`)
  return value
}

function text(value: unknown, field: string): string {
  if (typeof value !== 'string') throw new MalformedAnswer(`${field} is a text`)
  return value
}
