// The page as two nurses use it, in Chromium: a booking that was made first and arrives last wins, and the other phone shows why it lost.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { flip, open, status } from '../../../web/test/page.mjs'

const stage = open('clinic', import.meta.url, { width: 1320, height: 980 })
const { faults, picture, until } = stage

const slot = (phone, time) => phone.getByTestId('slots').locator(`[data-time="${time}"]`)
const vaccine = (phone, name) => phone.getByTestId('fridge').locator(`[data-vaccine="${name}"]`)
const actions = () => stage.page.getByTestId('actions').locator('.action')
const texts = async (found) => (await found.allInnerTexts()).map((text) => text.replace(/\s+/g, ' '))
const panel = (phone, part) => phone.getByTestId(part).innerText()

async function book(phone, time, patient) {
  await phone.getByLabel('Patient').fill(patient)
  await slot(phone, time).getByRole('button', { name: 'Book' }).click()
  await slot(phone, time).getByText(patient).waitFor()
}

async function reserve(phone, name, patient) {
  await phone.getByLabel('Patient').fill(patient)
  await vaccine(phone, name).getByRole('button', { name: 'Reserve' }).click()
  await vaccine(phone, name).getByText(patient).waitFor()
}

/** Takes a cable out; the referee sees it. */
async function unplug(who, phone) {
  await flip(phone)
  await status(phone, 'Working on this phone')
  await stage.page.locator(`[data-testid=cable-${who}][data-out]`).waitFor()
}

test('both phones show the morning, and the referee has nothing to judge', async () => {
  for (const phone of Object.values(stage.phones)) {
    await slot(phone, '10:00').getByText('free').waitFor()
    await status(phone, 'In sync')
    await phone.getByText('Kamala and Nimal look at the clinic').waitFor()
  }
  await stage.page.getByText('Nothing was done yet.').waitFor()
  await picture('clinic-1-together')
})

test('online, a slot that one phone books is taken on the other', async () => {
  const { kamala, nimal } = stage.phones
  await book(nimal, '09:00', 'Fathima')
  await slot(kamala, '09:00').getByText('Fathima').waitFor()
  await slot(kamala, '09:00').getByText('Nimal, at').waitFor()
  assert.equal(await slot(kamala, '09:00').getByRole('button').count(), 0)
})

test('offline, each books the same slot, and the one that is heard has it for now', async () => {
  const { kamala, nimal } = stage.phones
  await unplug('kamala', kamala)
  await book(kamala, '10:00', 'Arul')
  await reserve(kamala, 'measles', 'Arul')
  assert.equal(await panel(kamala, 'panel-waiting'), '2: book 10:00 for Arul …')
  await book(nimal, '10:00', 'Sunil')
  await reserve(nimal, 'measles', 'Sunil')
  await status(nimal, 'In sync')
  await until('the referee has heard Nimal', async () => (await actions().count()) === 3)
  assert.equal(await stage.page.getByTestId('rewind').count(), 0)
  assert.equal(await panel(nimal, 'panel-rewind'), 'none seen')
  await picture('clinic-2-apart')
})

test('the booking that was first wins when it arrives, and the other phone says why it lost', async () => {
  const { kamala, nimal } = stage.phones
  const cursor = await panel(nimal, 'cursor')
  await flip(kamala)
  await stage.page.locator('.action.late').first().waitFor()
  await picture('clinic-3-rewind')
  await nimal.getByTestId('revised').getByText('Taken back: book 10:00 for Sunil').waitFor()
  const [, clock] = (await slot(nimal, '10:00').getByTestId('lost').innerText()).match(/Sunil this slot was taken by Kamala at (\d+:\d\d)/)
  await slot(nimal, '10:00').getByText(`Kamala, at ${clock}`).waitFor()
  await vaccine(nimal, 'measles').getByText('no dose of measles is left: Kamala reserved the last one').waitFor()
  for (const phone of [kamala, nimal]) {
    await slot(phone, '10:00').locator('.holder').getByText('Arul').waitFor()
    assert.equal(await vaccine(phone, 'measles').getByTestId('left').innerText(), '0')
    await status(phone, 'In sync')
  }
  // The referee: first what was done first, and what it changed.
  const order = await until('the referee judged all', async () => {
    const seen = await texts(actions())
    return seen.length === 5 && seen.filter((text) => text.includes('refused: Kamala was')).length === 2 && seen
  })
  const deeds = order.map((text) => text.match(/(book|reserve) \S+ for \w+/)[0])
  assert.deepEqual(deeds, ['book 09:00 for Fathima', 'book 10:00 for Arul', 'reserve measles for Arul', 'book 10:00 for Sunil', 'reserve measles for Sunil'])
  for (const deed of ['book 10:00 for Sunil', 'reserve measles for Sunil']) await stage.page.getByTestId('rewind').getByText(`Nimal’s “${deed}” is refused now`).waitFor()
  // The phone that lost, inside; the one that won has nothing to tell.
  assert.equal(await panel(nimal, 'panel-parked'), '2: book 10:00 for Sunil …')
  assert.match(await panel(nimal, 'panel-rewind'), /→ rejected$/)
  assert.notEqual(await panel(nimal, 'cursor'), cursor)
  assert.equal(await panel(kamala, 'panel-rewind'), 'none seen')
  assert.equal(await kamala.getByTestId('lost').count(), 0)
  await stage.page.waitForFunction(() => document.getAnimations().length === 0)
  await picture('clinic-4-judged')
})

test('what was refused stays over a reload, until it is let go', async () => {
  const { nimal } = stage.phones
  await stage.page.getByTestId('reload-nimal').click()
  const news = nimal.getByTestId('revised')
  await until('both are told again', async () => (await news.count()) === 2)
  for (const left of [1, 0]) {
    await news.first().getByRole('button', { name: 'OK' }).click()
    await until('one is not told any more', async () => (await news.count()) === left)
  }
  await slot(nimal, '10:00').getByRole('button', { name: 'Let go' }).click()
  await until('the slot is quiet', async () => (await slot(nimal, '10:00').getByTestId('lost').count()) === 0)
  assert.equal(await panel(nimal, 'panel-parked'), '1: reserve measles for Sunil')
})

test('a delivery that came first and is heard late makes good what was refused after it, and nothing before it', async () => {
  const { kamala, nimal } = stage.phones
  await unplug('kamala', kamala)
  await vaccine(kamala, 'measles').getByRole('button', { name: '+2' }).click()
  await until('the delivery shows', async () => (await vaccine(kamala, 'measles').getByTestId('left').innerText()) === '2')
  await nimal.getByLabel('Patient').fill('Devi')
  await vaccine(nimal, 'measles').getByRole('button', { name: 'Ask anyway' }).click()
  await vaccine(nimal, 'measles').getByTestId('lost').filter({ hasText: 'Devi' }).waitFor()
  await flip(kamala)
  await nimal.getByTestId('revised').getByText('Good after all: reserve measles for Devi').waitFor()
  for (const phone of [kamala, nimal]) {
    await vaccine(phone, 'measles').locator('.reserved').getByText('Devi').waitFor()
    await until('one dose is left', async () => (await vaccine(phone, 'measles').getByTestId('left').innerText()) === '1')
  }
  // Sunil's was refused before the delivery came.
  assert.equal(await panel(nimal, 'panel-parked'), '1: reserve measles for Sunil')
  await stage.page.getByTestId('rewind').getByText('Nimal’s “reserve measles for Devi” is applied now').waitFor()
  await stage.page.waitForFunction(() => document.getAnimations().length === 0)
  await picture('clinic-5-delivery')
  assert.deepEqual(faults, [])
})

test('on a narrow, dark screen nothing sticks out', async () => {
  const context = await stage.browser.newContext({ viewport: { width: 390, height: 844 }, colorScheme: 'dark' })
  const page = await context.newPage()
  await page.goto(stage.server.resolvedUrls.local[0])
  await page.frameLocator('iframe[title=nimal]').getByTestId('slots').getByText('10:40').waitFor()
  await page.getByTestId('actions').getByText('book 10:00 for Arul').waitFor()
  const wide = await page.evaluate(() => {
    const roots = [document, ...[...document.querySelectorAll('iframe')].map((frame) => frame.contentDocument)]
    const parts = roots.flatMap((root) => [root.documentElement, ...root.querySelectorAll('.scroll, .slot, .fridge li, .action')])
    return parts.filter((part) => part.scrollWidth > part.clientWidth).map((part) => `${part.className}: ${part.textContent}`)
  })
  assert.deepEqual(wide, [])
  if (process.env.NIZHAL_SCREENSHOTS) await page.screenshot({ path: `${process.env.NIZHAL_SCREENSHOTS}/clinic-6-narrow.png`, fullPage: true })
  await context.close()
})
