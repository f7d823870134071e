// First syncs by image in Chromium, into SQLite on the private file system, against the real server.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { chromium, type BrowserContext, type Page } from 'playwright-core'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { schema } from './harness/device'
import { Front } from './harness/front'
import { Server, token } from './harness/server'

const executablePath = [process.env['CHROMIUM'] ?? '', '/usr/bin/chromium', '/usr/bin/chromium-browser'].find((path) => existsSync(path))
/** How many rows are measured; few, unless somebody wants to know. */
const ROWS = Number(process.env['NIZHAL_IMAGE_ROWS'] ?? 300)

declare const nizhal: any
declare const device: any

const bundled = async (entry: string) => {
  const { outputFiles } = await build({ entryPoints: [new URL(entry, import.meta.url).pathname], bundle: true, format: 'esm', target: 'es2022', platform: 'browser', write: false, logLevel: 'error' })
  return { type: 'text/javascript', body: outputFiles[0]!.contents }
}

describe.skipIf(!executablePath)('images in Chromium', () => {
  let context: BrowserContext
  let server: Server
  let front: Front
  let dir: string
  const files = new Map<string, { type: string; body: Uint8Array | string }>()
  const faults: string[] = []

  beforeAll(async () => {
    files.set('/', { type: 'text/html', body: '<!doctype html><title>images</title><script type="module" src="/page.js"></script>' })
    files.set('/page.js', await bundled('./harness/page.ts'))
    const worker = await bundled('../src/store/wa-worker.ts')
    files.set('/worker.js', worker)
    files.set('/worker-that-cannot.js', { ...worker, body: `delete globalThis.DecompressionStream;\n${Buffer.from(worker.body).toString()}` })
    files.set('/wa-sqlite.wasm', { type: 'application/wasm', body: readFileSync(createRequire(import.meta.url).resolve('@journeyapps/wa-sqlite/dist/wa-sqlite.wasm')) })
  })
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'nizhal-images-'))
    server = await Server.start('sqlite', { NIZHAL_BLOBS: `file://${dir}/store`, NIZHAL_IMAGE_MIN_ROWS: '20' })
    front = await Front.start(server)
    front.files = files
    await server.shop('s1', ['ana'])
    await server.customers('s1', 'c', ROWS)
    // With a profile: without one the private file system is no disk, but memory of another process.
    context = await chromium.launchPersistentContext(join(dir, 'profile'), { executablePath: executablePath!, args: ['--no-sandbox'] })
    faults.length = 0
  })
  afterEach(async () => {
    await context.close()
    front.stop()
    await server.stop()
    rmSync(dir, { recursive: true, force: true })
    expect(faults).toEqual([])
  })

  async function tab(): Promise<Page> {
    const page = await context.newPage()
    page.on('pageerror', (error) => faults.push(error.message))
    await page.goto(front.url)
    await page.waitForFunction(() => 'nizhal' in globalThis)
    return page
  }

  const open = (page: Page, more: object = {}) =>
    page.evaluate(async (args) => {
      Object.assign(globalThis, { device: await nizhal.device(args) })
    }, { schema: schema as never, token: token('ana', 's1'), name: 'ana', ...more })

  /** Pulls; how long it took, in ms. */
  const pulled = (page: Page) =>
    page.evaluate(async () => {
      const began = performance.now()
      await device.client.pull()
      return performance.now() - began
    })

  const rows = (page: Page): Promise<Record<string, unknown>[]> =>
    page.evaluate(async () => (await device.client.rows('customers')).sort((a: any, b: any) => (a.id < b.id ? -1 : 1)))

  /** The files that images have left. One that the worker of a page before still holds goes a little later. */
  const leftovers = (page: Page): Promise<string[]> =>
    page.evaluate(async () => {
      const names: string[] = []
      const all = await (await navigator.storage.getDirectory()).getDirectoryHandle('nizhal-images').catch(() => undefined)
      const walk = async (folder: any) => {
        for await (const [name, entry] of folder.entries()) entry.kind === 'directory' ? await walk(entry) : names.push(name)
      }
      if (all) await walk(all)
      return names
    })

  /** Has the image of the bucket made, as it is now. */
  async function image(): Promise<void> {
    for (;;) {
      const { status } = await fetch(`${server.url}/sync/image?bucket=myShops:s1`, { headers: { authorization: `Bearer ${token('ana', 's1')}` }, redirect: 'manual' })
      if (status === 303) return
      expect(status).toBe(202)
    }
  }

  test('inv03: a first sync into the private file system by image has the same rows as one without', async () => {
    await image()
    await server.sql("update customers set name = 'Changed' where id = 'c7'")
    const page = await tab()
    await open(page)
    const byImage = await pulled(page)
    expect([front.fetched, front.pulls.map(({ images }) => images)]).toEqual([[0], [true]])
    const came = await rows(page)
    expect(came.length).toBe(ROWS)
    expect(came.find(({ id }) => id === 'c7')).toMatchObject({ name: 'Changed' })
    await expect.poll(() => leftovers(page), { timeout: 20_000 }).toEqual([])
    const plain = await tab()
    await open(plain, { name: 'plain', images: false })
    const byRows = await pulled(plain)
    expect(front.fetched).toEqual([0])
    expect(await rows(plain)).toEqual(came)
    console.log(`first sync of ${ROWS} rows into OPFS: ${Math.round(byRows)} ms as rows, ${Math.round(byImage)} ms by image, ${(byRows / byImage).toFixed(1)} times as fast`)
    // It lasts, and goes on.
    await page.reload()
    await page.waitForFunction(() => 'nizhal' in globalThis)
    await open(page)
    expect(await rows(page)).toEqual(came)
    await server.sql("delete from customers where id = 'c8'")
    await pulled(page)
    expect((await rows(page)).length).toBe(ROWS - 1)
  }, 60_000 + ROWS * 5)

  // Not one whose connection breaks: a browser asks again by itself.
  test.each(['corrupt', 'gone'] as const)('inv05: a file that is no good costs nothing but time (%s)', async (spoilt) => {
    await image()
    front.spoilt.push(spoilt)
    const page = await tab()
    await open(page)
    await pulled(page)
    expect(front.pulls.map(({ images }) => images)).toEqual([true, undefined])
    expect((await rows(page)).length).toBe(ROWS)
    await expect.poll(() => leftovers(page), { timeout: 20_000 }).toEqual([])
  })

  test('inv05: a file that is cut goes on where it was after a reload', async () => {
    await image()
    front.spoilt.push('short')
    const page = await tab()
    await open(page)
    await expect(pulled(page)).rejects.toThrow(/cut/)
    await page.reload()
    await page.waitForFunction(() => 'nizhal' in globalThis)
    await open(page)
    await pulled(page)
    expect([front.fetched[0], front.fetched.length, front.fetched[1]! > 0]).toEqual([0, 2, true])
    expect((await rows(page)).length).toBe(ROWS)
    await expect.poll(() => leftovers(page), { timeout: 20_000 }).toEqual([])
  })

  test('where a browser cannot unpack files, rows are asked for', async () => {
    await image()
    const page = await tab()
    await open(page, { worker: '/worker-that-cannot.js' })
    await pulled(page)
    expect(front.pulls.map(({ images }) => images)).toEqual([undefined])
    expect((await rows(page)).length).toBe(ROWS)
  })
})
