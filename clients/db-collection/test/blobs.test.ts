// Blobs: kept without a network, uploaded whatever happens on the way, and named by no write before the server has them.
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MemoryFiles } from '../src/blob/files'
import { FolderFiles } from '../src/blob/folder'
import { sha256Of } from '../src/blob/hash'
import { blobStoreOf, folderBlobStore, keyForBlob, memoryBlobStore } from '../src/blob'
import { createNizhalBlobs, type NizhalClientBlobs } from '../src/blobs'
import type { NizhalClient } from '../src/client'
import { blobsIn, isBlobRef, mimeOf } from '../src/protocol/blob'
import { MemoryStore } from '../src/store/memory'
import { FILES_SEEN, filesScript } from './harness/blobfiles'
import { Globals } from './harness/globals'
import { blobDevice, BlobServer, renamed, until, withPhoto } from './harness/blobs'

let server: BlobServer
const open: NizhalClient[] = []
beforeEach(async () => {
  server = await BlobServer.start()
})
afterEach(async () => {
  for (const client of open.splice(0)) await client.close()
  server.stop()
})

async function device(...[store = memoryBlobStore(), options]: [store?: Parameters<typeof blobDevice>[1], options?: Parameters<typeof blobDevice>[2]]): Promise<{ client: NizhalClient; blobs: NizhalClientBlobs }> {
  const made = await blobDevice(server, store, options)
  open.push(made.client)
  return made
}

const file = (bytes: number, type = 'image/jpeg') => new Blob([randomBytes(bytes)], { type })
const sha256 = async (of: Blob) => createHash('sha256').update(Buffer.from(await of.arrayBuffer())).digest('hex')
const idle = (client: NizhalClient) => until('nothing is under way', () => client.writes.every(({ state }) => state === 'rejected'))
const ids = () => [...server.sync.rows.keys()].sort()

describe('references', () => {
  test('inv32: are exact, and are found however deep', () => {
    const ref = { sha256: 'a'.repeat(64), size: 1, mime: 'image/svg+xml' }
    expect(isBlobRef(ref)).toBe(true)
    for (const wrong of [{ ...ref, sha256: 'A'.repeat(64) }, { ...ref, sha256: 'a'.repeat(63) }, { ...ref, size: 0 }, { ...ref, size: 1.5 }, { ...ref, size: 2 ** 53 }, { ...ref, mime: 'image' }, { ...ref, mime: 'a/b;c=d' }, { ...ref, mime: `a/${'b'.repeat(126)}` }, { ...ref, more: 1 }, { sha256: ref.sha256, size: 1 }, null, 'x', []]) {
      expect(isBlobRef(wrong), JSON.stringify(wrong)).toBe(false)
    }
    const [other, more] = [{ ...ref, sha256: 'b'.repeat(64) }, { ...ref, sha256: 'c'.repeat(64), more: 1 }]
    expect([...blobsIn({ a: [{ b: ref }, ref], c: { d: other }, e: more, f: { sha256: 'd'.repeat(64), size: 1 } })].sort()).toEqual([ref.sha256, other.sha256, more.sha256])
    expect([mimeOf('text/plain;charset=utf-8'), mimeOf(''), mimeOf('IMAGE/PNG'), mimeOf('x')]).toEqual(['text/plain', 'application/octet-stream', 'image/png', 'application/octet-stream'])
  })

  test('are the SHA-256, whole or in pieces', async () => {
    for (const bytes of [0, 1, 55, 56, 63, 64, 65, 119, 120, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_001]) {
      const some = file(bytes)
      const hash = await sha256(some)
      expect([await sha256Of(some), await sha256Of(some, -1)], String(bytes)).toEqual([hash, hash])
    }
    expect(await keyForBlob(new Blob(['abc']))).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  })
})

describe('a file that is added', () => {
  test('inv35: without a network is kept and shown; its upload goes before the write that names it', async () => {
    const { client, blobs } = await device()
    const photo = file(1000)
    const ref = await blobs.add(photo)
    expect(ref).toEqual({ sha256: await sha256(photo), size: 1000, mime: 'image/jpeg' })
    expect(blobs.uploads).toEqual([{ blob: ref, state: 'queued', sentBytes: 0 }])
    const url = await blobs.url(ref)
    expect(url).toMatch(/^blob:/)
    expect(await sha256(await blobs.read(ref))).toBe(ref.sha256)
    const write = await client.mutate(withPhoto('c1', ref))
    expect(write.awaitsBlob).toBe(true)
    await client.push()
    expect([server.sync.pushes(), server.asked]).toEqual([[], []])
    client.setOnline(true)
    await client.confirmed(write.id)
    expect(server.asked).toEqual(['begin', 'part 1', 'complete'])
    expect(server.sync.pushes().map((batch) => batch.map(({ mutationID }) => mutationID))).toEqual([[1]])
    expect(server.sync.rows.get('c1')).toMatchObject({ photo: ref })
    expect(blobs.uploads).toEqual([])
    blobs.release(url)
  })

  test('inv35: other writes pass those that wait; what depends on one, or writes its row, waits too; the sequence has no gap', async () => {
    const { client, blobs } = await device()
    server.fault = ({ kind }) => (kind === 'part' ? { status: 503 } : undefined)
    const ref = await blobs.add(file(10))
    await client.mutate(withPhoto('c1', ref))
    await client.mutate(renamed('c1', 'After the photo'))
    await client.mutate(withPhoto('c2', undefined))
    const on = await client.mutate({ ...(withPhoto('c3', undefined) as object), dependsOn: [client.writes[1]!.id] } as never)
    await client.mutate(withPhoto('c4', undefined))
    expect(client.writes.map(({ awaitsBlob = false }) => awaitsBlob)).toEqual([true, true, false, true, false])
    client.setOnline(true)
    await until('the others are there', () => ids().join() === 'c2,c4')
    await client.mutate(withPhoto('c5', undefined))
    await until('the last is there', () => ids().includes('c5'))
    await until('it was tried again', () => server.asked.filter((asked) => asked === 'part 1').length > 2)
    server.fault = () => undefined
    await client.confirmed(on.id)
    await idle(client)
    expect(server.sync.ran).toEqual(['c2', 'c4', 'c5', 'c1', 'After the photo', 'c3'])
    const sent = server.sync.pushes().flat()
    expect(new Set(sent.map(({ clientID }) => clientID)).size).toBe(1)
    expect(sent.map(({ mutationID }) => mutationID)).toEqual([1, 2, 3, 4, 5, 6])
    expect(server.sync.rows.get('c1')).toMatchObject({ name: 'After the photo', photo: ref })
  })

  test('inv35: later writes to a row that was there before wait behind the one that gives it a photo', async () => {
    const { client, blobs } = await device()
    server.sync.rows.set('c0', { id: 'c0', shop_id: 's1', name: 'Before' })
    await client.pull()
    server.fault = ({ kind }) => (kind === 'part' ? { status: 503 } : undefined)
    const photo = await blobs.add(file(10))
    const effects = [{ table: 'customers', key: 'c0', kind: 'update', patch: { name: 'With a photo', photo } }]
    await client.mutate({ name: 'updateCustomerName', args: { customerId: 'c0', value: 'With a photo', photo }, effects } as never)
    const after = await client.mutate(renamed('c0', 'After the photo'))
    expect([after.awaitsBlob, after.dependsOn]).toEqual([true, []])
    client.setOnline(true)
    await client.mutate(withPhoto('c1', undefined))
    await until('the other is there', () => ids().includes('c1'))
    server.fault = () => undefined
    await idle(client)
    expect(server.sync.ran).toEqual(['c1', 'With a photo', 'After the photo'])
  })

  test('of 0 bytes is refused clearly', async () => {
    const { blobs } = await device()
    await expect(blobs.add(file(0))).rejects.toMatchObject({ code: 'empty', message: expect.stringContaining('no bytes') })
    await expect(blobs.upload(file(0))).rejects.toMatchObject({ code: 'empty' })
    expect(blobs.uploads).toEqual([])
  })

  test('twice is one, and is uploaded once', async () => {
    const { client, blobs } = await device()
    const photo = file(100)
    const [one, other] = await Promise.all([blobs.add(photo), blobs.add(photo)])
    expect(one).toEqual(other)
    await client.mutate(withPhoto('c1', one))
    await client.mutate(withPhoto('c2', other))
    client.setOnline(true)
    await idle(client)
    expect(server.asked).toEqual(['begin', 'part 1', 'complete'])
    expect(ids()).toEqual(['c1', 'c2'])
    // It is at the server: the next write that names it need not wait.
    expect(await blobs.add(photo)).toEqual(one)
    expect((await client.mutate(withPhoto('c3', one))).awaitsBlob).toBeUndefined()
    await idle(client)
    expect(server.asked.length).toBe(3)
  })
})

describe('an upload', () => {
  test('of 20 MB goes in parts, tells of its progress, and after a cut sends only what is missing', async () => {
    const { client, blobs } = await device()
    const photo = file(20_000_000)
    const seen: number[] = []
    blobs.onUploads(([upload]) => upload && upload.sentBytes !== seen.at(-1) && seen.push(upload.sentBytes))
    server.fault = ({ kind, count, part }) => (kind === 'part' && part === 2 && count === 2 ? 'break' : kind === 'part' && count === 4 ? 'lostAnswer' : undefined)
    const write = await client.mutate(withPhoto('c1', await blobs.add(photo)))
    client.setOnline(true)
    await client.confirmed(write.id)
    // The second part was cut; the third arrived, and its answer was lost.
    expect(server.asked).toEqual(['begin', 'part 1', 'part 2', 'begin', 'part 2', 'part 3', 'begin', 'complete'])
    expect(server.blobs.get(await sha256(photo))!.bytes.length).toBe(20_000_000)
    expect(seen).toEqual([0, 8 << 20, 16 << 20, 20_000_000])
  })

  test('survives a reload in its middle: it goes on with the same one', async () => {
    const [rows, store] = [new MemoryStore(), memoryBlobStore()]
    server.partBytes = 1000
    server.fault = ({ kind, part }) => (kind === 'part' && part === 3 ? 'silence' : undefined)
    const before = await device(store, { store: rows })
    const ref = await before.blobs.add(file(3500))
    await before.client.mutate(withPhoto('c1', ref))
    before.client.setOnline(true)
    await until('it is in its middle', () => server.asked.includes('part 3'))
    await before.client.close()
    server.fault = () => undefined
    server.asked.length = 0
    const after = await device(store, { store: rows })
    expect(after.client.writes).toMatchObject([{ state: 'pending', awaitsBlob: true }])
    await until('it is read again', () => after.blobs.uploads.length > 0)
    expect(after.blobs.uploads).toMatchObject([{ blob: ref, state: 'queued' }])
    after.client.setOnline(true)
    await idle(after.client)
    expect(server.asked).toEqual(['begin', 'part 3', 'part 4', 'complete'])
    expect(server.uploads.size).toBe(1)
    expect(ids()).toEqual(['c1'])
  })

  test('goes on with what fails and passes, for as long as it takes, and stands still without a network', async () => {
    const { client, blobs } = await device()
    const kinds = ['begin', 'part', 'complete']
    server.fault = ({ count }) => (count > 12 ? undefined : ([{ status: 500 }, 'break', { status: 429, headers: { 'retry-after': '0' } }, { status: 403, body: { code: 'forbidden' } }, 'lostAnswer'] as const)[count % 5])
    const write = await client.mutate(withPhoto('c1', await blobs.add(file(10))))
    client.setOnline(true)
    await until('it fails', () => blobs.uploads.some(({ error }) => error !== undefined))
    client.setOnline(false)
    await until('what was under way is over', () => blobs.uploads.every(({ state }) => state === 'queued'))
    const asked = server.asked.length
    await client.mutate(withPhoto('c2', undefined))
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(server.asked.length).toBe(asked)
    client.setOnline(true)
    await client.confirmed(write.id)
    for (const kind of kinds) expect(server.asked.filter((one) => one.startsWith(kind)).length).toBeGreaterThan(1)
  })

  test('that the server has forgotten begins anew', async () => {
    const [rows, store] = [new MemoryStore(), memoryBlobStore()]
    server.fault = ({ kind }) => (kind === 'part' ? 'silence' : undefined)
    const before = await device(store, { store: rows })
    await before.client.mutate(withPhoto('c1', await before.blobs.add(file(10))))
    before.client.setOnline(true)
    await until('it has begun', () => server.asked.includes('part 1'))
    await before.client.close()
    server.uploads.clear()
    server.fault = () => undefined
    const after = await device(store, { store: rows })
    after.client.setOnline(true)
    await idle(after.client)
    expect(ids()).toEqual(['c1'])
  })

  test('one that fails keeps no other from going', async () => {
    const { client, blobs } = await device()
    const [bad, good] = [await blobs.add(file(10, 'image/png')), await blobs.add(file(20))]
    server.fault = ({ kind, part }) => (kind === 'part' && part === 1 && [...server.uploads.values()].at(-1)!.mime === 'image/png' ? { status: 500 } : undefined)
    await client.mutate(withPhoto('c1', bad))
    await client.mutate(withPhoto('c2', good))
    client.setOnline(true)
    await until('the other is there', () => ids().join() === 'c2')
    expect(blobs.uploads).toMatchObject([{ blob: bad, error: { code: 'http_500' } }])
    server.fault = () => undefined
    await idle(client)
    expect(ids()).toEqual(['c1', 'c2'])
  })

  test('whose bytes arrive as others begins anew once; the second time it is final, and the write is parked', async () => {
    const { client, blobs } = await device()
    server.fault = ({ kind, count }) => (kind === 'part' && count === 1 ? 'otherBytes' : undefined)
    const first = await client.mutate(withPhoto('c1', await blobs.add(file(10))))
    client.setOnline(true)
    await client.confirmed(first.id)
    server.fault = ({ kind }) => (kind === 'part' ? 'otherBytes' : undefined)
    const ref = await blobs.add(file(10))
    const second = await client.mutate(withPhoto('c2', ref))
    await expect(client.confirmed(second.id)).rejects.toMatchObject({ name: 'WriteRejected', write: { refusal: { status: 'rejected', code: 'hash_mismatch' } } })
    expect(blobs.uploads).toMatchObject([{ blob: ref, state: 'failed', error: { code: 'hash_mismatch' } }])
    // The user says again.
    server.fault = () => undefined
    const again = await client.retry(second.id)
    await client.confirmed(again!.id)
    expect(ids()).toEqual(['c1', 'c2'])
  })

  test.each(['too_large', 'mime_refused'] as const)('%s is final: the write is parked with what depends on it, its bytes go when it is discarded', async (code) => {
    const { client, blobs } = await device()
    if (code === 'too_large') server.maxBytes = 5
    else server.refusedMime = 'image/jpeg'
    const ref = await blobs.add(file(10))
    const write = await client.mutate(withPhoto('c1', ref))
    await client.mutate(renamed('c1', 'Never'))
    await client.mutate(withPhoto('c2', undefined))
    client.setOnline(true)
    await until('it is parked', () => client.status.rejected === 2)
    expect(client.writes.filter(({ state }) => state === 'rejected').map(({ refusal }) => [refusal!.status, refusal!.code])).toEqual([['rejected', code], ['cancelled', 'cancelled']])
    expect(blobs.uploads).toMatchObject([{ state: 'failed', error: { code } }])
    await until('the other is there', () => ids().join() === 'c2')
    expect(new Set(server.sync.pushes().flat().map(({ clientID }) => clientID)).size).toBe(1)
    expect(await blobs.discard(ref)).toBe(false)
    await client.discard(write.id)
    await until('its bytes are gone', () => blobs.uploads.length === 0)
    await expect(blobs.read(ref)).rejects.toMatchObject({ status: 404 })
  })
})

describe('a blob that the server lacks', () => {
  test('inv35: is uploaded anew where its bytes are here, and the write goes again', async () => {
    const { client, blobs } = await device()
    const ref = await blobs.add(file(10))
    client.setOnline(true)
    await until('it is uploaded', () => blobs.uploads.length === 0)
    // Collected meanwhile, as what nothing names is.
    server.blobs.clear()
    const write = await client.mutate(withPhoto('c1', ref))
    const other = await client.mutate(withPhoto('c2', undefined))
    await Promise.all([client.confirmed(write.id), client.confirmed(other.id)])
    expect(server.asked.filter((asked) => asked === 'complete').length).toBe(2)
    expect(server.sync.rows.get('c1')).toMatchObject({ photo: ref })
    // It waited for the upload, and was not sent again and again.
    expect(server.sync.pushes().filter((batch) => batch.some(({ clientMutationId }) => clientMutationId === write.id)).length).toBe(2)
  })

  test('is why the write is parked where its bytes are not here, and others go on', async () => {
    const { client } = await device()
    const write = await client.mutate(withPhoto('c1', { sha256: 'a'.repeat(64), size: 1, mime: 'image/png' }))
    const other = await client.mutate(withPhoto('c2', undefined))
    expect(write.awaitsBlob).toBeUndefined()
    client.setOnline(true)
    await expect(client.confirmed(write.id)).rejects.toMatchObject({ write: { refusal: { code: 'blob_missing' } } })
    await client.confirmed(other.id)
    expect(ids()).toEqual(['c2'])
  })

  test('that it does not name is one that the first write names', async () => {
    const { client, blobs } = await device()
    const ref = await blobs.add(file(10))
    const withRef = await client.mutate(withPhoto('c1', ref))
    const made = await client.mutate(withPhoto('c2', undefined, 'Made of parts'))
    await client.mutate(withPhoto('c3', undefined))
    // As a trigger of the database says it, which looks at rows.
    const refused = new Set([withRef.id])
    server.sync.script = ({ path, body: { mutations = [] } }) => {
      const at = mutations.findIndex(({ clientMutationId: id, args }) => refused.delete(id) || (args as { name?: string }).name === 'Made of parts')
      return path === '/sync/push' && at >= 0 ? { status: 409, body: { code: 'blob_missing', error: 'a row names a blob that is not stored', sha256: [], results: server.sync.push(mutations.slice(0, at)) } } : undefined
    }
    client.setOnline(true)
    await client.confirmed(withRef.id)
    await expect(client.confirmed(made.id)).rejects.toMatchObject({ write: { refusal: { code: 'blob_missing' } } })
    await idle(client)
    expect(ids()).toEqual(['c1', 'c3'])
  })

  test('again and again is not uploaded for ever', async () => {
    const { client, blobs } = await device()
    const write = await client.mutate(withPhoto('c1', await blobs.add(file(10))))
    // It stores and forgets.
    server.fault = ({ kind }) => (kind === 'begin' ? void server.blobs.clear() : undefined)
    server.sync.script = ({ path, body: { mutations = [] } }) => (path === '/sync/push' ? { status: 409, body: { code: 'blob_missing', error: 'it is not here', sha256: [...blobsIn(mutations[0]!.args)], results: [] } } : undefined)
    client.setOnline(true)
    await expect(client.confirmed(write.id)).rejects.toMatchObject({ write: { refusal: { code: 'blob_missing' } } })
    expect(server.asked.filter((asked) => asked === 'complete').length).toBe(4)
  })

  test('after a restore from a backup comes back with its write', async () => {
    const { client, blobs } = await device()
    const ref = await blobs.add(file(10))
    // Applied, and no pull has shown it.
    let epoch = 'e'
    const push = server.sync.script
    server.sync.script = (asked) => (asked.path === '/sync/pull' ? { body: server.sync.page('none', { epoch, lastMutationId: 0 }) } : push(asked))
    await client.mutate(withPhoto('c1', ref))
    client.setOnline(true)
    await until('it is applied', () => client.writes[0]?.state === 'applied')
    server.blobs.clear()
    server.sync.forget()
    epoch = 'f'
    await until('it is there again', () => server.asked.filter((asked) => asked === 'complete').length === 2 && ids().length === 1)
    expect(server.sync.rows.get('c1')).toMatchObject({ photo: ref })
  })
})

describe('files', () => {
  test('keep what they are given, in memory and in a folder', async () => {
    const memory = new MemoryFiles()
    expect(await filesScript(() => memory)).toEqual(FILES_SEEN)
    const path = mkdtempSync(join(tmpdir(), 'nizhal-blobs-'))
    expect(await filesScript(() => new FolderFiles(`${path}/one`, fs))).toEqual(FILES_SEEN)
    rmSync(path, { recursive: true })
  })

  test('in a folder: what a crash left half is removed, what is not ours stays, and a full disk leaves nothing', async () => {
    const path = mkdtempSync(join(tmpdir(), 'nizhal-blobs-'))
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((digit) => digit.repeat(64))
    for (const [name, text] of [[a, 'no note'], [`${b}.json`, JSON.stringify({ sha256: b })], [`${c}.json`, '{"sha'], [`${d}.half`, 'ha'], ['notes.txt', 'mine']] as const) writeFileSync(join(path, name!), text!)
    expect(await new FolderFiles(path, fs).open()).toEqual({ notes: [] })
    expect(readdirSync(path)).toEqual(['notes.txt'])
    const full = { ...fs, writeFile: async (name: string, data: never) => (name.includes('.json') ? Promise.reject(Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })) : fs.writeFile(name, data)) }
    const { blobs } = await device(folderBlobStore({ path, fs: full as never }))
    await expect(blobs.add(file(10))).rejects.toMatchObject({ code: 'storage_full' })
    expect(readdirSync(path)).toEqual(['notes.txt'])
    rmSync(path, { recursive: true })
  })
})

describe('what is kept', () => {
  const bytesKept = (files: MemoryFiles) => files.open().then(({ notes }) => notes.map(({ sha256, state }) => [sha256, state] as const).sort())

  test('a URL is of the bytes here, is shared, and is revoked with its last release or the client', async () => {
    const { client, blobs } = await device()
    const ref = await blobs.add(new Blob(['<script>'], { type: 'text/html' }))
    const [one, other] = [await blobs.url(ref), await blobs.url(ref)]
    expect(one).toBe(other)
    // No page's scripts run in a file that a user has sent.
    expect((await fetch(one)).headers.get('content-type')).toBe('application/octet-stream')
    blobs.release(one)
    expect(await (await fetch(one)).text()).toBe('<script>')
    blobs.release(one)
    await until('it is revoked', () => fetch(one).then(() => false, () => true))
    const last = await blobs.url(await blobs.add(file(5)))
    expect((await fetch(last)).headers.get('content-type')).toBe('image/jpeg')
    await client.close()
    await until('it is revoked', () => fetch(last).then(() => false, () => true))
  })

  test('inv36: others’ blobs are fetched once, checked and kept; without a row there is none', async () => {
    const { client, blobs } = await device()
    const ref = server.put(randomBytes(50), 'image/png')
    await expect(blobs.url(ref)).rejects.toMatchObject({ status: 404, code: 'not_found' })
    server.sync.rows.set('c1', { id: 'c1', shop_id: 's1', name: 'c1', photo: ref })
    server.fault = ({ kind }) => (kind === 'get' ? 'otherBytes' : undefined)
    await expect(blobs.read(ref)).rejects.toMatchObject({ code: 'hash_mismatch' })
    server.fault = () => undefined
    expect(await blobs.url(ref)).toMatch(/^blob:/)
    server.asked.length = 0
    expect((await blobs.read(ref)).type).toBe('image/png')
    expect(await blobs.url(ref)).toMatch(/^blob:/)
    expect(server.asked).toEqual([])
    // A write that names it need not wait.
    expect((await client.mutate(withPhoto('c2', ref))).awaitsBlob).toBeUndefined()
  })

  test.each(['absent', 'throws', 'silent'] as const)('inv04: where the page’s own SHA-256 or its object URLs are %s, blobs are added, read and shown', async (trouble) => {
    const { blobs } = await device()
    const photo = file(1000)
    server.sync.rows.set('c1', { id: 'c1', photo: server.put(Buffer.from(await photo.arrayBuffer()), 'image/jpeg') })
    const refuse = () => {
      throw new DOMException('not for this page', 'SecurityError')
    }
    const is = trouble === 'absent' ? undefined : refuse
    const globals = new Globals()
    // One that answers with nothing.
    globals.put('crypto.subtle', trouble === 'silent' ? { digest: async () => undefined } : { digest: is })
    globals.put('URL.createObjectURL', is)
    try {
      const ref = await blobs.add(photo)
      expect(ref.sha256).toBe(await sha256(photo))
      expect((await blobs.read(ref)).size).toBe(1000)
      expect(await blobs.url(ref)).toBe(`${server.url}/nizhal/blob/objects/${ref.sha256}?token=r`)
    } finally {
      globals.restore()
    }
  })

  test('a blob that is too large to be fetched, or that a page may not read, is shown by the server’s URL', async () => {
    const { blobs } = await device(memoryBlobStore({ cacheBytes: 80 }))
    const [large, unreadable] = [server.put(randomBytes(50), 'video/mp4'), server.put(randomBytes(5), 'image/png')]
    server.sync.rows.set('c1', { id: 'c1', photo: large })
    server.sync.rows.set('c2', { id: 'c2', photo: unreadable })
    expect(await blobs.url(large)).toBe(`${server.url}/nizhal/blob/objects/${large.sha256}?token=r`)
    server.fault = ({ kind }) => (kind === 'get' ? 'break' : undefined)
    expect(await blobs.url(unreadable)).toBe(`${server.url}/nizhal/blob/objects/${unreadable.sha256}?token=r`)
    expect(await blobs.url(large.sha256)).toContain(large.sha256)
  })

  test('the least recently used goes first, and never what is not uploaded or not yet in a row that was pulled', async () => {
    const files = new MemoryFiles()
    let now = 1_000_000
    const { client, blobs } = await device(blobStoreOf(files, { cacheBytes: 250 }), { environment: { nowMs: () => (now += 100_000), newId: () => crypto.randomUUID() } })
    const refs = [1, 2, 3].map(() => server.put(randomBytes(100), 'image/png'))
    for (const [at, photo] of refs.entries()) server.sync.rows.set(`c${at}`, { id: `c${at}`, shop_id: 's1', name: 'x', photo })
    await blobs.read(refs[0]!)
    await blobs.read(refs[1]!)
    await blobs.read(refs[0]!)
    await blobs.read(refs[2]!)
    expect((await bytesKept(files)).map(([sha256]) => sha256)).toEqual([refs[0]!.sha256, refs[2]!.sha256].sort())
    // 400 bytes of our own, beyond the 250.
    const own = [await blobs.add(file(200)), await blobs.add(file(200))]
    for (const [at, ref] of own.entries()) await client.mutate(withPhoto(`o${at}`, ref))
    await blobs.read(refs[1]!)
    expect((await bytesKept(files)).filter(([, state]) => state === 'queued').length).toBe(2)
    // Applied, but no pull has shown it.
    const push = server.sync.script
    server.sync.script = (asked) => (asked.path === '/sync/pull' ? { body: server.sync.page('none', { lastMutationId: 0 }) } : push(asked))
    client.setOnline(true)
    await until('both are applied', () => client.writes.filter(({ state }) => state === 'applied').length === 2)
    await blobs.read(refs[0]!)
    expect((await bytesKept(files)).filter(([, state]) => state === 'sent').map(([sha256]) => sha256).sort()).toEqual(own.map(({ sha256 }) => sha256).sort())
    server.sync.script = push
    await until('both are in the rows', () => client.writes.length === 0)
    await until('there is space', async () => (await files.open()).notes.reduce((sum, { size }) => sum + size, 0) <= 250)
  })

  test('with a bucket go the blobs that its rows alone named', async () => {
    const files = new MemoryFiles()
    const { client, blobs } = await device(blobStoreOf(files))
    const [lost, both, other] = [1, 2, 3].map(() => server.put(randomBytes(10), 'image/png')) as [{ sha256: string; size: number; mime: string }, { sha256: string; size: number; mime: string }, { sha256: string; size: number; mime: string }]
    const row = (id: string, shop_id: string, photo: object) => server.sync.rows.set(id, { id, shop_id, name: id, photo } as never)
    row('c1', 's1', lost)
    row('c2', 's1', both)
    row('c3', 's2', both)
    row('c4', 's2', other)
    await client.pull()
    const queued = await blobs.add(file(10))
    for (const ref of [lost, both, other]) await blobs.read(ref)
    server.sync.script = ({ path }) => (path === '/sync/pull' ? { body: { ...server.sync.page('none', { removedBuckets: ['myShops:s1'], cursor: 'later' }), changed: [] } } : undefined)
    await client.pull()
    await until('it is gone', async () => (await bytesKept(files)).every(([sha256]) => sha256 !== lost.sha256))
    expect((await bytesKept(files)).map(([sha256]) => sha256)).toEqual([both.sha256, other.sha256, queued.sha256].sort())
  })

  test('inv24: what one user left is removed before another sees it, and signing out removes all', async () => {
    const files = new MemoryFiles()
    const ana = await device(blobStoreOf(files), { user: 'ana' })
    const ref = await ana.blobs.add(file(10))
    await ana.client.close()
    const ben = await device(blobStoreOf(files), { user: 'ben' })
    await expect(ben.blobs.read(ref)).rejects.toMatchObject({ status: 404 })
    expect(await bytesKept(files)).toEqual([])
    await ben.blobs.add(file(10))
    await ben.blobs.wipe()
    expect([ben.blobs.uploads, await bytesKept(files)]).toEqual([[], []])
  })

  test('where the disk is full cached blobs make way; without any, the file is refused and nothing is left of it', async () => {
    class Full extends MemoryFiles {
      override async write(...[note, file]: Parameters<MemoryFiles['write']>): Promise<void> {
        const kept = (await this.open()).notes.reduce((sum, { size }) => sum + size, 0)
        if (kept + file.size > 300) throw new DOMException('the quota has been exceeded', 'QuotaExceededError')
        await super.write(note, file)
      }
    }
    const files = new Full()
    const { blobs } = await device(blobStoreOf(files))
    const cached = server.put(randomBytes(100), 'image/png')
    server.sync.rows.set('c1', { id: 'c1', photo: cached })
    await blobs.read(cached)
    const ref = await blobs.add(file(250))
    expect((await bytesKept(files)).map(([sha256]) => sha256)).toEqual([ref.sha256])
    await expect(blobs.add(file(100))).rejects.toMatchObject({ code: 'storage_full', message: expect.stringContaining('no space') })
    expect((await bytesKept(files)).map(([sha256]) => sha256)).toEqual([ref.sha256])
    // Whoever only looks need not hear of it.
    expect((await blobs.read(cached)).size).toBe(100)
    expect(blobs.uploads).toMatchObject([{ blob: ref, state: 'queued' }])
  })

  test('a write that fails for a reason that passes is made once more', async () => {
    class Nervous extends MemoryFiles {
      failures = 1
      override write = (...args: Parameters<MemoryFiles['write']>) => (this.failures-- > 0 ? Promise.reject(new DOMException('it was aborted', 'AbortError')) : super.write(...args))
    }
    const files = new Nervous()
    const { blobs } = await device(blobStoreOf(files))
    const ref = await blobs.add(file(100))
    expect(await bytesKept(files)).toEqual([[ref.sha256, 'queued']])
    files.failures = 2
    await expect(blobs.add(file(200))).rejects.toMatchObject({ code: 'storage', message: 'it was aborted' })
  })

  test('a disk that fails for another reason says so, and keeps what is cached', async () => {
    class Failing extends MemoryFiles {
      fails = false
      override write = (...args: Parameters<MemoryFiles['write']>) => (this.fails ? Promise.reject(Object.assign(new Error('input/output error'), { code: 'EIO' })) : super.write(...args))
    }
    const files = new Failing()
    const { blobs } = await device(blobStoreOf(files))
    const cached = server.put(randomBytes(100), 'image/png')
    server.sync.rows.set('c1', { id: 'c1', photo: cached })
    await blobs.read(cached)
    files.fails = true
    await expect(blobs.add(file(10))).rejects.toMatchObject({ code: 'storage', message: 'input/output error' })
    expect((await bytesKept(files)).map(([sha256]) => sha256)).toEqual([cached.sha256])
  })

  test('storage that does not open is told of, and stops no write', async () => {
    class Broken extends MemoryFiles {
      override open = () => Promise.reject(new Error('no disk'))
    }
    const { client, blobs } = await device(blobStoreOf(new Broken()))
    await expect(blobs.add(file(10))).rejects.toMatchObject({ code: 'storage', message: expect.stringContaining('no disk') })
    await client.mutate(withPhoto('c1', server.put(randomBytes(5), 'image/png')))
    client.setOnline(true)
    await idle(client)
    expect(ids()).toEqual(['c1'])
  })

  test('bytes that the storage lost park the write that names them', async () => {
    const files = new MemoryFiles()
    const { client, blobs } = await device(blobStoreOf(files))
    const photo = file(10)
    const ref = await blobs.add(photo)
    const write = await client.mutate(withPhoto('c1', ref))
    await files.remove(ref.sha256)
    client.setOnline(true)
    await expect(client.confirmed(write.id)).rejects.toMatchObject({ write: { refusal: { code: 'bytes_lost' } } })
  })
})

test('without a client: sent in parts now, by key or reference found again', async () => {
  server.partBytes = 4
  let tokens = 0
  server.fault = ({ kind }) => (kind === 'begin' && tokens === 0 ? { status: 401, body: { code: 'unauthorized' } } : undefined)
  const blobs = createNizhalBlobs({ server: server.url, auth: { getHeaders: () => ({ authorization: `Bearer ${tokens}` }), refresh: () => void tokens++ } })
  const sent: number[] = []
  const { key, blob } = await blobs.upload(new Blob(['hello world'], { type: 'text/plain' }), { bucket: 'myShops:s1', onProgress: (bytes) => sent.push(bytes) })
  expect([key, blob, sent]).toEqual([await keyForBlob(new Blob(['hello world'])), { sha256: key, size: 11, mime: 'text/plain' }, [4, 8, 11]])
  server.sync.rows.set('c1', { id: 'c1', photo: blob as never })
  const url = await blobs.url(key)
  expect(url).toBe(await blobs.url(blob))
  expect(await (await fetch(url)).text()).toBe('hello world')
  server.maxBytes = 10
  await expect(blobs.upload(new Blob(['hello hello']))).rejects.toMatchObject({ status: 413, code: 'too_large' })
  await expect(blobs.url('a'.repeat(64))).rejects.toMatchObject({ status: 404, code: 'not_found' })
})
