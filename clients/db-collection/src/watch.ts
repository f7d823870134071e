// Who looks at tables in this tab: all rows first, then what changes; or some rows, and when to read them again.
import { Emitter, type Changes } from './engine/change'
import type { Row } from './protocol/wire'

/** One row that is another now; without a row it is gone. */
export interface RowChange {
  key: string
  row: Row | undefined
}

/** One table's listener: first all rows as a `reset`, then what changes. */
export type WatchListener = (event: { reset: boolean; changes: RowChange[] }) => void

/** A listener of somebody who holds some of a table's rows: `reread` says that what is held has to be asked for again. */
export type WatchSomeListener = (event: { reread: boolean; changes: RowChange[] }) => void

/** How all rows of a table are read. */
export type ReadRows = (table: string, deliver: (rows: Map<string, Row>) => void) => Promise<void>

/** What is told of rows. */
export class Watches {
  readonly changes = new Emitter<Changes>()
  /** Whoever holds rows has to read them again: another tab leads now. */
  readonly rescans = new Emitter<void>()

  constructor(
    private readonly read: ReadRows,
    private readonly ready: Promise<void>,
  ) {}

  /** All rows of a table now, then every change, in order. */
  all(table: string, listener: WatchListener): () => void {
    let live = false
    let stopped = false
    const scan = () => {
      live = false
      const delivered = this.read(table, (rows) => {
        if (stopped) return
        live = true
        listener({ reset: true, changes: [...rows].map(([key, row]) => ({ key, row })) })
      })
      delivered.catch(() => undefined)
    }
    const stops = [
      this.#of(table, (reset, isMuch, changes) => {
        // What comes before the scan is in the scan.
        if (!live) return
        // It was too much before anybody held the table whole.
        if (isMuch) scan()
        else listener({ reset, changes })
      }),
      this.rescans.on(scan),
      () => (stopped = true),
    ]
    void this.ready.then(() => !live && !stopped && scan(), () => undefined)
    return () => stops.forEach((stop) => stop())
  }

  /** Every change of a table, for somebody who holds some of its rows. */
  some(table: string, listener: WatchSomeListener): () => void {
    const stops = [
      this.#of(table, (reset, isMuch, changes) => listener({ reread: reset || isMuch, changes: reset || isMuch ? [] : changes })),
      this.rescans.on(() => listener({ reread: true, changes: [] })),
    ]
    return () => stops.forEach((stop) => stop())
  }

  /** What concerns a table, where anything does. */
  #of(table: string, hear: (reset: boolean, isMuch: boolean, changes: RowChange[]) => void): () => void {
    return this.changes.on(({ reset, changes, many }) => {
      const own = changes.filter((change) => change.table === table)
      if (reset || many.includes(table) || own.length > 0) hear(reset, many.includes(table), own)
    })
  }
}
