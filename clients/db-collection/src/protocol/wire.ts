// Wire 2 as this client reads it: the shapes of the wire protocol, and a door that lets nothing else in.
import { countOf } from './number'

/** What JSON can say. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

/** What a text says in JSON; `undefined` where it is none. */
export function jsonOf(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
}

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
  /** With `hasMore`: all buckets but those of `laterRules` are whole, and may be shown. */
  complete?: boolean | undefined
  laterRules?: string[] | undefined
  /** How many rows come with this answer and those after it, where that was asked; never too few. */
  total?: number | undefined
  /** Mutations of this device that got another result than they were answered with. */
  revised?: MutationResult[] | undefined
  /** What stands for rows in files; the store that fetches them looks at what it is. */
  images?: unknown[] | undefined
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
  const page = object(body, 'the answer')
  return { ...rest(page), changed: list(page['changed'], 'changed').map(readBatch) }
}

/** Reads one line of a streamed pull: rows of a table, or, as the last, all but the rows. */
export function readLine(body: unknown): { last?: undefined; table: string; rows: Row[]; total?: number } | { last: Page } {
  const line = object(body, 'a line')
  return 'rows' in line ? { ...readBatch(line), ...(line['total'] !== undefined && { total: countOf(line['total']) }) } : { last: rest(line) }
}

function readBatch(batch: unknown): { table: string; rows: Row[] } {
  const { table, rows } = object(batch, 'a batch')
  return { table: text(table, 'table'), rows: list(rows, 'rows').map((row) => object(row, 'a row') as Row) }
}

function rest(page: Record<string, unknown>): Page {
  const where = <Value>(field: string, read: (value: unknown, field: string) => Value) => (page[field] === undefined ? undefined : read(page[field], field))
  return {
    changed: [],
    tombstoned: list(page['tombstoned'], 'tombstoned').map(gone),
    removed: list(page['removed'], 'removed').map(gone),
    removedBuckets: texts(page['removedBuckets'], 'removedBuckets'),
    cursor: text(page['cursor'], 'cursor'),
    epoch: text(page['epoch'], 'epoch'),
    cursorReset: page['cursorReset'] === true,
    hasMore: page['hasMore'] === true,
    lastMutationId: countOf(page['lastMutationId']),
    complete: page['complete'] === true || undefined,
    laterRules: where('laterRules', texts),
    total: where('total', countOf),
    revised: where('revised', resultsOf),
    images: where('images', list),
  }
}

/** Reads the results of a push, also those that an error's body carries. */
export function readResults(body: unknown): MutationResult[] {
  return resultsOf(object(body, 'the answer')['results'], 'results')
}

function resultsOf(value: unknown, field: string): MutationResult[] {
  return list(value, field).map((item) => {
    const result = object(item, 'a result')
    const status = text(result['status'], 'status')
    if (!STATUSES.has(status)) throw new MalformedAnswer(`no result is called ${status}`)
    const words = (['code', 'error', 'clientId', 'serverId'] as const).filter((name) => typeof result[name] === 'string')
    return {
      clientMutationId: text(result['clientMutationId'], 'clientMutationId'),
      status: status as MutationResult['status'],
      ...Object.fromEntries(words.map((name) => [name, result[name]])),
      ...(result['lastMutationId'] !== undefined && { lastMutationId: countOf(result['lastMutationId']) }),
    }
  })
}

/**
 * Reads the answer to a push of these mutations. A server, or a proxy that drops headers, may speak wire 1: what it lists is applied,
 * and the first that it does not list and whose number is used up never ran.
 */
export function readPush(body: unknown, sent: readonly Mutation[]): MutationResult[] {
  const answer = object(body, 'the answer')
  if (answer['results'] !== undefined || !Array.isArray(answer['applied'])) return readResults(answer)
  const [results, rest] = appliedOf(answer, sent)
  const [next] = rest
  const sequences = answer['clientSequences'] as Record<string, unknown> | undefined
  const last = countOf(answer['lastMutationId'] ?? (next && sequences?.[next.clientID]))
  if (next && next.mutationID <= last) results.push({ clientMutationId: next.clientMutationId, status: 'rejected', code: 'number_used', lastMutationId: last })
  return results
}

/** What wire 1 says finally of one mutation, by code, beside every 422: the first that was not applied. */
const FINAL: Record<string, MutationResult['status']> = {
  unknown_mutator: 'rejected',
  client_id_taken: 'forbidden',
  forbidden: 'forbidden',
  out_of_order: 'outOfOrder',
}

/** Reads the refusal of a push: in wire 2 the results before it, in wire 1 also what it is about. Empty when it says nothing of either. */
export function readRefusal(status: number, body: unknown, sent: readonly Mutation[]): MutationResult[] {
  const answer = object(body, 'the answer')
  if (answer['results'] !== undefined) return readResults(answer)
  const [results, [next]] = appliedOf(answer, sent)
  const { code, error } = answer
  const final = typeof code !== 'string' ? undefined : status === 422 ? 'rejected' : FINAL[code]
  if (!next || !final) return results
  const last = answer['lastMutationId'] !== undefined && { lastMutationId: countOf(answer['lastMutationId']) }
  return [...results, { clientMutationId: next.clientMutationId, status: final, code: code as string, ...(typeof error === 'string' && { error }), ...last }]
}

function appliedOf(answer: Record<string, unknown>, sent: readonly Mutation[]): [results: MutationResult[], rest: Mutation[]] {
  const applied = new Set(Array.isArray(answer['applied']) ? answer['applied'] : [])
  const results = sent.filter(({ clientMutationId }) => applied.has(clientMutationId))
  return [results.map(({ clientMutationId }) => ({ clientMutationId, status: 'applied' })), sent.filter((one) => !results.includes(one))]
}

function gone(item: unknown): Gone {
  const { table, id } = object(item, 'what is gone')
  return { table: text(table, 'table'), id: text(id, 'id') }
}

function object(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new MalformedAnswer(`${what} is no object`)
  return value as Record<string, unknown>
}

function list(value: unknown, field: string): unknown[] {
  if (!Array.isArray(value)) throw new MalformedAnswer(`${field} is no list`)
  return value
}

function texts(value: unknown, field: string): string[] {
  return list(value, field).map((item) => text(item, field))
}

function text(value: unknown, field: string): string {
  if (typeof value !== 'string') throw new MalformedAnswer(`${field} is no text`)
  return value
}
