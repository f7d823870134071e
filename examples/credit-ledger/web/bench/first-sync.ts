// First sync of everything into OPFS; run by `run.mjs`.
import { waSqlitePersistence } from '@nizhal/db-collection/store'
import { createClient } from '../src/nizhal'

const { kamala } = await (await fetch('/tokens.json')).json()
const client = createClient({
  server: location.origin,
  name: 'bench',
  auth: { getHeaders: () => ({ authorization: `Bearer ${kamala}` }) },
  store: waSqlitePersistence({ name: 'bench.db', worker: () => new Worker(new URL('../src/worker.ts', import.meta.url), { type: 'module' }) }),
  online: false,
  pull: { pageSize: 10_000 },
})
await client.ready
const begun = performance.now()
await client.pull()
const pulled = performance.now()
const rows = (await client.rows('customers')).length
Object.assign(globalThis, { result: { rows, seconds: (pulled - begun) / 1000, readSeconds: (performance.now() - pulled) / 1000 } })
