// Globals as browsers have them where they have none: absent, throwing, or there and silent.

import { request as httpRequest } from 'node:http'
import WebSocketClass from 'ws'

/** A `fetch` that needs no global itself, as a browser's does not; Node's does. */
export const plainFetch = ((url: string, { method = 'GET', headers = {}, body }: RequestInit) =>
  new Promise((resolve, reject) => {
    const sent = httpRequest(url, { method, headers: headers as Record<string, string>, agent: false }, (answer) => {
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => chunks.push(chunk))
      answer.on('error', reject)
      answer.on('end', () => resolve({ status: answer.statusCode, headers: { get: (name: string) => answer.headers[name] ?? null }, text: async () => Buffer.concat(chunks).toString() }))
    })
    sent.on('error', reject)
    sent.end(body)
  })) as unknown as typeof fetch

/** How a global misbehaves. */
export type Trouble = 'absent' | 'throws' | 'silent'

/** A global by its path, what it is where it works, and what it is where it never answers. */
export interface Global {
  path: string
  works: () => unknown
  silent: () => unknown
}

/** Replaces globals by their paths, such as `navigator.locks`; `restore` puts all of them back. */
export class Globals {
  readonly #undo: (() => void)[] = []

  set(path: string, property: PropertyDescriptor): void {
    const names = path.split('.')
    const last = names.pop()!
    const owner = names.reduce<Record<string, unknown>>((from, name) => from[name] as Record<string, unknown>, globalThis as never)
    const before = Object.getOwnPropertyDescriptor(owner, last)
    Object.defineProperty(owner, last, { configurable: true, ...property })
    this.#undo.push(() => {
      if (before) Object.defineProperty(owner, last, before)
      else delete owner[last]
    })
  }

  put(path: string, value: unknown): void {
    this.set(path, { value, writable: true })
  }

  /** Takes a working global away, as this trouble has it. */
  trouble({ path, silent }: Global, trouble: Trouble): void {
    if (trouble === 'absent') return this.put(path, undefined)
    if (trouble === 'silent') return this.put(path, silent())
    const refuse = () => {
      throw new DOMException(`${path} is not for this page`, 'SecurityError')
    }
    this.set(path, { get: refuse })
  }

  /** Makes calls and constructions of a global throw, though it is there. */
  refuse(path: string): void {
    function refusing(): never {
      throw new DOMException(`${path} is not for this page`, 'SecurityError')
    }
    this.put(path, refusing)
  }

  restore(): void {
    for (const undo of this.#undo.splice(0).reverse()) undo()
  }
}

/** Web Locks for one name, as far as they are used. */
export class Locks {
  #waiting: (() => void)[] = []
  #held = false
  request = async <Result>(_name: string, _options: object, held: () => Promise<Result>): Promise<Result> => {
    if (this.#held) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#held = true
    const result = await held()
    this.free()
    return result
  }
  /** The lock is free, as when its holder was killed. */
  free = () => {
    this.#held = false
    this.#waiting.shift()?.()
  }
}

/** The broadcast channels of one tab, which may be killed. */
export class Channels {
  readonly #made: BroadcastChannel[] = []
  open = (name: string): BroadcastChannel => {
    const made = new BroadcastChannel(name)
    // It keeps no process alive.
    ;(made as unknown as { unref(): void }).unref()
    this.#made.push(made)
    return made
  }
  /** The tab is killed: it hears nothing, and what it still sends reaches nobody. */
  cut = () => {
    for (const one of this.#made) {
      one.postMessage = () => undefined
      one.close()
    }
  }
}

/** `localStorage`, as far as it is used. */
export class Local {
  readonly kept = new Map<string, string>()
  getItem = (name: string) => this.kept.get(name) ?? null
  setItem = (name: string, value: string) => void this.kept.set(name, value)
  removeItem = (name: string) => void this.kept.delete(name)
}

export const nothing = () => undefined
export const never = () => new Promise(() => undefined)
class Mute {
  onopen = onmessage
  readyState = 0
  postMessage() {}
  send() {}
  close() {}
}
const onmessage = null

/** The globals as Node has them. */
export const REAL = {
  TextDecoder, Response, AbortController, Intl, URL, URLSearchParams, Headers, atob, btoa, structuredClone, queueMicrotask,
  setTimeout, clearTimeout, setInterval, clearInterval, performance, crypto, BroadcastChannel, Blob,
}

/** Every global that a page may have and that the client uses, or is known to have used. */
export const GLOBALS: Global[] = [
  { path: 'localStorage', works: () => new Local(), silent: () => ({ getItem: () => null, setItem: nothing, removeItem: nothing }) },
  { path: 'navigator', works: () => ({ onLine: true, locks: new Locks() }), silent: () => ({}) },
  { path: 'navigator.locks', works: () => new Locks(), silent: () => ({ request: never }) },
  { path: 'navigator.onLine', works: () => true, silent: () => false },
  { path: 'crypto', works: () => REAL.crypto, silent: () => ({ randomUUID: nothing, getRandomValues: nothing }) },
  { path: 'crypto.randomUUID', works: () => REAL.crypto.randomUUID, silent: () => nothing },
  { path: 'BroadcastChannel', works: () => REAL.BroadcastChannel, silent: () => Mute },
  { path: 'WebSocket', works: () => WebSocketClass, silent: () => Mute },
  { path: 'fetch', works: () => plainFetch, silent: () => never },
  { path: 'Response', works: () => REAL.Response, silent: () => class {} },
  { path: 'TextDecoder', works: () => REAL.TextDecoder, silent: () => class { decode() { return '' } } },
  { path: 'AbortController', works: () => REAL.AbortController, silent: () => class { signal = undefined; abort() {} } },
  { path: 'setTimeout', works: () => REAL.setTimeout, silent: () => () => 1 },
  { path: 'clearTimeout', works: () => REAL.clearTimeout, silent: () => nothing },
  { path: 'setInterval', works: () => REAL.setInterval, silent: () => () => 1 },
  { path: 'clearInterval', works: () => REAL.clearInterval, silent: () => nothing },
  { path: 'queueMicrotask', works: () => REAL.queueMicrotask, silent: () => nothing },
  { path: 'addEventListener', works: () => nothing, silent: () => nothing },
  { path: 'removeEventListener', works: () => nothing, silent: () => nothing },
  { path: 'structuredClone', works: () => REAL.structuredClone, silent: () => nothing },
  { path: 'atob', works: () => REAL.atob, silent: () => nothing },
  { path: 'btoa', works: () => REAL.btoa, silent: () => nothing },
  { path: 'URL', works: () => REAL.URL, silent: () => class {} },
  { path: 'URLSearchParams', works: () => REAL.URLSearchParams, silent: () => class {} },
  { path: 'Headers', works: () => REAL.Headers, silent: () => class {} },
  { path: 'Intl', works: () => REAL.Intl, silent: () => ({}) },
  { path: 'performance', works: () => REAL.performance, silent: () => ({}) },
  { path: 'reportError', works: () => nothing, silent: () => nothing },
  { path: 'indexedDB', works: () => undefined, silent: () => ({}) },
  { path: 'Blob', works: () => REAL.Blob, silent: () => class {} },
  { path: 'FileSystemFileHandle', works: () => undefined, silent: () => class {} },
  { path: 'DecompressionStream', works: () => undefined, silent: () => class {} },
  { path: 'document', works: () => ({ visibilityState: 'visible' }), silent: () => ({}) },
  { path: 'AbortSignal.timeout', works: () => AbortSignal.timeout, silent: () => never },
]
