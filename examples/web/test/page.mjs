// A page in Chromium, with its server beside it and a database of its own.
// NIZHAL_SCREENSHOTS names a folder for a picture of each step.
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { preview } from 'vite'

/** Opens the page of an app before the file's tests, and closes it after them; `url` is the test's own. */
export function open(app, url, viewport) {
  const root = fileURLToPath(new URL('..', url))
  const dir = mkdtempSync(join(tmpdir(), 'nizhal-page-'))
  const built = join(root, '../../../target/debug', app)
  process.env.DATABASE_URL = `sqlite://${dir}/page.db`
  if (existsSync(built)) process.env.APP_BINARY = built
  const stage = {
    /** What the page reported as errors. */
    faults: [],
    picture: async (name) => {
      if (process.env.NIZHAL_SCREENSHOTS) await stage.page.screenshot({ path: join(process.env.NIZHAL_SCREENSHOTS, `${name}.png`) })
    },
    /** Waits until something is so; a frame that is reloaded under the look has not shown it yet. */
    until: async (what, look) => {
      const deadline = Date.now() + 20_000
      for (;;) {
        let fault
        const found = await look().catch((error) => void (fault = error))
        if (found) return found
        if (Date.now() > deadline) throw new Error(`never: ${what}`, { cause: fault })
        await stage.page.waitForTimeout(50)
      }
    },
  }
  before(async () => {
    // On all addresses: one that is not this machine's own is no secure context to a browser.
    stage.server = await preview({ root, preview: { port: 0, host: '0.0.0.0' }, logLevel: 'silent' })
    const executablePath = process.env.CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync)
    stage.browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
    stage.page = await (await stage.browser.newContext({ viewport })).newPage()
    stage.page.setDefaultTimeout(20_000)
    stage.page.on('pageerror', (error) => stage.faults.push(error.message))
    await stage.page.goto(stage.server.resolvedUrls.local[0])
    stage.phones = Object.fromEntries(['kamala', 'nimal'].map((who) => [who, stage.page.frameLocator(`iframe[title=${who}]`)]))
  })
  after(async () => {
    await stage.browser?.close()
    // The app's server ends with this process.
    await stage.server?.close()
    rmSync(dir, { recursive: true, force: true })
    setImmediate(() => process.exit(process.exitCode))
  })
  return stage
}

export const status = (phone, text) => phone.getByTestId('status').getByText(text).waitFor()
/** Takes a phone's cable out, or puts it in. */
export const flip = (phone) => phone.getByTestId('online').locator('..').click()
