// Blobs in Chromium: on its private file system and in IndexedDB, through reloads, tabs that are closed and a full disk.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { build } from 'esbuild'
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { FILES_SEEN } from './harness/blobfiles'
import { BlobServer, schema, until, withPhoto } from './harness/blobs'
import { token } from './harness/server'

const executablePath = [process.env['CHROMIUM'] ?? '', '/usr/bin/chromium', '/usr/bin/chromium-browser'].find((path) => existsSync(path))

/** What the page has under `nizhal`, as the scripts that are sent to it use it. */
declare const nizhal: any
declare const device: any

const bundled = async (entry: string) => {
  const { outputFiles } = await build({ entryPoints: [new URL(entry, import.meta.url).pathname], bundle: true, format: 'esm', target: 'es2022', platform: 'browser', write: false, logLevel: 'error' })
  return { type: 'text/javascript', body: outputFiles[0]!.contents }
}

describe.skipIf(!executablePath)('in Chromium', () => {
  let browser: Browser
  let context: BrowserContext
  let server: BlobServer
  const files = new Map<string, { type: string; body: Uint8Array | string }>()
  const faults: string[] = []

  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: executablePath!, args: ['--no-sandbox'] })
    files.set('/', { type: 'text/html', body: '<!doctype html><title>blobs</title><script type="module" src="/page.js"></script>' })
    files.set('/page.js', await bundled('./harness/page.ts'))
    files.set('/worker.js', await bundled('../src/store/wa-worker.ts'))
    files.set('/wa-sqlite.wasm', { type: 'application/wasm', body: readFileSync(createRequire(import.meta.url).resolve('@journeyapps/wa-sqlite/dist/wa-sqlite.wasm')) })
  })
  afterAll(() => browser?.close())
  beforeEach(async () => {
    server = await BlobServer.start()
    server.files = files
    context = await browser.newContext()
    faults.length = 0
  })
  afterEach(async () => {
    await context.close()
    server.stop()
    expect(faults).toEqual([])
  })

  const args = { schema: schema as never, token: token('ana', 's1'), name: 'ana' }

  async function tab(script?: () => void): Promise<Page> {
    const page = await context.newPage()
    page.on('pageerror', (error) => faults.push(error.message))
    if (script) await page.addInitScript(script)
    await page.goto(server.url)
    await page.waitForFunction(() => 'nizhal' in globalThis)
    return page
  }

  const opened = (page: Page, more: object = {}) =>
    page.evaluate(async (args) => {
      Object.assign(globalThis, { device: await nizhal.device(args) })
    }, { ...args, ...more })

  /** Adds a file and a write that names it; its reference. */
  const added = (page: Page, bytes: number, id: string) =>
    page.evaluate(async ({ bytes, write }) => {
      const photo = await device.blobs.add(nizhal.file(bytes))
      const text = JSON.stringify(write).replace('"PHOTO"', JSON.stringify(photo)).replace('"PHOTO"', JSON.stringify(photo))
      await device.client.mutate(JSON.parse(text))
      return photo as { sha256: string; size: number; mime: string }
    }, { bytes, write: withPhoto(id, 'PHOTO' as never) as object })

  const idle = (page: Page) => page.waitForFunction(() => device.client.writes.length === 0)
  const storedHash = (sha256: string) => createHash('sha256').update(server.blobs.get(sha256)!.bytes).digest('hex')

  test('files keep what they are given, on the private file system and in IndexedDB', async () => {
    const page = await tab()
    expect(await page.evaluate(() => nizhal.privateFiles())).toEqual(FILES_SEEN)
    expect(await page.evaluate(() => nizhal.databaseFiles())).toEqual(FILES_SEEN)
    expect(await page.evaluate(() => nizhal.refusedByDatabase())).toBe('ConstraintError')
    expect(await page.evaluate(() => nizhal.halfFiles())).toEqual({ notes: [], names: [] })
  })

  test('inv35: 20 MB that are added offline survive a reload, go in parts, and are shown without a network', async () => {
    const page = await tab()
    await opened(page)
    const ref = await added(page, 20_000_000, 'c1')
    await page.reload()
    await page.waitForFunction(() => 'nizhal' in globalThis)
    server.fault = ({ kind, count }) => (kind === 'part' && count === 2 ? { status: 500 } : undefined)
    await opened(page)
    await page.waitForFunction(() => device.blobs.uploads.length === 1)
    expect(await page.evaluate(() => [device.client.writes[0].awaitsBlob, device.blobs.volatile])).toEqual([true, undefined])
    await page.evaluate(() => device.client.setOnline(true))
    await idle(page)
    expect(server.asked).toEqual(['begin', 'part 1', 'part 2', 'begin', 'part 2', 'part 3', 'complete'])
    expect(storedHash(ref.sha256)).toBe(ref.sha256)
    expect(server.sync.rows.get('c1')).toMatchObject({ photo: ref })
    await page.evaluate(() => device.client.setOnline(false))
    const shown = await page.evaluate(async (ref) => nizhal.sha256Of(await (await fetch(await device.blobs.url(ref))).blob()), ref)
    expect(shown).toBe(ref.sha256)
    expect(server.asked.length).toBe(7)
  })

  test('where the private file system cannot be written, IndexedDB keeps them', async () => {
    const page = await tab(() => Reflect.deleteProperty(FileSystemFileHandle.prototype, 'createWritable'))
    await opened(page)
    const ref = await added(page, 100_000, 'c1')
    await page.reload()
    await page.waitForFunction(() => 'nizhal' in globalThis)
    await opened(page, { online: true })
    await idle(page)
    expect(storedHash(ref.sha256)).toBe(ref.sha256)
    expect(await page.evaluate(async () => [device.blobs.volatile, (await indexedDB.databases()).map(({ name }) => name)])).toEqual([undefined, ['nizhal-blobs:ana']])
  })

  test('where neither is there, they are in memory, and that is told', async () => {
    const page = await tab(() => {
      Reflect.deleteProperty(FileSystemFileHandle.prototype, 'createWritable')
      Object.defineProperty(globalThis, 'indexedDB', { value: undefined })
    })
    await opened(page, { online: true })
    const ref = await added(page, 1000, 'c1')
    await idle(page)
    expect(storedHash(ref.sha256)).toBe(ref.sha256)
    expect(await page.evaluate(() => device.blobs.volatile)).toContain('may keep no files')
  })

  test('inv26: a follower’s file is kept by the leader; when that tab is closed, the follower goes on with the upload', async () => {
    server.partBytes = 40_000
    server.fault = ({ kind, part }) => (kind === 'part' && part === 2 ? 'silence' : undefined)
    const [first, second] = [await tab(), await tab()]
    await opened(first, { online: true })
    await opened(second, { online: true })
    const ref = await added(second, 100_000, 'c1')
    const shown = () => second.evaluate(async (ref) => nizhal.sha256Of(await (await fetch(await device.blobs.url(ref))).blob()), ref)
    expect(await shown()).toBe(ref.sha256)
    await until('it is in its middle', () => server.asked.includes('part 2'))
    server.fault = () => undefined
    server.asked.length = 0
    await first.close()
    await idle(second)
    expect(await second.evaluate(() => device.client.status.leader)).toBe(true)
    expect(server.asked).toEqual(['begin', 'part 2', 'part 3', 'complete'])
    expect(storedHash(ref.sha256)).toBe(ref.sha256)
  })

  test('a full disk refuses the file clearly, and leaves nothing of it', async () => {
    const page = await tab()
    await opened(page)
    await page.evaluate(() => device.blobs.add(nizhal.file(1000)))
    const session = await context.newCDPSession(page)
    const { usage } = await session.send('Storage.getUsageAndQuota', { origin: server.url })
    await session.send('Storage.overrideQuotaForOrigin', { origin: server.url, quotaSize: usage + 1_000_000 })
    const refused = await page.evaluate(() => device.blobs.add(nizhal.file(5_000_000)).then(() => 'kept', ({ code, message }: { code: string; message: string }) => ({ code, message })))
    expect(refused).toMatchObject({ code: 'storage_full' })
    await session.send('Storage.overrideQuotaForOrigin', { origin: server.url })
    const names = await page.evaluate(async () => {
      const folder = await (await (await navigator.storage.getDirectory()).getDirectoryHandle('nizhal-blobs')).getDirectoryHandle('ana')
      const names: string[] = []
      for await (const name of (folder as any).keys()) names.push(name)
      return names
    })
    expect(names.length).toBe(2)
    expect(await page.evaluate(() => device.blobs.uploads.length)).toBe(1)
    await page.evaluate(() => device.blobs.add(nizhal.file(5_000_000)))
    expect(await page.evaluate(() => device.blobs.uploads.length)).toBe(2)
  })
})
