// The tab that holds the store: replica and session, and what they tell put into events for all tabs.
import type { BlobKeeper, BlobStore, ReachBlobs } from './blob/store'
import type { Sizes } from './engine/exchange'
import type { Environment } from './engine/copy'
import { Replica } from './engine/replica'
import { Session } from './engine/session'
import type { SubscribeSource } from './engine/source'
import { HttpTransport, SyncError, userOf, type Auth, type Transport } from './engine/transport'
import { intervalOf, pageSizeOf, reconnectOf, timeoutOf, unseenOf, type NizhalClientOptions } from './options'
import { harmless, localWitness, soon, within, type Witness } from './platform'
import { blobsIn } from './protocol/blob'
import { countOf } from './protocol/number'
import { schemaOf } from './protocol/schema'
import { socketAddressOf } from './protocol/url'
import { MemoryStore } from './store/memory'
import type { BackendEvent, Calls } from './tab/backend'

const NOBODY: Auth = { getHeaders: () => ({}) }
/** How long the rows wait for a token before they are shown. */
const MAX_TOKEN_MS = 5000

/** Whose store it is. */
export interface Host {
  readonly options: NizhalClientOptions
  readonly environment: Environment
  /** The buckets to name to the stream; none means all. */
  wantedBuckets(): string[]
  /** Where blobs are kept, if they are, and how the server is reached about them. */
  readonly blobs: { store: BlobStore; reach: ReachBlobs | undefined } | undefined
}

/** Holds the store and talks to the server, for every tab. */
export class Holder {
  /** Set when the store is new although the witness remembers one. */
  readonly #lost: { unsynced: number } | undefined
  readonly #witness: Witness | undefined
  #stops: (() => void)[] = []
  #blobs: BlobKeeper | undefined
  #saying = false
  /** What every tab may ask. */
  readonly calls: Calls = {
    mutate: async (draft) => {
      const op = await this.replica.outbox.mutate(draft)
      this.session?.want({ push: true })
      return op
    },
    discard: (id) => this.replica.outbox.discard(id),
    retry: async (id) => {
      const { args = null } = this.replica.outbox.rejected.find((op) => op.id === id) ?? {}
      for (const sha256 of blobsIn(args)) await this.#blobs?.call('retry', [sha256])
      const op = await this.replica.outbox.retry(id)
      this.session?.want({ push: true })
      return op
    },
    confirmRevised: (revised) => this.replica.outbox.confirmRevised(revised),
    outcome: async (id) => this.replica.outbox.outcome(id),
    get: (table, key) => this.replica.get(table, key),
    rows: (table, deliver) => this.replica.rows(table, deliver),
    find: (table, wanted, deliver) => this.replica.find(table, wanted, deliver),
    keep: async (bucket, untilMs) => {
      const isKept = await this.replica.keep(bucket, untilMs)
      // What is here already costs no request.
      if (!this.replica.device.demand[bucket]?.complete) this.session?.want({ pull: true })
      return isKept
    },
    pull: async () => this.session?.pull(),
    push: async () => this.session?.push(),
    track: async (bucket, payload) => this.session?.track(bucket, payload),
    untrack: async (bucket) => this.session?.untrack(bucket),
    blob: async (method, args) => this.#blobs?.call(method, args) ?? { error: { status: 0, code: 'no_store', message: 'the tab that leads keeps no blobs: call createNizhalBlobs with a store in every tab' } },
  }

  private constructor(
    private readonly replica: Replica,
    private readonly session: Session | undefined,
    private readonly host: Host,
    private readonly name: string,
    private readonly tell: (event: BackendEvent) => void,
    private readonly check: (headers: Record<string, string>) => Promise<void>,
  ) {
    this.#witness = witnessOf(host.options)
    const before = replica.isNew ? this.#witness?.getItem(name) : null
    const unsynced = countOf(Number(before))
    // A store that does not outlast its page is new each time: only what went with it is news.
    if (before && (unsynced > 0 || !replica.volatile)) this.#lost = { unsynced }
    this.#stops.push(replica.changes.on((changes) => tell({ type: 'changes', changes })), replica.outbox.changed.on(() => this.#sayOps()), replica.learnt.on((schema) => tell({ type: 'schema', schema })))
    if (session) {
      this.#stops.push(session.states.on((state) => tell({ type: 'state', state })))
      this.#stops.push(session.presence.events.on(({ bucket }) => this.#presence(bucket)))
    }
    this.keepBlobs()
  }

  static async open(host: Host, name: string, tell: (event: BackendEvent) => void): Promise<Holder> {
    const { options, environment } = host
    const replica = await Replica.open(options.store ?? new MemoryStore(), environment, options.schema)
    const auth = options.auth ?? NOBODY
    const check = async (headers: Record<string, string>) => {
      const user = options.user ?? userOf(headers)
      if (user !== undefined && !(await replica.bind(user))) {
        throw new SyncError('wrong_user', 'wrong_user', 'this store belongs to another user: open one of its own for each, for example with the user’s id in its name')
      }
    }
    try {
      // Before a row is shown. A token that cannot be had now is looked at before the first request.
      const given = within(Math.min(timeoutOf(options), MAX_TOKEN_MS), Promise.resolve().then(() => auth.getHeaders()), () => new Error('no token yet'))
      await check(await given.catch(() => ({})))
    } catch (error) {
      await replica.close()
      throw error
    }
    const session = options.mode === 'local' ? undefined : sessionOf(host, replica, auth, check)
    return new Holder(replica, session, host, name, tell, check)
  }

  /** Keeps blobs from now on, where the app has said where to. */
  keepBlobs(): void {
    const { blobs, options, environment } = this.host
    if (!blobs || this.#blobs) return
    const { server, fetch } = options
    this.#blobs = blobs.store.open({
      replica: this.replica,
      endpoint: server && this.session ? blobs.reach?.({ server, auth: options.auth ?? NOBODY, fetch, timeoutMs: timeoutOf(options), check: this.check }) : undefined,
      reconnect: reconnectOf(options),
      nowMs: environment.nowMs,
      tell: (news) => this.tell({ type: 'blobs', news }),
      push: () => this.session?.want({ push: true }),
    })
    this.replica.setGate(this.#blobs)
    this.#blobs.setOnline(this.session?.online ?? false)
  }

  setOnline(online: boolean): void {
    this.#blobs?.setOnline(online)
    this.session?.setOnline(online)
  }

  setSource(source: SubscribeSource | undefined, intervalMs?: number): void {
    this.session?.configure({ source, ...(intervalMs !== undefined && { intervalMs }) })
  }

  /** Opens the stream anew: its buckets changed. */
  relisten(): void {
    this.session?.configure({})
  }

  /** Tells everything once, for a tab that has just come. */
  announce(): void {
    if (this.replica.described) this.tell({ type: 'schema', schema: this.replica.described })
    this.tell({ type: 'storage', storage: { lost: this.#lost, volatile: this.replica.volatile } })
    if (this.#blobs) this.tell({ type: 'blobs', news: this.#blobs.news })
    this.#sayOps()
    if (!this.session) return
    this.tell({ type: 'state', state: this.session.state })
    this.#sayPresence()
  }

  async close(): Promise<void> {
    this.session?.close()
    for (const stop of this.#stops) stop()
    await this.#blobs?.close()
    await this.replica.close()
  }

  #presence(bucket: string): void {
    const { presence } = this.host.options
    const known = this.session!.presence
    // The server has named a bucket of ours: be seen there, once a connection.
    if (presence && known.buckets.includes(bucket) && !known.isTracked(bucket)) this.session!.track(bucket, presence)
    this.#sayPresence()
  }

  #sayPresence(): void {
    const { presence } = this.session!
    this.tell({ type: 'presence', states: Object.fromEntries(presence.buckets.map((bucket) => [bucket, presence.state(bucket)])) })
  }

  /** Many ops settle in one step; they are told of together. */
  #sayOps(): void {
    if (this.#saying) return
    this.#saying = true
    soon(() => {
      this.#saying = false
      const { cursor, laterRules, demand } = this.replica.device
      const subscribed = Object.entries(demand).map(([bucket, { complete }]) => ({ bucket, complete }))
      this.tell({ type: 'ops', ops: [...this.replica.outbox.ops], cursor, revised: this.replica.outbox.revised, buckets: { laterRules, subscribed } })
      this.#witness?.setItem(this.name, String(this.replica.outbox.pending.length))
    })
  }
}

/** What remembers the store outside it; it may forget, and stops nothing. */
function witnessOf({ witness, store }: NizhalClientOptions): Witness | undefined {
  if (witness !== undefined) return harmless(witness ?? undefined)
  // A memory store is expected to vanish.
  return store && !(store instanceof MemoryStore) ? harmless(localWitness()) : undefined
}

function sessionOf(host: Host, replica: Replica, auth: Auth, check: (headers: Record<string, string>) => Promise<void>): Session {
  const { options, environment } = host
  const sizes: Sizes = { pageRows: pageSizeOf(options), batchOps: 200, batchBytes: 512 * 1024 }
  let described = options.syncTarget !== undefined
  const transport: Transport = options.syncTarget ?? httpOf(host, replica, auth, check)
  return new Session(replica, transport, {
    sizes,
    streams: { wanted: options.pull?.stream ?? true, cut: false },
    intervalMs: intervalOf(options.pull?.intervalMs),
    reconnect: reconnectOf(options),
    unseenMs: unseenOf(options),
    source: undefined,
    nowMs: environment.nowMs,
    refresh: async () => auth.refresh?.(),
    async describe() {
      // An app that names its tables is right about them until it is updated; one that does not asks once a session.
      if (options.schema || described) return
      await replica.describe(schemaOf(await transport.contract()))
      described = true
    },
    async streamUrl() {
      const headers = await auth.getHeaders()
      await check(headers)
      // A browser cannot give a WebSocket headers.
      const [, value] = Object.entries(headers).find(([name]) => name.toLowerCase() === 'authorization') ?? []
      const params: [string, string][] = [['wire', '2'], ...(value ? [['authorization', value] as [string, string]] : [])]
      return socketAddressOf(options.server ?? '', '/sync/stream', [...params, ...host.wantedBuckets().map((bucket): [string, string] => ['bucket', bucket])])
    },
  })
}

function httpOf({ options, environment }: Host, replica: Replica, auth: Auth, check: (headers: Record<string, string>) => Promise<void>): Transport {
  if (!options.server) throw new TypeError('createNizhalClient needs `server`, a `syncTarget`, or `mode: "local"`')
  return new HttpTransport({
    server: options.server,
    auth,
    fetch: options.fetch,
    timeoutMs: timeoutOf(options),
    nowMs: environment.nowMs,
    contractVersion: () => replica.described?.version ?? options.schema?.version ?? '0.0.0',
    check,
  })
}
