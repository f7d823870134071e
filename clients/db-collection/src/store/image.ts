// Images: files with the rows of a bucket, fetched where a pull names them, checked, and staged beside the rows that come with the pull.
import { SyncError } from '../engine/transport'
import { canceller, request, within } from '../platform'
import { isSha256 } from '../protocol/blob'
import { keyOf } from '../protocol/key'
import type { Schema } from '../protocol/schema'
import { addressOf } from '../protocol/url'
import type { Row } from '../protocol/wire'
import type { ImageFiles, SqlDriver, SqlValue, Statement } from './driver'
import { quoted, rowSqlOf, type ImageColumn } from './image-sql'
import type { FileSource, StageImages, Staging } from './store'

/** The format of the files that is known here. */
const FORMAT = 1
/** Rows that are staged at a time, so that nobody waits for all of a file to read a row. */
const ROWS = 20_000
/** What is written of a file at a time. */
const PIECE_BYTES = 1 << 20
/** Tries to attach a file: one on OPFS is ready for it only after it was asked for. */
const ATTACH_TRIES = 5
/** Below every rowid. */
const BEFORE_ALL = -Number.MAX_SAFE_INTEGER

/** An image as a pull names it. */
interface Image {
  bucket: string
  version: number
  url: string
  size: number
  sha256: string
}

/** Stages images in a driver's database. */
export function imagesOf(driver: SqlDriver, files: ImageFiles): StageImages {
  return async (named, staging) => {
    const images = named.flatMap((image) => imageOf(image) ?? [])
    if (images.length < named.length) return false
    // A row that is staged stays: of a row that moved meanwhile the later bucket's copy counts.
    images.sort((a, b) => b.version - a.version)
    await files.clean(images.map(({ sha256 }) => sha256))
    for (const image of images) {
      const came = await fetched(files, image, staging.source)
      if (came === 'unreachable') return false
      const path = came === 'whole' ? await files.unpack(image.sha256) : undefined
      if (path === undefined || !(await staged(driver, path, image, staging))) {
        await files.clean([])
        return false
      }
    }
    await files.clean([])
    return true
  }
}

function imageOf(named: unknown): Image | undefined {
  if (typeof named !== 'object' || named === null) return undefined
  const image = named as Image
  const isOne = [image.bucket, image.url].every((text) => typeof text === 'string') && [image.version, image.size].every((number) => Number.isSafeInteger(number))
  return isOne && isSha256(image.sha256) ? image : undefined
}

/**
 * Brings a file, or what is left of it. `unreachable`: not a byte came, be it that there is no network or that this page may not ask there;
 * rows are asked for, and what is here of the file waits for a pull that names it again. Past the browser's cache, which may hold an answer
 * that was cut for whole, and in which a file that is taken over once has no place.
 */
async function fetched(files: ImageFiles, { url, size, sha256 }: Image, { server, fetch, timeoutMs }: FileSource): Promise<'whole' | 'refused' | 'unreachable'> {
  let at = await files.size(sha256)
  if (at === size) return 'whole'
  if (at > size) at = 0
  const stop = canceller()
  const inTime = <Value>(given: Promise<Value>) => within(timeoutMs, given, () => new Error(`the store of images did not answer within ${timeoutMs} ms`))
  let pieces: Uint8Array[] = []
  let held = 0
  let came = 0
  const flush = async () => {
    if (held === 0) return
    await files.write(sha256, at, joined(pieces, held))
    at += held
    held = 0
    pieces = []
  }
  const receive = async () => {
    const answer = await inTime((fetch ?? request)(addressOf(server, url), { cache: 'no-store', ...(stop.signal && { signal: stop.signal }), ...(at > 0 && { headers: { range: `bytes=${at}-` } }) }))
    if (answer.status === 200) at = 0
    if (!(answer.status === 200 || (answer.status === 206 && at > 0)) || !answer.body) return 'refused'
    for (const reader = answer.body.getReader(); ; ) {
      const { done, value } = await inTime(reader.read())
      if (done) return undefined
      pieces.push(value)
      held += value.length
      came += value.length
      if (at + held > size) return 'refused'
      if (held >= PIECE_BYTES) await flush()
    }
  }
  let why = 'it ended too early'
  try {
    const refused = await receive()
    if (refused) return refused
  } catch (error) {
    why = error instanceof Error ? error.message : String(error)
  } finally {
    stop.abort()
  }
  await flush()
  if (at === size) return 'whole'
  if (came === 0) return 'unreachable'
  throw new SyncError('offline', 'cut', `a file of rows was cut: ${why}`)
}

function joined(pieces: readonly Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length)
  let at = 0
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}

/** Stages the rows of an unpacked file; false when it is none that can be read here. */
async function staged(driver: SqlDriver, path: string, image: Image, staging: Staging): Promise<boolean> {
  const { step } = staging
  try {
    // One that a failure left attached would keep the next one out.
    await step(() => detached(driver))
    await step(() => attached(driver, path))
    for await (const statement of statementsOf(driver, image, staging)) await step(() => driver.transaction([statement]))
    return true
  } catch (error) {
    // The pull is over, or another one's: what becomes of it is not decided here.
    if (error instanceof SyncError) throw error
    return false
  } finally {
    await step(() => detached(driver)).catch(() => undefined)
  }
}

async function attached(driver: SqlDriver, path: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await driver.all('attach database ? as nizhal_image', [path])
      return
    } catch (error) {
      if (tries === ATTACH_TRIES) throw error
    }
  }
}

async function detached(driver: SqlDriver): Promise<void> {
  await driver.all('detach database nizhal_image').catch(() => undefined)
}

class NoImage extends Error {}

/** What stages a file's rows, a bounded number in each statement. */
async function* statementsOf(driver: SqlDriver, { bucket, version }: Image, { schema, epoch, step }: Staging): AsyncGenerator<Statement> {
  const all = (sql: string, params?: SqlValue[]) => step(() => driver.all(sql, params))
  const [meta] = await all('select format, bucket, version, epoch from nizhal_image._nizhal_image')
  const is = meta?.['format'] === FORMAT && meta['bucket'] === bucket && meta['version'] === version && meta['epoch'] === epoch
  if (!is) throw new NoImage('the file is not the image that was named')
  const tables = await all("select name from nizhal_image.sqlite_schema where type = 'table' and name not like '\\_nizhal\\_%' escape '\\' order by name")
  for (const table of tables.map(({ name }) => String(name))) {
    const described = schema.tables[table]
    if (!described) continue
    const columns = await all("select name, type from pragma_table_xinfo(?, 'nizhal_image')", [table])
    const sql = rowSqlOf(described, columns as unknown as ImageColumn[])
    if (!sql) throw new NoImage(`the table ${table} has what is not known here`)
    const from = `nizhal_image.${quoted(table)}`
    for (let after: SqlValue = BEFORE_ALL; ; ) {
      const [found]: Record<string, SqlValue>[] = await all(`select max(at) as last from (select rowid as at from ${from} where rowid > ? order by rowid limit ${ROWS})`, [after])
      const last: SqlValue = found?.['last'] ?? null
      if (last === null) break
      yield {
        sql: `insert into nizhal_staged (tbl, key, row) select ?, ${sql.key}, ${sql.row} from ${from} where rowid > ? and rowid <= ? on conflict (tbl, key) do nothing`,
        params: [table, after, last],
      }
      after = last
    }
  }
  yield* unread(await all('select tbl, rows from nizhal_image._nizhal_unread'), schema)
}

/** Rows that the server's tables could not hold, as a pull brings them. */
function* unread(found: readonly Record<string, SqlValue>[], schema: Schema): Generator<Statement> {
  for (const { tbl, rows } of found) {
    const table = String(tbl)
    const described = schema.tables[table]
    if (!described) continue
    for (const row of JSON.parse(String(rows)) as Row[]) {
      yield { sql: 'insert into nizhal_staged (tbl, key, row) values (?, ?, ?) on conflict (tbl, key) do nothing', params: [table, keyOf(described, row), JSON.stringify(row)] }
    }
  }
}
