// Blobs: bytes go straight to where they are kept, rows carry their key.
import type { Auth } from './engine/transport'
import { request } from './platform'
import { addressOf } from './protocol/url'

/** A file that was sent. */
export interface UploadedBlob {
  /** What goes into a row. */
  key: string
}

/** Sends and finds blobs. */
export interface NizhalBlobs {
  upload(data: Blob, options?: { bucket?: string; key?: string; maxBytes?: number; signal?: AbortSignal }): Promise<UploadedBlob>
  /** A URL to read it from for a while; only where a row that the actor sees names the blob. */
  url(key: string): Promise<string>
}

/** A blob request that was refused. */
export class BlobError extends Error {
  override name = 'BlobError'
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message)
  }
}

/** The server's blob endpoints. */
export function createNizhalBlobs({ server, auth, fetch = request as typeof globalThis.fetch }: { server: string; auth: Auth; fetch?: typeof globalThis.fetch }): NizhalBlobs {
  const ask = async (path: string, init: RequestInit = {}): Promise<unknown> => {
    const send = async () => fetch(addressOf(server, path), { ...init, headers: { ...(await auth.getHeaders()), ...init.headers } })
    let answer = await send()
    if (answer.status === 401 && auth.refresh) {
      await auth.refresh()
      answer = await send()
    }
    if (!answer.ok) await refuse(answer)
    return answer.json()
  }
  return {
    async upload(data, { bucket, key, maxBytes = data.size, signal } = {}) {
      const body = JSON.stringify({ mime: data.type || 'application/octet-stream', maxBytes, ...(bucket !== undefined && { bucket }), ...(key !== undefined && { key }) })
      const headers = { 'content-type': 'application/json' }
      const signed = (await ask('/nizhal/blob/presign-upload', { method: 'POST', body, headers })) as { url: string; method: string; headers: Record<string, string>; key: string }
      // No token of ours here: the URL itself says what is allowed, and it may be another company's.
      const sent = await fetch(addressOf(server, signed.url), { method: signed.method, headers: signed.headers, body: data, ...(signal && { signal }) })
      if (!sent.ok) await refuse(sent)
      return { key: signed.key }
    },
    async url(key) {
      const { url } = (await ask(`/nizhal/blob/${encodeURIComponent(key)}/url`)) as { url: string }
      return addressOf(server, url)
    },
  }
}

async function refuse(answer: Response): Promise<never> {
  const { code, error } = (await answer.json().catch(() => ({}))) as { code?: string; error?: string }
  throw new BlobError(answer.status, code ?? `http_${answer.status}`, error ?? `the blob store answered ${answer.status}`)
}
