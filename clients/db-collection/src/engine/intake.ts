// A pull that comes as a stream, or by images: its rows are staged as they arrive, and count when its end does.
import { keyOf } from '../protocol/key'
import type { Schema } from '../protocol/schema'
import type { Row } from '../protocol/wire'
import type { FileSource, RowKey, StageImages, Staging, Store } from '../store/store'
import { isKeyed } from './keyed'
import { Unshown } from './unshown'

/** Rows that are staged in one transaction. */
const ROWS = 2000

/** Takes the lines of one stream, and the images of one pull. */
export class Intake {
  readonly unshown: Unshown
  /** Whether something of it is in the store. */
  begun = false
  /** Whether rows came whose names are not known. */
  imaged = false
  #rows: (RowKey & { row: Row })[] = []

  constructor(
    private readonly store: Store,
    /** Runs one step alone; throws when the pull is no longer awaited. */
    private readonly step: Staging['step'],
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
    await this.#stage(rows)
    if (!this.first) this.unshown.note({ put: rows })
  }

  /** Stages what images stand for, under the rows that came; false where one cannot be had. */
  async images(images: readonly unknown[], epoch: string, source: FileSource, take: StageImages): Promise<boolean> {
    await this.#stage([])
    this.imaged = true
    return !this.schema ? false : take(images, { schema: this.schema, epoch, source, step: this.step })
  }

  /** The first time in place of whatever an earlier pull left. */
  async #stage(stage: (RowKey & { row: Row })[]): Promise<void> {
    await this.step(() => this.store.commit({ stage, ...(!this.begun && { staged: 'forget' }) }))
    this.begun = true
  }
}
