// Optimistic bodies beside the server's mutators: what a write will probably do, shown until the server says what it did.
import type { NizhalClient } from './client'
import type { Effect } from './engine/op'
import { applied } from './engine/overlay'
import { messageOf } from './platform'
import { keyFrom, keyOf } from './protocol/key'
import { MAX_MS } from './protocol/hlc'
import { bounded } from './protocol/number'
import type { Schema } from './protocol/schema'
import type { Json, Row } from './protocol/wire'
import type { NizhalWrite } from './status'

/** Tables by name, and what a row of each is. */
export type Tables = Record<string, object>

/** What a body may do. Rows are read as the screen shows them, with this body's own writes. */
export interface MutatorTx<Rows extends Tables = Record<string, Row>> {
  get<Table extends keyof Rows & string>(table: Table, key: string): Promise<Rows[Table] | undefined>
  /** Columns left out are null, or what the table's default is where the device can know it. */
  insert<Table extends keyof Rows & string>(table: Table, row: Partial<Rows[Table]>): void
  update<Table extends keyof Rows & string>(table: Table, key: string, patch: Partial<Rows[Table]>): void
  delete<Table extends keyof Rows & string>(table: Table, key: string): void
  /** The time of the write, RFC 3339: the same that the row shows until the server's comes. */
  readonly now: string
  readonly newId: () => string
}

/** Bodies by the mutators' names. */
export type MutatorBodies<Args extends Record<string, object>, Rows extends Tables> = {
  [Name in keyof Args]: (tx: MutatorTx<Rows>, args: Args[Name]) => void | Promise<void>
}

/** A write on its way. */
export interface Pending {
  id: string
  write: NizhalWrite
  /** Resolves when the server applied it and the rows show it; rejects with `WriteRejected`. */
  confirmed: Promise<void>
  /** Why the body failed on the rows that are here. The mutator is replayed: the write waits without effect, and the server decides. */
  undecided?: string
}

/** Options of one call. */
export interface CallOptions {
  /** Writes without which this one makes no sense; those that made the rows it writes to are found by themselves. */
  dependsOn?: readonly string[]
}

/** One function for each mutator. It resolves when the write is on the device's disk. */
export type Mutators<Args extends Record<string, object>> = {
  [Name in keyof Args]: (args: Args[Name], options?: CallOptions) => Promise<Pending>
}

/** Binds bodies to a client. */
export function createNizhalMutators<Args extends Record<string, object>, Rows extends Tables>(client: NizhalClient, bodies: MutatorBodies<Args, Rows>): Mutators<Args> {
  const call = async (name: keyof Args & string, args: object, { dependsOn = [] }: CallOptions = {}): Promise<Pending> => {
    const tx = new Recorder(client)
    let undecided: string | undefined
    try {
      await bodies[name](tx as unknown as MutatorTx<Rows>, args as Args[keyof Args & string])
    } catch (error) {
      // It takes effect at its place in time, on rows that this device may lack.
      if (!client.schema?.replayed?.includes(name)) throw error
      undecided = messageOf(error)
    }
    const on = new Set([...dependsOn, ...tx.readFrom])
    const write = await client.mutate({ name, args: plain(args), effects: undecided === undefined ? tx.effects : [], dependsOn: [...on] })
    return { ...pendingOf(client, write), ...(undecided !== undefined && { undecided }) }
  }
  const mutators: Partial<Mutators<Args>> = {}
  for (const name of Object.keys(bodies) as (keyof Args & string)[]) mutators[name] = (args, options) => call(name, args, options)
  return mutators as Mutators<Args>
}

/** A write with the promise of its answer. */
export function pendingOf(client: NizhalClient, write: NizhalWrite): Pending {
  const confirmed = client.confirmed(write.id)
  // Who does not wait for it sees the refusal in the list of writes; it is no unhandled error.
  confirmed.catch(() => undefined)
  return { id: write.id, write, confirmed }
}

/** Values as they travel: what JSON cannot say is refused here, where the caller sees it, and not after a reload. */
export function plain(value: unknown, at = 'args'): Json {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new TypeError(`${at} is ${value}, which JSON cannot say`)
    return value
  }
  // 64-bit integers and decimals travel as text.
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Date) return value.toISOString()
  if (Array.isArray(value)) return value.map((item, index) => plain(item, `${at}[${index}]`))
  if (typeof value === 'object' && (Object.getPrototypeOf(value) === Object.prototype || Object.getPrototypeOf(value) === null)) {
    const fields = Object.entries(value as object).filter(([, field]) => field !== undefined)
    return Object.fromEntries(fields.map(([name, field]) => [name, plain(field, `${at}.${name}`)]))
  }
  throw new TypeError(`${at} is a ${typeof value} that JSON cannot say; bytes go as base64`)
}

/** A time as rows show it: RFC 3339, also where a device's clock is out of its mind. */
export function timeText(ms: number): string {
  return new Date(bounded(ms, 0, 0, MAX_MS)).toISOString()
}

/** The row that an insert will probably make: columns left out as the table's declaration says. */
export function completed(schema: Schema | undefined, table: string, row: Row, now: string): Row {
  const whole: Row = { updated_at: now, deleted_at: null }
  for (const { name, default: standard } of schema?.tables[table]?.columns ?? []) {
    const isNow = typeof standard === 'object' && standard !== null && 'now' in standard
    whole[name] = isNow ? now : ((standard as Json | undefined) ?? null)
  }
  return { ...whole, ...row }
}

class Recorder implements MutatorTx {
  readonly effects: Effect[] = []
  /** Pending writes that made the rows this body read. */
  readonly readFrom = new Set<string>()
  readonly now: string
  readonly newId: () => string

  constructor(private readonly client: NizhalClient) {
    this.now = timeText(client.environment.nowMs())
    this.newId = client.environment.newId
  }

  async get(table: string, named: string): Promise<Row | undefined> {
    const key = this.#key(table, named)
    for (const write of this.client.writes) {
      if (write.state === 'pending' && write.rows.some((row) => row.table === table && row.key === key && row.isNew)) this.readFrom.add(write.id)
    }
    let row = await this.client.get(table, key)
    for (const effect of this.effects) {
      if (effect.table === table && effect.key === key) row = applied(effect, row)
    }
    return row
  }

  insert(table: string, row: Row): void {
    const { schema } = this.client
    const whole = completed(schema, table, plain(row, table) as Row, this.now)
    this.effects.push({ table, key: keyOf(schema?.tables[table], whole), kind: 'insert', row: whole })
  }

  update(table: string, key: string, patch: Row): void {
    this.effects.push({ table, key: this.#key(table, key), kind: 'update', patch: plain({ updated_at: this.now, ...patch }, table) as Row })
  }

  delete(table: string, key: string): void {
    this.effects.push({ table, key: this.#key(table, key), kind: 'delete' })
  }

  #key(table: string, key: string): string {
    return keyFrom(this.client.schema?.tables[table], key)
  }
}
