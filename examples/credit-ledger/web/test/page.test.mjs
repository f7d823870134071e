// The page as a person uses it, in Chromium: both phones offline, writes on each, one reloaded, both online again.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { flip, open as openPage, status } from '../../../web/test/page.mjs'

const stage = openPage('credit-ledger', import.meta.url, { width: 1320, height: 980 })
const { faults, picture, until } = stage

const open = (phone, name) => phone.getByTestId('customers').getByText(name).click()
const back = (phone) => phone.getByRole('button', { name: 'Back' }).click()

async function record(phone, name, kind, amount) {
  await open(phone, name)
  await phone.getByLabel('Amount').fill(amount)
  await phone.getByRole('button', { name: kind }).click()
  await phone.getByTestId('entries').getByText(kind).first().waitFor()
  await back(phone)
}

const list = async (phone) => (await phone.getByTestId('customers').locator('button').allInnerTexts()).map((text) => text.replace(/\s+/g, ' '))

/** A picture as a camera would take it: larger than what a row could carry. */
const receipt = () =>
  stage.page.evaluate(() => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 480 })
    const pen = canvas.getContext('2d')
    for (let y = 0; y < 48; y++) for (let x = 0; x < 64; x++) (pen.fillStyle = `hsl(${(x * y * 7) % 360} 60% 60%)`), pen.fillRect(x * 10, y * 10, 10, 10)
    pen.fillStyle = '#fff'
    pen.fillRect(150, 120, 340, 240)
    pen.fillStyle = '#14211f'
    pen.font = '32px sans-serif'
    pen.fillText('RECEIPT  Rs 25.50', 180, 250)
    return canvas.toDataURL('image/png').split(',')[1]
  }).then((text) => Buffer.from(text, 'base64'))

/** Waits until an image has its pixels. */
const shown = (image) => until('the photo is shown', () => image.first().evaluate((it) => it.complete && it.naturalWidth === 640).catch(() => false))

test('both phones show the shop, and each other', async () => {
  for (const phone of Object.values(stage.phones)) {
    await phone.getByText('Sunil Perera').waitFor()
    await status(phone, 'In sync')
    await phone.getByText('Kamala and Nimal look at the shop').waitFor()
  }
  await picture('1-together')
})

test('offline, each writes; a reload loses nothing', async () => {
  const { kamala, nimal } = stage.phones
  for (const phone of [kamala, nimal]) {
    await flip(phone)
    await status(phone, 'Working on this phone')
  }
  await record(kamala, 'Sunil Perera', 'Credit', '500')
  await record(kamala, 'Fathima Nazeer', 'Credit', '75.50')
  await record(nimal, 'Sunil Perera', 'Payment', '120.25')
  await nimal.getByLabel('New customer').fill('Devi Ratnam')
  await nimal.getByRole('button', { name: 'Add' }).click()
  await record(nimal, 'Devi Ratnam', 'Credit', '40')
  await status(kamala, '2 writes wait')
  await status(nimal, '3 writes wait')
  await picture('2-offline')
  await open(nimal, 'Fathima Nazeer')
  await nimal.getByLabel('Photo of the receipt').setInputFiles({ name: 'receipt.png', mimeType: 'image/png', buffer: await receipt() })
  await nimal.getByTestId('taken').getByTestId('photo').waitFor()
  await nimal.getByLabel('Amount').fill('25.50')
  await nimal.getByRole('button', { name: 'Payment' }).click()
  await shown(nimal.getByTestId('entries').getByTestId('photo'))
  await nimal.getByTestId('outbox').getByText('after its photo').waitFor({ state: 'attached' })
  await picture('2-photo')
  await back(nimal)
  await stage.page.getByTestId('reload-nimal').click()
  await status(nimal, '4 writes wait')
  await open(nimal, 'Fathima Nazeer')
  await shown(nimal.getByTestId('entries').getByTestId('photo'))
  await back(nimal)
  const before = await list(kamala)
  await stage.page.getByTestId('reload-kamala').click()
  await until('the reloaded phone shows what it had', async () => (await list(kamala)).join() === before.join() && before.length === 3)
  await status(kamala, '2 writes wait')
  await picture('3-reloaded')
})

test('online again, both are the same', async () => {
  const { kamala, nimal } = stage.phones
  await flip(nimal)
  await status(nimal, 'In sync')
  await flip(kamala)
  await status(kamala, 'In sync')
  await open(kamala, 'Fathima Nazeer')
  await shown(kamala.getByTestId('entries').getByTestId('photo'))
  await kamala.getByRole('button', { name: 'Show the receipt' }).click()
  await picture('4-photo')
  await back(kamala)
  const wanted = ['A Arul Selvam no number settled', 'D Devi Ratnam no number Rs 40.00', 'F Fathima Nazeer +94 71 765 4321 Rs 50.00', 'S Sunil Perera +94 77 123 4567 Rs 379.75']
  for (const phone of [kamala, nimal]) {
    await until('both show the same', async () => (await list(phone)).join('\n') === wanted.join('\n'))
    assert.equal(await phone.getByTestId('owed').innerText(), 'Rs 469.75')
    assert.equal(await phone.getByTestId('outbox').count(), 0)
  }
  await picture('4-converged')
})

test('a write that the server refuses says why, and lets go', async () => {
  const { kamala, nimal } = stage.phones
  await flip(kamala)
  await record(kamala, 'Arul Selvam', 'Payment', '15')
  await open(nimal, 'Arul Selvam')
  await nimal.getByRole('button', { name: 'Remove' }).click()
  await status(nimal, 'In sync')
  await flip(kamala)
  await kamala.getByTestId('refused').getByText('customer not found').waitFor()
  await picture('5-refused')
  await kamala.getByRole('button', { name: 'Let go' }).click()
  await until('the outbox is empty', async () => (await kamala.getByTestId('outbox').count()) === 0)
  assert.deepEqual(await list(kamala), await list(nimal))
})

test('news arrives by polling too', async () => {
  const { kamala, nimal } = stage.phones
  await kamala.getByTestId('poll').click()
  await kamala.getByText('Nobody is seen while polling').waitFor()
  await record(nimal, 'Devi Ratnam', 'Payment', '40')
  await until('the poll brings it', async () => (await list(kamala)).some((line) => line.startsWith('D Devi') && line.endsWith('settled')))
  await picture('6-polling')
  await kamala.getByTestId('live').click()
  assert.deepEqual(faults, [])
})

test('two tabs on one phone: when the leader is closed the other goes on', async () => {
  const context = stage.page.context()
  const url = `${stage.server.resolvedUrls.local[0]}?phone=nimal`
  const second = await context.newPage()
  await second.goto(url)
  await second.getByText('Fathima Nazeer').waitFor()
  await record(second, 'Fathima Nazeer', 'Payment', '5.50')
  await stage.phones.nimal.getByText('Rs 44.50').waitFor()
  await status(second, 'In sync')
  // The first tab held the store, and the browser takes it away without a word.
  await stage.page.evaluate(() => document.querySelector('iframe[title=nimal]').remove())
  await record(second, 'Fathima Nazeer', 'Payment', '10')
  await stage.phones.kamala.getByText('Rs 34.50').waitFor()
  await status(second, 'In sync')
  const third = await context.newPage()
  await third.goto(url)
  await third.getByText('Rs 34.50').waitFor()
  await second.close()
  await record(third, 'Fathima Nazeer', 'Payment', '1')
  await stage.phones.kamala.getByText('Rs 33.50').waitFor()
  await third.close()
  assert.deepEqual(faults, [])
})

test('on plain http in a LAN the phone starts, writes and syncs, and says that nothing is kept', async (context) => {
  const [address] = stage.server.resolvedUrls.network
  if (!address) return context.skip('this machine has no address but its own')
  const other = await (await stage.browser.newContext()).newPage()
  other.setDefaultTimeout(20_000)
  const broken = []
  other.on('pageerror', (error) => broken.push(error.message))
  await other.goto(`${address}?phone=kamala`)
  assert.equal(await other.evaluate(() => isSecureContext || 'randomUUID' in crypto || 'locks' in navigator), false)
  await status(other, 'In sync; nothing is kept when this page goes')
  await other.getByPlaceholder('New customer').fill('On the LAN')
  await other.keyboard.press('Enter')
  await other.getByTestId('customers').getByText('On the LAN').waitFor()
  await status(other, 'In sync; nothing is kept when this page goes')
  assert.equal(await other.getByTestId('waiting').count(), 0)
  assert.deepEqual(broken, [])
})
