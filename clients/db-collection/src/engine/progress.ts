// Whether a pull gets anywhere: a server that says "more" for ever must not be asked for ever.
import type { Page } from '../protocol/wire'
import { SyncError } from './transport'

/** Pages in a row that are nearly empty and still not the last. */
const MAX_THIN_PAGES = 20
/** Times that one pull may be told to start again: a reset, or another epoch. */
const MAX_RESETS = 3

/** Follows the pages of one pull. What was stored stays stored: the next pull goes on from there. */
export class Progress {
  #thin = 0
  #resets = 0
  #rows = 0
  #epoch: string | undefined
  readonly #cursors = new Set<string>()

  constructor(private readonly pageRows: number) {}

  /** Rows came before the page's own, in a stream. */
  see(rows: number): void {
    this.#rows += rows
  }

  /** Throws when this page leads nowhere. */
  note(page: Page, asked: string): void {
    const { changed, tombstoned, removed, removedBuckets, cursor, epoch, cursorReset, hasMore } = page
    const rows = changed.reduce((sum, { rows }) => sum + rows.length, this.#rows) + tombstoned.length + removed.length + removedBuckets.length
    this.#rows = 0
    if (cursorReset || (this.#epoch !== undefined && this.#epoch !== epoch)) this.#resets += 1
    this.#epoch = epoch
    if (this.#resets > MAX_RESETS) throw endless('refused', 'resets_without_end', 'and tells this device to start again, again and again')
    if (!hasMore) return
    if (cursor === asked) throw endless('refused', 'cursor_stands_still', 'but its cursor does not move')
    if (this.#cursors.has(cursor)) throw endless('refused', 'cursor_goes_round', 'but its cursor comes back to where it was')
    // After a reset it may pass where it was before.
    if (cursorReset) this.#cursors.clear()
    this.#cursors.add(cursor)
    this.#thin = rows * 4 < this.pageRows ? this.#thin + 1 : 0
    if (this.#thin > MAX_THIN_PAGES) throw endless('busy', 'pages_without_end', 'and sends next to nothing')
  }
}

function endless(kind: SyncError['kind'], code: string, how: string): SyncError {
  return new SyncError(kind, code, `the server says that more waits, ${how}`)
}
