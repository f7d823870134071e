// A server's own binary on a database of its own; SQL beside it, by the databases' own programs.
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { createHmac, randomUUID } from 'node:crypto'
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { inject } from 'vitest'

const built = (path: string) => new URL(`../../../../target/debug/${path}`, import.meta.url).pathname
export const BINARY = built('credit-ledger')
/** The server with replayed tables, priorities, and a rule on demand: `tests/examples/shop.rs`. */
export const SHOP = built('examples/shop')
const SECRET = 'the harness’s secret, 32 bytes or more, never used elsewhere'

export type Kind = 'sqlite' | 'postgres'
export const KINDS: Kind[] = ['sqlite', 'postgres']

/** A server and its database. */
export class Server {
  url = ''
  #child: ChildProcess | undefined
  #printed = ''
  #port = '0'

  private constructor(
    readonly kind: Kind,
    private readonly database: string,
    private readonly dir: string,
    private readonly env: Record<string, string>,
    private readonly binary: string,
  ) {}

  static async start(kind: Kind, env: Record<string, string> = {}, binary = BINARY): Promise<Server> {
    const dir = mkdtempSync(join(tmpdir(), 'nizhal-web-'))
    const name = `d${randomUUID().replaceAll('-', '')}`
    const server = new Server(kind, kind === 'sqlite' ? join(dir, 'ledger.db') : `postgres://postgres@127.0.0.1:${inject('postgresPort')}/${name}`, dir, env, binary)
    if (kind === 'postgres') await run('psql', ['-qX', `postgres://postgres@127.0.0.1:${inject('postgresPort')}/postgres`, '-c', `create database ${name}`])
    await server.verb('migrate')
    await server.up()
    return server
  }

  async up(): Promise<void> {
    // The kernel ends the server with this process, however that goes.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', this.binary, 'serve'], { env: this.#env(), stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    child.stderr.on('data', (text) => (this.#printed += text))
    this.url = await new Promise((resolve, reject) => {
      createInterface(child.stdout).on('line', (line) => {
        const found = /listening on (http:\/\/\S+)/.exec(line)?.[1]
        if (found) {
          // A server that comes back comes back where it was.
          this.#port = new URL(found).port
          resolve(found)
        }
      })
      child.once('exit', () => reject(new Error(`the server ended: ${this.#printed}`)))
    })
  }

  /** Up again, whatever a test that failed has left behind. */
  async ensureUp(): Promise<void> {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) await this.up()
  }

  async verb(...args: string[]): Promise<void> {
    await run(this.binary, args, this.#env())
  }

  /** kill -9. */
  async down(): Promise<void> {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
  }

  /** Keeps the database as it is now; the server must be down. */
  async backUp(): Promise<void> {
    if (this.kind === 'sqlite') await this.sql("vacuum into '" + this.database + ".bak'")
    else await this.#admin(`create database ${this.#name}_bak template ${this.#name}`)
  }

  /** Puts the database back to where it was kept; the server must be down. */
  async restore(): Promise<void> {
    if (this.kind === 'sqlite') {
      for (const suffix of ['-wal', '-shm']) rmSync(this.database + suffix, { force: true })
      copyFileSync(this.database + '.bak', this.database)
      return
    }
    await this.#admin(`drop database ${this.#name} with (force)`)
    await this.#admin(`create database ${this.#name} template ${this.#name}_bak`)
  }

  get #name(): string {
    return this.database.slice(this.database.lastIndexOf('/') + 1)
  }

  async #admin(sql: string): Promise<void> {
    await run('psql', ['-qX', `postgres://postgres@127.0.0.1:${inject('postgresPort')}/postgres`, '-c', sql])
  }

  async stop(): Promise<void> {
    await this.down()
    rmSync(this.dir, { recursive: true, force: true })
  }

  /** Runs SQL; the rows as lists of texts, `null` for NULL. */
  async sql(text: string): Promise<(string | null)[][]> {
    const separator = '\u001f'
    const out =
      this.kind === 'sqlite'
        ? await run('sqlite3', ['-batch', '-cmd', '.timeout 20000', '-separator', separator, '-nullvalue', '\u0001', this.database, text])
        : await run('psql', ['-qXtA', '-v', 'ON_ERROR_STOP=1', '-F', separator, '-P', 'null=\u0001', this.database, '-c', text])
    return out
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split(separator).map((value) => (value === '\u0001' ? null : value)))
  }

  async shop(id: string, members: string[]): Promise<void> {
    await this.sql(`insert into shops (id, name, owner_id) values ('${id}', '${id}', 'o1')`)
    for (const user of members) await this.join(id, user)
  }

  async join(shop: string, user: string): Promise<void> {
    await this.sql(`insert into shop_members (shop_id, user_id, role) values ('${shop}', '${user}', 'staff')`)
  }

  async leave(shop: string, user: string): Promise<void> {
    await this.sql(`delete from shop_members where shop_id = '${shop}' and user_id = '${user}'`)
  }

  async customers(shop: string, prefix: string, count: number): Promise<void> {
    const numbers = `with recursive n(i) as (select 1 union all select i + 1 from n where i < ${count})`
    await this.sql(`${numbers} insert into customers (id, shop_id, name) select '${prefix}' || i, '${shop}', 'Name ' || i from n`)
  }

  #env(): Record<string, string> {
    const url = this.kind === 'sqlite' ? `sqlite://${this.database}` : this.database
    return { PATH: process.env['PATH'] ?? '', DATABASE_URL: url, PORT: this.#port, NIZHAL_RATE_LIMIT: 'off', NIZHAL_ENV: 'production', NIZHAL_AUTH_SECRET: SECRET, ...this.env }
  }
}

/** A token for this user, good for `seconds`. */
export function token(user: string, shop: string, seconds = 3600): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ userId: user, ownerId: 'o1', shopId: shop, exp: Math.floor(Date.now() / 1000) + seconds })}`
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`
}

function run(program: string, args: string[], env?: Record<string, string>): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { ...(env && { env }), maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${program} ${args.join(' ')}: ${stderr || error.message}`))
      else resolve(stdout)
    })
  })
}
