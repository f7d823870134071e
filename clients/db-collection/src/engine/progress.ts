// Whether a pull gets anywhere: a server that says "more" for ever must not be asked for ever.
import type { Page } from '../protocol/wire'
import { SyncError } from './transport'

/** Pages in a row that are nearly empty and still not the last. */
const MAX_THIN_PAGES = 20
/** Parts of one pull that are shown before the rest: a rule's priority is a byte. */
const MAX_PARTS = 256
/** Times that one pull may be told to start again: a reset, or another epoch. */
const MAX_RESETS = 3

/** Follows the pages of one pull. What was stored stays stored: the next pull goes on from there. */
export class Progress {
  #thin = 0
  #resets = 0
  #parts = 0
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
    // The buckets of one priority are whole: there are only so many of these.
    if (page.complete) this.#parts += 1
    else this.#thin = rows * 4 < this.pageRows ? this.#thin + 1 : 0
    if (this.#thin > MAX_THIN_PAGES || this.#parts > MAX_PARTS) throw endless('busy', 'pages_without_end', 'and sends next to nothing')
  }
}

/** How far a pull of much has come; the next one goes on with it, where it was cut. */
export class Received {
  rows = 0
  total: number | undefined
  #before = 0
  #now = 0

  constructor(private readonly tell?: (received: Received) => void) {}

  /** An answer begins. */
  begin(): void {
    this.#now = 0
  }

  /** Rows came. What comes a second time counts once it is more than before: the number never goes back, nor beyond the total. */
  see(rows: number, total?: number): void {
    if (total !== undefined) this.total = Math.max(this.total ?? 0, this.#before + total)
    this.#now += rows
    this.rows = Math.min(Math.max(this.rows, this.#before + this.#now), this.total ?? Infinity)
    if (rows > 0) this.tell?.(this)
  }

  /** The answer is stored. */
  keep(): void {
    this.#before += this.#now
    this.#now = 0
  }
}

function endless(kind: SyncError['kind'], code: string, how: string): SyncError {
  return new SyncError(kind, code, `the server says that more waits, ${how}`)
}
