// Blobs of several tabs over one disk: whoever leads keeps and uploads them, and any of them may die.
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { blobStoreOf } from '../src/blob'
import { MemoryFiles } from '../src/blob/files'
import type { NizhalClient } from '../src/client'
import { blobDevice, BlobServer, until, withPhoto } from './harness/blobs'
import { Channels, Locks } from './harness/globals'
import { Disk } from './harness/wasm'

let server: BlobServer
let ends: (() => Promise<void>)[] = []
beforeEach(async () => {
  server = await BlobServer.start()
})
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
  server.stop()
})

/** Tabs of one origin; `asked` says which tab asked the server for what of blobs. */
async function browser() {
  const [disk, locks, files, name] = [await Disk.make(), new Locks(), new MemoryFiles(), `blobtabs-${Math.random()}`]
  const asked: string[] = []
  const tab = async (as: string) => {
    const channels = new Channels()
    let dead = false
    const never = new Promise<never>(() => undefined)
    const fetch = (async (url: string, init: RequestInit) => {
      if (dead) return never
      if (url.includes('/nizhal/blob/')) asked.push(as)
      return globalThis.fetch(url, init)
    }) as typeof globalThis.fetch
    // What a killed tab has under way reaches the disk no more.
    const alive = { open: () => files.open(), read: (sha256: string) => (dead ? never : files.read(sha256)), write: (...args: Parameters<MemoryFiles['write']>) => (dead ? never : files.write(...args)), note: (...args: Parameters<MemoryFiles['note']>) => (dead ? never : files.note(...args)), remove: (sha256: string) => (dead ? never : files.remove(sha256)), clear: () => files.clear(), close: async () => undefined }
    const made = await blobDevice(server, blobStoreOf(alive), { store: disk.store(), fetch, name, locks, channel: channels.open })
    const kill = () => {
      dead = true
      channels.cut()
      locks.free()
    }
    ends.push(() => made.client.close())
    return { ...made, kill }
  }
  return { tab, asked }
}

const file = (bytes: number) => new Blob([randomBytes(bytes)], { type: 'image/jpeg' })
const idle = (client: NizhalClient) => until('nothing is under way', () => client.writes.length === 0)

test('inv26: a follower adds and looks, the leader alone uploads, and both are told', async () => {
  const { tab, asked } = await browser()
  const [first, second] = [await tab('first'), await tab('second')]
  const photo = file(1000)
  const ref = await second.blobs.add(photo)
  const url = await second.blobs.url(ref)
  expect(Buffer.from(await (await fetch(url)).arrayBuffer())).toEqual(Buffer.from(await photo.arrayBuffer()))
  await until('both are told', () => [first, second].every(({ blobs }) => blobs.uploads.length === 1))
  const write = await second.client.mutate(withPhoto('c1', ref))
  expect(write.awaitsBlob).toBe(true)
  for (const { client } of [first, second]) client.setOnline(true)
  await second.client.confirmed(write.id)
  expect(new Set(asked)).toEqual(new Set(['first']))
  expect(server.asked).toEqual(['begin', 'part 1', 'complete'])
  await expect(second.blobs.add(file(0))).rejects.toMatchObject({ name: 'BlobError', code: 'empty' })
  await expect(second.blobs.read({ ...ref, sha256: 'a'.repeat(64) })).rejects.toMatchObject({ name: 'BlobError', status: 404, code: 'not_found' })
})

test('inv26: when the leader is killed in the middle of an upload, a follower goes on with it', async () => {
  const { tab, asked } = await browser()
  server.partBytes = 400
  server.fault = ({ kind, part }) => (kind === 'part' && part === 2 ? 'silence' : undefined)
  const [first, second] = [await tab('first'), await tab('second')]
  await first.client.mutate(withPhoto('c1', await first.blobs.add(file(1000))))
  for (const { client } of [first, second]) client.setOnline(true)
  await until('it is in its middle', () => server.asked.includes('part 2'))
  server.fault = () => undefined
  server.asked.length = asked.length = 0
  first.kill()
  await until('another leads', () => second.client.status.leader)
  await idle(second.client)
  expect(server.asked).toEqual(['begin', 'part 2', 'part 3', 'complete'])
  expect(new Set(asked)).toEqual(new Set(['second']))
  expect([...server.sync.rows.keys()]).toEqual(['c1'])
})

test('inv26: a file that was on its way to a leader that died is kept by the next', async () => {
  const { tab } = await browser()
  const [first, second] = [await tab('first'), await tab('second')]
  first.kill()
  const ref = await second.blobs.add(file(10))
  await until('it is told', () => second.blobs.uploads.length === 1)
  expect(second.blobs.uploads).toMatchObject([{ blob: ref, state: 'queued' }])
})

test('a leader that keeps no blobs says so', async () => {
  const { tab } = await browser()
  const first = await tab('first')
  expect(() => first.client.keepBlobs(blobStoreOf(new MemoryFiles()))).toThrow('already')
})
