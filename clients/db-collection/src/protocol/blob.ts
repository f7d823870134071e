// References to blobs, as the arguments of mutations and the columns of rows carry them.
import type { Json, Row } from './wire'

/** A blob by its content: its bytes are elsewhere. */
export interface BlobRef {
  /** 64 hexadecimal digits in lower case. */
  sha256: string
  /** In bytes. */
  size: number
  /** `type/subtype`, without parameters. */
  mime: string
}

const SHA256 = /^[0-9a-f]{64}$/
const MIME = /^(?=.{3,127}$)[a-z0-9][a-z0-9!#$&^_.+-]*\/[a-z0-9][a-z0-9!#$&^_.+-]*$/i

/** Whether a value is a reference to a blob: these three fields and no other. */
export function isBlobRef(value: unknown): value is BlobRef {
  if (typeof value !== 'object' || value === null || Object.keys(value).length !== 3) return false
  const { sha256, size, mime } = value as Record<string, unknown>
  return isSha256(sha256) && Number.isSafeInteger(size) && (size as number) > 0 && typeof mime === 'string' && MIME.test(mime)
}

/** Whether a value is the SHA-256 of something, as references spell it. */
export function isSha256(value: unknown): value is string {
  return typeof value === 'string' && SHA256.test(value)
}

/** A media type as references spell it; what is none, or is not known, is a stream of bytes. */
export function mimeOf(type: string): string {
  const bare = type.split(';')[0]!.trim().toLowerCase()
  return MIME.test(bare) ? bare : 'application/octet-stream'
}

/** The hashes of the blobs that the arguments of a mutation name, however deep: of each object with the three fields, as the server looks. */
export function blobsIn(args: Json): Set<string> {
  const found = new Set<string>()
  const left = [args]
  while (left.length > 0) {
    const value = left.pop()
    if (typeof value !== 'object' || value === null) continue
    const { sha256, size, mime } = value as { [name: string]: Json }
    if (isSha256(sha256) && size !== undefined && mime !== undefined) found.add(sha256)
    for (const part of Object.values(value)) left.push(part)
  }
  return found
}

/** The hashes of the blobs that a row's columns name. */
export function blobsOf(row: Row): string[] {
  return Object.values(row).flatMap((value) => (isBlobRef(value) ? [value.sha256] : []))
}
