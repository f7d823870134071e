// A way to the real server: it serves a page beside it, and spoils the files that it lets through.
import { createServer, request as httpRequest, type Server as HttpServer } from 'node:http'
import type { Server } from './server'

/** What becomes of a file: it is gone, refused, a byte of it is another, it ends in its middle, or the connection breaks before it. */
export type Spoilt = 'gone' | 'busy' | 'corrupt' | 'short' | 'break'

/** Forwards requests to a server. */
export class Front {
  url = ''
  /** For each file that was asked for, where it was to begin. */
  readonly fetched: number[] = []
  /** What becomes of the next files. */
  readonly spoilt: Spoilt[] = []
  /** Waited for before a file is fetched. */
  before: () => Promise<void> = async () => undefined
  /** What pulls asked. */
  readonly pulls: { cursor: string; images?: boolean }[] = []
  /** Files of a page, by path. */
  files: ReadonlyMap<string, { type: string; body: Uint8Array | string }> = new Map()
  readonly #http: HttpServer

  private constructor(private readonly server: Server) {
    this.#http = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => void this.#answer(request.method!, request.url!, request.headers as Record<string, string>, Buffer.concat(chunks), response))
    })
  }

  static async start(server: Server): Promise<Front> {
    const front = new Front(server)
    await new Promise<void>((resolve) => front.#http.listen(0, '127.0.0.1', resolve))
    front.url = `http://127.0.0.1:${(front.#http.address() as { port: number }).port}`
    return front
  }

  stop(): void {
    this.#http.closeAllConnections()
    this.#http.close()
  }

  async #answer(method: string, path: string, headers: Record<string, string>, body: Buffer, response: import('node:http').ServerResponse): Promise<void> {
    const file = this.files.get(path)
    if (file) return void response.writeHead(200, { 'content-type': file.type }).end(file.body)
    if (path === '/sync/pull') this.pulls.push(JSON.parse(body.toString()) as never)
    const isFile = method === 'GET' && path.startsWith('/nizhal/blob/')
    let spoilt: Spoilt | undefined
    if (isFile) {
      this.fetched.push(Number(/bytes=(\d+)-/.exec(headers['range'] ?? '')?.[1] ?? 0))
      spoilt = this.spoilt.shift()
      await this.before()
    }
    if (spoilt === 'break') return void response.destroy()
    if (spoilt === 'gone' || spoilt === 'busy') return void response.writeHead(spoilt === 'gone' ? 404 : 503).end()
    const { host: _, ...rest } = headers
    const asked = httpRequest(this.server.url + path, { method, headers: rest, agent: false }, (answer) => {
      const { 'content-length': _length, ...headers } = answer.headers
      response.writeHead(answer.statusCode!, spoilt ? headers : answer.headers)
      if (!spoilt) return void answer.pipe(response)
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => chunks.push(chunk))
      answer.on('end', () => {
        const whole = Buffer.concat(chunks)
        const half = whole.length >> 1
        if (spoilt === 'corrupt') whole[half]! ^= 1
        response.end(spoilt === 'short' ? whole.subarray(0, half) : whole)
      })
    })
    asked.on('error', () => response.destroy())
    asked.end(body)
  }
}
