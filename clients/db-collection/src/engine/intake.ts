// A pull that comes as a stream: its rows are staged as they arrive, and count when its last line does.
import { keyOf } from '../protocol/key'
import type { Schema } from '../protocol/schema'
import type { Row } from '../protocol/wire'
import type { RowKey } from '../store/store'
import { isKeyed } from './keyed'
import { Unshown } from './unshown'

/** Rows that are staged in one transaction. */
const ROWS = 2000

/** Takes the lines of one stream. */
export class Intake {
  readonly unshown: Unshown
  /** Whether something of it is in the store. */
  begun = false
  #rows: (RowKey & { row: Row })[] = []

  constructor(
    /** Stages rows, the first time in place of whatever an earlier stream left; throws when the stream is no longer awaited. */
    private readonly stage: (rows: (RowKey & { row: Row })[], first: boolean) => Promise<void>,
    private readonly schema: Schema | undefined,
    whole: ReadonlySet<string>,
    /** A first sync replaces everything: which rows changed is not asked. */
    private readonly first: boolean,
  ) {
    this.unshown = new Unshown(whole)
  }

  async take(table: string, rows: readonly Row[]): Promise<void> {
    const described = this.schema?.tables[table]
    for (const row of rows) if (isKeyed(table, described, row)) this.#rows.push({ table, key: keyOf(described, row), row })
    if (this.#rows.length >= ROWS) await this.flush()
  }

  async flush(): Promise<void> {
    if (this.#rows.length === 0) return
    const rows = this.#rows
    this.#rows = []
    await this.stage(rows, !this.begun)
    this.begun = true
    if (!this.first) this.unshown.note({ put: rows })
  }
}
