// `node bench/run.mjs`: first sync of 100,000 rows into OPFS in Chromium.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { createServer } from 'vite'

const root = fileURLToPath(new URL('..', import.meta.url))
const dir = mkdtempSync(join(tmpdir(), 'nizhal-bench-'))
const [debug, release] = ['debug', 'release'].map((kind) => join(root, `../../../target/${kind}/credit-ledger`))
process.env.APP_BINARY ??= existsSync(release) ? release : debug
process.env.DATABASE_URL = `sqlite://${dir}/ledger.db`
const server = await createServer({ root, logLevel: 'error', server: { port: 0 } })
await server.listen()
const url = server.resolvedUrls.local[0]
await fetch(`${url}tokens.json`)
execFileSync('sqlite3', ['-cmd', '.timeout 20000', `${dir}/ledger.db`, "with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000) insert into customers (id, shop_id, name) select 'b' || i, 'shop-1', 'Name ' || i from n"])
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] })
const page = await browser.newPage()
page.on('pageerror', (error) => console.error(error.message))
await page.goto(`${url}bench/`)
const result = await (await page.waitForFunction(() => globalThis.result, undefined, { timeout: 300_000 })).jsonValue()
console.log(`first sync of ${result.rows} rows into OPFS: ${Math.round(result.rows / result.seconds)} rows/s; read back in ${result.readSeconds.toFixed(1)} s (${process.env.APP_BINARY.includes('release') ? 'release' : 'debug'} build of the server)`)
await browser.close()
await server.close()
rmSync(dir, { recursive: true, force: true })
process.exit()
