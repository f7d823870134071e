// The worker that holds a browser's database: wa-sqlite on the origin's private file system.
import * as SQLite from '@journeyapps/wa-sqlite'
import SQLiteESMFactory from '@journeyapps/wa-sqlite/dist/wa-sqlite.mjs'
// @ts-expect-error: the package ships no types for its file systems
import { OPFSCoopSyncVFS } from '@journeyapps/wa-sqlite/src/examples/OPFSCoopSyncVFS.js'
import { unpacks, whyNoPrivateFiles, workerFiles, workerPort } from '../platform'
import type { ImageFiles } from './driver'
import { FolderImages } from './image-files'
import { textOfCell } from './image-sql'
import { PrivateFolder } from './private-images'
import { WaDatabase, type OpenReply, type WaApi, type WorkerReply, type WorkerRequest } from './wa-sqlite'

let database: WaDatabase | undefined
let files: ImageFiles | undefined
// One request at a time: a read must not fall into another request's transaction.
let tail: Promise<unknown> = Promise.resolve()

/** How long the private file system may take to be there. */
const FILES_MS = 20_000
/** The longest path of a database. */
const MAX_PATH_BYTES = 1024

const port = workerPort<WorkerRequest, WorkerReply>()
port.listen((data) => {
  tail = tail.then(async () => {
    const reply: WorkerReply = { id: data.id }
    try {
      reply.value = await answer(data)
    } catch (error) {
      reply.error = error instanceof Error ? error.message : String(error)
    }
    port.send(reply)
  })
})

async function answer(request: WorkerRequest): Promise<unknown> {
  if (request.kind === 'open') {
    const module = await SQLiteESMFactory()
    const api = SQLite.Factory(module)
    const volatile = await whyNoPrivateFiles(FILES_MS)
    if (volatile !== undefined) {
      database = await WaDatabase.open(api as unknown as WaApi, ':memory:')
      return { volatile } satisfies OpenReply
    }
    const vfs = await OPFSCoopSyncVFS.create('nizhal', module)
    // Images are in a folder of their own, and 64 bytes are not enough for their paths.
    vfs.mxPathname = MAX_PATH_BYTES
    api.vfs_register(vfs, true)
    database = await WaDatabase.open(api as unknown as WaApi, request.name, 'nizhal')
    // One connection, held by one leader: no other has to be waited for.
    await database.all('pragma locking_mode = exclusive')
    await database.all('pragma synchronous = normal')
    // Rows come in the server's order and are stored by key: a first sync that does not fit would write each page many times.
    await database.all('pragma cache_size = -65536')
    await database.all('pragma temp_store = memory')
    database.define('nizhal_text', textOfCell)
    const root = unpacks() ? await workerFiles() : undefined
    if (root) files = new FolderImages(new PrivateFolder(root, request.name))
    return { images: files !== undefined } satisfies OpenReply
  }
  if (!database) throw new Error('the database is not open')
  switch (request.kind) {
    case 'all':
      return database.all(request.sql, request.params)
    case 'transaction':
      await database.transaction(request.statements)
      return undefined
    case 'files':
      return (files?.[request.method] as (...args: unknown[]) => Promise<unknown>)(...request.args)
    case 'close':
      await database.close()
      database = undefined
      return undefined
  }
}
