// A server of our own making over real HTTP: it keeps to wire 2 by itself, and says whatever a script wants instead.
import { createServer, type IncomingMessage, type Server as HttpServer, type ServerResponse } from 'node:http'
import type { Mutation, Row } from '../../src/protocol/wire'

/** What a script answers with: JSON or text, no answer at all, or a connection that breaks. */
export type Reply = { status?: number; headers?: Record<string, string>; body?: unknown } | 'silence' | 'break'

/** One request as it came. */
export interface Asked {
  path: string
  body: { mutations?: Mutation[]; cursor?: string; deviceId?: string }
}

/** Answers in place of the server; `undefined` lets it answer by itself. */
export type Script = (asked: Asked) => Reply | undefined

export class Hostile {
  url = ''
  script: Script = () => undefined
  /** Answers requests that are none of the sync protocol; false leaves one to it. */
  beside: (request: IncomingMessage, body: Buffer, response: ServerResponse) => boolean = () => false
  readonly asked: Asked[] = []
  readonly rows = new Map<string, Row>()
  /** The names of what ran, in order. */
  readonly ran: string[] = []
  readonly #results = new Map<string, object>()
  readonly #last = new Map<string, number>()
  #version = 1
  #http: HttpServer

  private constructor() {
    this.#http = createServer((request, response) => void this.#receive(request, response))
  }

  static async start(): Promise<Hostile> {
    const server = new Hostile()
    await new Promise<void>((resolve) => server.#http.listen(0, '127.0.0.1', resolve))
    server.url = `http://127.0.0.1:${(server.#http.address() as { port: number }).port}`
    return server
  }

  stop(): void {
    this.#http.closeAllConnections()
    this.#http.close()
  }

  pushes(): Mutation[][] {
    return this.asked.flatMap(({ body }) => (body.mutations ? [body.mutations] : []))
  }

  /** A sequence that another copy of the device has used so far. */
  used(clientID: string, last: number): void {
    this.#last.set(clientID, last)
  }

  /** Rows, results and sequences are lost, as after a restore from an old backup. */
  forget(): void {
    this.rows.clear()
    this.#results.clear()
    this.#last.clear()
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    if (this.beside(request, Buffer.concat(chunks), response)) return
    const asked: Asked = { path: request.url ?? '', body: JSON.parse(Buffer.concat(chunks).toString() || '{}') }
    this.asked.push(asked)
    const reply = this.script(asked) ?? { body: this.#answer(asked) }
    if (reply === 'silence') return
    if (reply === 'break') return void request.socket.destroy()
    const { status = 200, headers = {}, body = {} } = reply
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(typeof body === 'string' ? body : JSON.stringify(body))
  }

  #answer({ path, body }: Asked): unknown {
    if (path === '/sync/push') return { results: this.push(body.mutations ?? []) }
    return this.page(body.deviceId ?? '')
  }

  page(deviceId: string, more: object = {}): object {
    const changed = [{ table: 'customers', rows: [...this.rows.values()] }]
    return { changed, tombstoned: [], removed: [], removedBuckets: [], cursor: `at-${this.#version}`, epoch: 'e', lastMutationId: this.#last.get(deviceId) ?? 0, ...more }
  }

  /** As PROTOCOL says, for mutators `addCustomer` and `updateCustomerName`; a name of "Refused" is refused. */
  push(mutations: Mutation[]): object[] {
    const refused = new Set<string>()
    return mutations.map((mutation) => {
      const { clientMutationId: id, clientID, mutationID: number } = mutation
      const last = this.#last.get(clientID) ?? 0
      const known = this.#results.get(id)
      const answer = (status: string, more: object = {}) => ({ clientMutationId: id, status, lastMutationId: this.#last.get(clientID) ?? 0, ...more })
      if (number > last + 1) return answer('outOfOrder', { code: 'out_of_order' })
      if (number <= last && !known) return answer('rejected', { code: 'number_used', error: 'another mutation has this number' })
      this.#last.set(clientID, Math.max(last, number))
      if (known) return known
      const result = this.#run(mutation, refused, answer)
      this.#results.set(id, result)
      return result
    })
  }

  #run({ clientMutationId, args, dependsOn = [] }: Mutation, refused: Set<string>, answer: (status: string, more?: object) => object): object {
    const { clientId, customerId, name, value, photo } = args as Record<string, string>
    if (dependsOn.some((on) => refused.has(on))) return answer('cancelled')
    if (name === 'Refused') {
      refused.add(clientMutationId)
      return answer('rejected', { code: 'rejected', error: 'no such customer' })
    }
    const id = clientId ?? customerId!
    this.ran.push(name ?? value!)
    this.rows.set(id, { id, shop_id: 's1', client_id: id, phone: null, note: null, ...this.rows.get(id), name: name ?? value!, ...(photo !== undefined && { photo }) })
    this.#version += 1
    return answer('applied')
  }
}
