// CRDT columns on yjs: a column is one document, kept in rows as the base64 of an update, never as a live object.
import * as Y from 'yjs'
import { fromBase64, toBase64 } from '../protocol/base64'

/** A text that several may edit at once; its document's root is called `text`. */
export interface CrdtText {
  readonly doc: Y.Doc
  readonly text: Y.Text
  toString(): string
  insert(at: number, text: string): void
  delete(at: number, length: number): void
  /** Takes in what others did. */
  apply(update: string | null | undefined): void
  /** What was done here since the last call, for a mutator's argument; `undefined` when nothing was. */
  takeUpdate(): string | undefined
  /** All of it, for a column. */
  encode(): string
}

/** A map that several may edit at once; its document's root is called `map`. */
export interface CrdtMap<Value = unknown> {
  readonly doc: Y.Doc
  readonly map: Y.Map<Value>
  toJSON(): Record<string, Value>
  get(key: string): Value | undefined
  set(key: string, value: Value): void
  delete(key: string): void
  apply(update: string | null | undefined): void
  takeUpdate(): string | undefined
  encode(): string
}

const REMOTE = Symbol('remote')

/** Opens a text column's value; without one it is empty. */
export function createCrdtText(value?: string | null): CrdtText {
  const { doc, ...common } = document(value)
  const text = doc.getText('text')
  return {
    doc,
    text,
    toString: () => text.toString(),
    insert: (at, added) => text.insert(at, added),
    delete: (at, length) => text.delete(at, length),
    ...common,
  }
}

/** Opens a map column's value; without one it is empty. */
export function createCrdtMap<Value = unknown>(value?: string | null): CrdtMap<Value> {
  const { doc, ...common } = document(value)
  const map = doc.getMap<Value>('map')
  return {
    doc,
    map,
    toJSON: () => map.toJSON() as Record<string, Value>,
    get: (key) => map.get(key),
    set: (key, set) => void map.set(key, set),
    delete: (key) => map.delete(key),
    ...common,
  }
}

/** A column's value with an update in it: what an optimistic body writes. Order and repetition make no difference. */
export function applyCrdtUpdate(value: string | null | undefined, update: string): string {
  return toBase64(value ? Y.mergeUpdates([fromBase64(value), fromBase64(update)]) : fromBase64(update))
}

/** A document as an update in base64: all of it, or what `since` (a value of the column) lacks. */
export function encodeCrdtUpdate(doc: Y.Doc, since?: string | null): string {
  return toBase64(Y.encodeStateAsUpdate(doc, since ? Y.encodeStateVectorFromUpdate(fromBase64(since)) : undefined))
}

function document(value: string | null | undefined) {
  const doc = new Y.Doc()
  const own: Uint8Array[] = []
  const apply = (update: string | null | undefined) => {
    if (update) Y.applyUpdate(doc, fromBase64(update), REMOTE)
  }
  apply(value)
  doc.on('update', (update: Uint8Array, origin: unknown) => {
    if (origin !== REMOTE) own.push(update)
  })
  const takeUpdate = () => {
    const updates = own.splice(0)
    return updates.length > 0 ? toBase64(Y.mergeUpdates(updates)) : undefined
  }
  return { doc, apply, takeUpdate, encode: () => encodeCrdtUpdate(doc) }
}
