// What the pages of the browser's tests find under `nizhal`.
import { browserBlobStore } from '../../src/blob'
import { DatabaseFiles, PrivateFiles } from '../../src/blob/browser'
import { sha256Of } from '../../src/blob/hash'
import { createNizhalBlobs } from '../../src/blobs'
import { createNizhalClient } from '../../src/client'
import { waSqlitePersistence } from '../../src/store/persistence'
import { filesScript } from './blobfiles'

/** A device on the browser's disk. */
async function device({ schema, token, name, online = false, images = true, worker = '/worker.js' }: { schema: never; token: string; name: string; online?: boolean; images?: boolean; worker?: string }) {
  const store = waSqlitePersistence({ name: `${name}.db`, worker: () => new Worker(worker, { type: 'module' }) })
  if (!images) store.images = () => undefined
  const client = createNizhalClient({ server: location.origin, auth: { getHeaders: () => ({ authorization: `Bearer ${token}` }) }, schema, name, store, online, subscribeSource: null, reconnect: { minMs: 10, maxMs: 40 }, pull: { intervalMs: 50 } })
  const blobs = createNizhalBlobs({ client, store: browserBlobStore({ name }) })
  await client.ready
  return { client, blobs }
}

/** A file whose bytes tell where they belong. */
function file(bytes: number): Blob {
  return new Blob([Uint8Array.from({ length: bytes }, (_, at) => (at * 31 + (at >> 8) * 7 + (at >> 16)) & 255)], { type: 'image/png' })
}

Object.assign(globalThis, {
  nizhal: {
    device,
    file,
    sha256Of,
    privateFiles: async () => {
      const root = await navigator.storage.getDirectory()
      return filesScript(() => new PrivateFiles(root, 'files/of a name'))
    },
    databaseFiles: () => filesScript(() => new DatabaseFiles(indexedDB, 'files')),
    /** Why IndexedDB refuses a file that it may not put in place of another. */
    refusedByDatabase: async () => {
      const files = new DatabaseFiles(indexedDB, 'refused')
      await files.open()
      const note = { sha256: 'a'.repeat(64), size: 1, mime: 'text/plain', state: 'queued', named: false, usedAt: 1 } as const
      await files.write(note, file(1))
      const { put } = IDBObjectStore.prototype
      IDBObjectStore.prototype.put = IDBObjectStore.prototype.add
      const refused = await files.write(note, file(1)).then(() => 'kept', ({ name }: DOMException) => name)
      IDBObjectStore.prototype.put = put
      return refused
    },
    /** What a crash leaves: a file whose note was not written, and a note whose file is not there. */
    halfFiles: async () => {
      const root = await navigator.storage.getDirectory()
      const folder = await (await root.getDirectoryHandle('nizhal-blobs', { create: true })).getDirectoryHandle('half', { create: true })
      for (const [name, text] of [['a'.repeat(64), 'half'], [`${'b'.repeat(64)}.json`, JSON.stringify({ sha256: 'b'.repeat(64) })], [`${'c'.repeat(64)}.json`, '{"sha']] as const) {
        const writable = await (await folder.getFileHandle(name, { create: true })).createWritable()
        await writable.write(text)
        await writable.close()
      }
      const { notes } = await new PrivateFiles(root, 'half').open()
      const names: string[] = []
      for await (const name of (folder as unknown as { keys(): AsyncIterable<string> }).keys()) names.push(name)
      return { notes, names }
    },
  },
})
