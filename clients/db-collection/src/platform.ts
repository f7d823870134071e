// What the client takes from where it runs, and the only place that names a global. Each may be absent, throw, or come late: it is
// looked up when it is needed, never kept, and whoever asks gets an answer that it can live with.

/** The part of Web Locks that is used. */
export interface Locks {
  request<Result>(name: string, options: { signal?: AbortSignal }, held: () => Promise<Result>): Promise<Result>
}

/** A place outside the store that may remember a few words. */
export type Witness = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>

/** The longest time that a timer can hold; browsers take a longer one for none at all, and fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1
const UUID = /^[0-9a-f-]{36}$/

/** What an error says. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** The answer of a global that may throw. */
function tried<Value>(ask: () => Value | undefined): Value | undefined {
  try {
    return ask() ?? undefined
  } catch {
    return undefined
  }
}

/** A global of this name, where there is one. */
function global<Value>(name: string): Value | undefined {
  return tried(() => (globalThis as unknown as Record<string, Value>)[name])
}

function callable<Value extends (...args: never[]) => unknown>(name: string): Value | undefined {
  const found = global<Value>(name)
  return typeof found === 'function' ? found : undefined
}

/** A new random UUID; plain http has no `randomUUID`, and some engines no `crypto` at all. */
export function newId(): string {
  const crypto = global<Crypto>('crypto')
  const made = tried(() => crypto?.randomUUID())
  if (typeof made === 'string' && UUID.test(made)) return made
  const bytes = new Uint8Array(16)
  tried(() => crypto?.getRandomValues(bytes))
  // Mixed in any case: a generator that is there and fills nothing must not give two devices the same name.
  for (let at = 0; at < 16; at++) bytes[at]! ^= Math.floor(Math.random() * 256)
  bytes[6] = (bytes[6]! & 0x0f) | 0x40
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return dashed(hex)
}

/** 32 digits as a UUID writes them. */
export function dashed(hex: string): string {
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, '$1-$2-$3-$4-$5')
}

/** ms of a clock that nobody sets, where there is one. */
export function elapsedMs(): number {
  const now = tried(() => global<Performance>('performance')?.now())
  return typeof now === 'number' && Number.isFinite(now) ? now : Date.now()
}

/** A timer that was set. */
export interface Timer {
  stop(): void
}

/** Runs something later; `undefined` where no timer can be set. A wait that is no number is the longest: never a hot loop. */
export function later(ms: number, run: () => void): Timer | undefined {
  const wait = ms >= 0 ? Math.min(ms, MAX_TIMER_MS) : MAX_TIMER_MS
  let stopped = false
  const set = callable<typeof setTimeout>('setTimeout')
  const id = tried(() => set?.(() => void (!stopped && run()), wait))
  if (id === undefined) return undefined
  return {
    stop() {
      stopped = true
      tried(() => callable<typeof clearTimeout>('clearTimeout')?.(id))
    },
  }
}

/** Runs something again and again until it is stopped. */
export function every(ms: number, run: () => void): Timer {
  let timer: Timer | undefined
  const arm = () => {
    timer = later(ms, () => {
      arm()
      run()
    })
  }
  arm()
  return { stop: () => timer?.stop() }
}

/** The same promise, or `late()`'s error when it takes longer than this. */
export async function within<Value>(ms: number, promise: PromiseLike<Value> | Value, late: () => Error): Promise<Value> {
  let timer: Timer | undefined
  const deadline = new Promise<never>((_, reject) => (timer = later(ms, () => reject(late()))))
  try {
    return await Promise.race([promise, deadline])
  } finally {
    timer?.stop()
  }
}

/** Runs something after the current step, before anything else of the outside. */
export function soon(run: () => void): void {
  void Promise.resolve().then(run).catch(report)
}

/** Tells the app's developers of an error that stops nothing here. */
export function report(error: unknown): void {
  const tell = callable<(error: unknown) => void>('reportError')
  tried(() => (tell ? tell(error) : global<Console>('console')?.error(error)))
}

/** A request. Rejects where the page cannot make one. */
export async function request(url: string, init: RequestInit): Promise<Response> {
  const fetch = callable<typeof globalThis.fetch>('fetch')
  if (!fetch) throw new TypeError('there is no fetch here: give the client one with the option `fetch`')
  return fetch(url, init)
}

/** A way to break a request off; where it cannot be broken off, its answer is not waited for. */
export function canceller(): { signal?: AbortSignal; abort(): void } {
  const controller = tried(() => new (global<typeof AbortController>('AbortController')!)())
  const signal = controller?.signal
  return { ...(signal && { signal }), abort: () => void tried(() => controller?.abort()) }
}

/** Decodes UTF-8 that comes in pieces; `undefined` where that cannot be done. */
export function decoder(): ((bytes: Uint8Array) => string) | undefined {
  const made = tried(() => new (global<typeof TextDecoder>('TextDecoder')!)())
  // One that decodes to nothing would make a whole pull an empty one.
  const works = tried(() => made?.decode(new Uint8Array([0x6f, 0x6b]), { stream: true }) === 'ok')
  return made && works ? (bytes) => made.decode(bytes, { stream: true }) : undefined
}

/** Whether answers can be read piece by piece. React Native's have no body. */
export function readsStreams(): boolean {
  const prototype = tried(() => global<typeof Response>('Response')?.prototype)
  return prototype !== undefined && 'body' in prototype && decoder() !== undefined
}

/** The SHA-256 of bytes, where the page may compute it; plain http may not. */
export async function digest(bytes: ArrayBuffer, waitMs: number): Promise<ArrayBuffer | undefined> {
  try {
    const digested = global<Crypto>('crypto')?.subtle?.digest('SHA-256', bytes)
    return await within(waitMs, digested, () => new Error('it does not answer'))
  } catch {
    return undefined
  }
}

/** A file of these bytes; throws where the page has none. */
export function fileOf(bytes: BlobPart[], type: string): Blob {
  return new (global<typeof Blob>('Blob')!)(bytes, { type })
}

/** Whether files can be unpacked here. */
export function unpacks(): boolean {
  return callable('DecompressionStream') !== undefined
}

/** The bytes that a file of gzip stands for. */
export function gunzipped(file: Blob): ReadableStream<Uint8Array> {
  return file.stream().pipeThrough(new (global<typeof DecompressionStream>('DecompressionStream')!)('gzip'))
}

/** The part of `node:fs/promises` that is used. */
export interface NodeFiles {
  stat(path: string): Promise<{ size: number }>
  mkdir(path: string, options: { recursive: true }): Promise<unknown>
  readdir(path: string): Promise<string[]>
  readFile(path: string): Promise<Uint8Array>
  writeFile(path: string, data: Uint8Array): Promise<void>
  appendFile(path: string, data: Uint8Array): Promise<void>
  rm(path: string, options: { recursive?: boolean; force: true }): Promise<void>
}

/** The part of Node's `process` that is used. */
interface NodeProcess {
  getBuiltinModule(name: 'node:fs/promises'): NodeFiles
}

/** Node's files, in Node 20.16, 22.3 and later. */
export function nodeFiles(): NodeFiles | undefined {
  return tried(() => global<NodeProcess>('process')?.getBuiltinModule('node:fs/promises'))
}

/** Makes addresses for files of this page, where it can. */
export function objectUrls(): { make(file: Blob): string | undefined; revoke(url: string): void } | undefined {
  const urls = global<typeof URL>('URL')
  if (typeof urls?.createObjectURL !== 'function') return undefined
  return { make: (file) => tried(() => urls.createObjectURL(file)), revoke: (url) => tried(() => urls.revokeObjectURL(url)) }
}

/** The origin's private file system, where files in it can be written from a page. */
export async function privateFiles(waitMs: number): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    const { createWritable } = global<typeof FileSystemFileHandle>('FileSystemFileHandle')?.prototype ?? {}
    const storage = global<Navigator>('navigator')?.storage
    if (typeof createWritable !== 'function' || typeof storage?.getDirectory !== 'function') return undefined
    return await within(waitMs, storage.getDirectory(), () => new Error('it does not answer'))
  } catch {
    return undefined
  }
}

/** IndexedDB, where there is one. */
export function indexedDatabases(): IDBFactory | undefined {
  const found = global<IDBFactory>('indexedDB')
  return typeof found?.open === 'function' ? found : undefined
}

/** How a language compares texts; by their code units where languages are not known. */
export function collator(name?: string, options?: object): (a: string, b: string) => number {
  const intl = global<typeof Intl>('Intl')
  const made = tried(() => new intl!.Collator(name, options as Intl.CollatorOptions))
  return made ? (a, b) => made.compare(a, b) : (a, b) => (a < b ? -1 : a > b ? 1 : 0)
}

/** The class of WebSockets, where there is one. */
export function socketClass(): typeof WebSocket | undefined {
  return callable('WebSocket') as typeof WebSocket | undefined
}

/** What remembers a store's existence outside it, where the page may. */
export function localWitness(): Witness | undefined {
  return global<Storage>('localStorage')
}

/** A witness that cannot fail: what it does not remember is not known. */
export function harmless(witness: Witness | undefined): Witness | undefined {
  return witness && { getItem: (name) => tried(() => witness.getItem(name)) ?? null, setItem: (name, value) => void tried(() => witness.setItem(name, value)), removeItem: (name) => void tried(() => witness.removeItem(name)) }
}

/** The tabs' locks; plain http has none. */
export function tabLocks(): Locks | undefined {
  return tried(() => {
    const locks = global<Navigator>('navigator')?.locks
    return typeof locks?.request === 'function' ? (locks as unknown as Locks) : undefined
  })
}

/** A channel between tabs, where there can be one. */
export function openChannel(name: string): BroadcastChannel | undefined {
  return tried(() => new (global<typeof BroadcastChannel>('BroadcastChannel')!)(name))
}

/** What the browser believes of the network; it may be wrong. */
export function saysOffline(): boolean {
  return tried(() => global<Navigator>('navigator')?.onLine) === false
}

/** Hears of the network from the browser; returns how to stop. */
export function onNetwork(hear: (online: boolean) => void): () => void {
  const [online, offline] = [() => hear(true), () => hear(false)]
  tried(() => callable<typeof addEventListener>('addEventListener')?.('online', online))
  tried(() => callable<typeof addEventListener>('addEventListener')?.('offline', offline))
  return () => {
    tried(() => callable<typeof removeEventListener>('removeEventListener')?.('online', online))
    tried(() => callable<typeof removeEventListener>('removeEventListener')?.('offline', offline))
  }
}

/** The end of a worker that talks to its page. */
export function workerPort<Request, Reply>(): { listen(hear: (request: Request) => void): void; send(reply: Reply): void } {
  const scope = globalThis as unknown as { onmessage: (event: { data: Request }) => void; postMessage(reply: Reply): void }
  return { listen: (hear) => void (scope.onmessage = ({ data }) => hear(data)), send: (reply) => scope.postMessage(reply) }
}

/** The origin's private file system, where this worker can write files in place. */
export async function workerFiles(): Promise<FileSystemDirectoryHandle | undefined> {
  const { createSyncAccessHandle } = (global<typeof FileSystemFileHandle>('FileSystemFileHandle')?.prototype ?? {}) as { createSyncAccessHandle?: unknown }
  return typeof createSyncAccessHandle === 'function' ? global<Navigator>('navigator')?.storage.getDirectory() : undefined
}

/** Why this worker has no private file system, or `undefined` where it has one. */
export async function whyNoPrivateFiles(waitMs: number): Promise<string | undefined> {
  const storage = tried(() => global<Navigator>('navigator')?.storage)
  if (typeof storage?.getDirectory !== 'function') return 'this page has no private file system: browsers give one to https and localhost alone'
  try {
    await within(waitMs, storage.getDirectory(), () => new Error('it does not answer'))
    return undefined
  } catch (error) {
    return `the private file system is not for this page: ${messageOf(error)}`
  }
}
