// Blobs against the example's own server, with its files in a folder: the ledger's payments have a photo of the receipt.
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { memoryBlobStore } from '../src/blob'
import type { BlobStore } from '../src/blob/store'
import { createNizhalBlobs } from '../src/blobs'
import type { NizhalClient } from '../src/client'
import type { NizhalClientOptions } from '../src/options'
import type { BlobRef } from '../src/protocol/blob'
import { MemoryStore } from '../src/store/memory'
import { until } from './harness/blobs'
import { addCustomer, device, pay } from './harness/device'
import { faulty, seeded } from './harness/faults'
import { again, seeds } from './harness/seeds'
import { KINDS, Server } from './harness/server'

const file = (bytes: number, type = 'image/jpeg') => new Blob([randomBytes(bytes)], { type })
const hash = async (of: Blob) => createHash('sha256').update(Buffer.from(await of.arrayBuffer())).digest('hex')

/** A payment with a photo of its receipt. */
function receipt(id: string, photo: BlobRef) {
  const { name, args, effects } = pay(id, 'c1', '5.00', 's1')
  const [effect] = effects
  return { name, args: { ...args, photo: { ...photo } }, effects: [{ ...effect!, row: { ...(effect as { row: object }).row, photo } }] } as never
}

describe.each(KINDS)('on %s', (kind) => {
  let server: Server
  let files: string
  const open: NizhalClient[] = []
  beforeAll(async () => {
    files = mkdtempSync(join(tmpdir(), 'nizhal-files-'))
    server = await Server.start(kind, { NIZHAL_BLOBS: `file://${files}`, NIZHAL_BLOB_MAX_BYTES: '30000000', NIZHAL_BLOB_MIMES: 'image/*' })
    await server.shop('s1', ['ana', 'ben'])
    await server.shop('s2', ['zoe'])
    await server.customers('s1', 'c', 1)
    await server.customers('s2', 'z', 1)
  })
  afterAll(async () => {
    await server.stop()
    rmSync(files, { recursive: true, force: true })
  })
  beforeEach(() => server.ensureUp())
  afterEach(async () => {
    for (const client of open.splice(0)) await client.close()
  })

  async function phone(user: string, shop = 's1', options: Partial<NizhalClientOptions> = {}, store: BlobStore = memoryBlobStore()) {
    const client = await device(server, user, shop, { reconnect: { minMs: 10, maxMs: 50 }, pull: { intervalMs: 50 }, ...options })
    open.push(client)
    return { client, blobs: createNizhalBlobs({ client, store }) }
  }

  test('inv35: a file of 20 MB goes in parts, through a server that is killed, and others of the shop have it with its row', async () => {
    const [rows, store] = [new MemoryStore(), memoryBlobStore()]
    let killed = false
    const fetch = (async (url: string, init: RequestInit) => {
      const answer = await globalThis.fetch(url, init)
      if (init.method === 'PUT' && !killed) {
        killed = true
        await server.down()
      }
      return answer
    }) as typeof globalThis.fetch
    const photo = file(20_000_000)
    const before = await phone('ana', 's1', { store: rows, fetch }, store)
    const ref = await before.blobs.add(photo)
    const write = await before.client.mutate(receipt(`${kind}-e1`, ref))
    before.client.setOnline(true)
    await until('it is cut', () => before.blobs.uploads.some(({ error }) => error !== undefined))
    await before.client.close()
    await server.up()
    const sent: string[] = []
    const counting = (async (url: string, init: RequestInit) => {
      if (init.method === 'PUT') sent.push(url)
      return globalThis.fetch(url, init)
    }) as typeof globalThis.fetch
    const { client } = await phone('ana', 's1', { store: rows, fetch: counting }, store)
    client.setOnline(true)
    await client.confirmed(write.id)
    // The first part was there.
    expect(sent.length).toBe(2)
    const ben = await phone('ben')
    await ben.client.pull()
    const row = await ben.client.get('ledger_entries', `${kind}-e1`)
    expect(row?.['photo']).toEqual(ref)
    expect(await hash(await ben.blobs.read(ref))).toBe(ref.sha256)
    const url = await createNizhalBlobs({ server: server.url, auth: ben.client.options.auth! }).url(ref)
    expect(await hash(await (await globalThis.fetch(url)).blob())).toBe(ref.sha256)
  })

  test('inv36: who sees no row with it has no URL, and cannot make a row of its own from the hash', async () => {
    const ana = await phone('ana')
    const ref = await ana.blobs.add(file(1000))
    const write = await ana.client.mutate(receipt(`${kind}-e2`, ref))
    ana.client.setOnline(true)
    await ana.client.confirmed(write.id)
    const zoe = await phone('zoe', 's2')
    const nothing = { sha256: 'a'.repeat(64), size: 1, mime: 'image/png' }
    const errors = await Promise.all([ref, nothing].map((one) => zoe.blobs.read(one).catch(({ status, code, message }) => ({ status, code, message }))))
    expect(errors[0]).toEqual(errors[1])
    expect(errors[0]).toMatchObject({ status: 404, code: 'not_found' })
    const { args, ...rest } = receipt(`${kind}-e3`, ref) as unknown as { args: object }
    const stolen = await zoe.client.mutate({ ...rest, args: { ...args, customerId: 'z1' } } as never)
    zoe.client.setOnline(true)
    await expect(zoe.client.confirmed(stolen.id)).rejects.toMatchObject({ write: { refusal: { code: 'blob_missing' } } })
    expect(await server.sql(`select id from ledger_entries where id = '${kind}-e3'`)).toEqual([])
  })

  test('what the server will not have parks the write with its reason', async () => {
    const { client, blobs } = await phone('ana')
    const writes = []
    for (const [at, one] of [file(30_000_001), file(10, 'text/html')].entries()) writes.push(await client.mutate(receipt(`${kind}-r${at}`, await blobs.add(one))))
    client.setOnline(true)
    for (const [at, code] of ['too_large', 'mime_refused'].entries()) await expect(client.confirmed(writes[at]!.id)).rejects.toMatchObject({ write: { refusal: { status: 'rejected', code } } })
  })

  test('inv35: a file that was stored and forgotten is uploaded anew', async () => {
    const { client, blobs } = await phone('ana')
    const ref = await blobs.add(file(2000))
    client.setOnline(true)
    await until('it is uploaded', () => blobs.uploads.length === 0)
    await server.sql(`delete from _nizhal_blob_holders where sha256 = '${ref.sha256}'; delete from _nizhal_blobs where sha256 = '${ref.sha256}'`)
    const write = await client.mutate(receipt(`${kind}-e4`, ref))
    await client.confirmed(write.id)
    expect(await hash(await (await phone('ben')).blobs.read(ref))).toBe(ref.sha256)
  })

  test.each(seeds(2))('inv35: through a network that fails as seed %i says, every row comes with its file', async (seed) => {
    const random = seeded(seed)
    const network = faulty(random, 0.3)
    const { client, blobs } = await phone('ana', 's1', { fetch: network.fetch, timeoutMs: 5000 })
    const refs: BlobRef[] = []
    for (let at = 0; at < 6; at++) {
      const ref = await blobs.add(file(1 + Math.floor(random() * 100_000)))
      refs.push(ref)
      await client.mutate(receipt(`${kind}-${seed}-${at}`, ref))
      await client.mutate(addCustomer(`${kind}-${seed}-c${at}`, `n${at}`, 's1'))
    }
    client.setOnline(true)
    const left = () => client.writes.filter(({ state }) => state !== 'rejected')
    await until('the writes are decided, or the network is tried enough', () => left().length === 0 || Object.values(network.counts).reduce((sum, count) => sum + count, 0) > 60)
    network.healed = true
    await network.settled()
    await until(`all is there: ${again(seed, 'blobserver')}`, () => left().length === 0)
    expect(client.writes).toEqual([])
    const ben = await phone('ben')
    await ben.client.pull()
    for (const [at, ref] of refs.entries()) {
      expect((await ben.client.get('ledger_entries', `${kind}-${seed}-${at}`))?.['photo']).toEqual(ref)
      expect(await hash(await ben.blobs.read(ref))).toBe(ref.sha256)
    }
  })
})
