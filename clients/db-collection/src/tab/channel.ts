// The talk between tabs: requests to whoever leads, answers to who asked, news to all.
import { later, messageOf, report, type Timer } from '../platform'
import type { BackendEvent, Calls } from './backend'

type Method = keyof Calls

/** These hand over rows within the very step in which they were read. */
const delivers = (method: Method) => method === 'rows' || method === 'find'

type Message =
  | { kind: 'ask'; from: string; id: number; method: Method; args: unknown[] }
  | { kind: 'answer'; to: string; id: number; value?: unknown; error?: string }
  | { kind: 'event'; event: BackendEvent }
  | { kind: 'leading'; to?: string }
  | { kind: 'hello'; from: string }
  | { kind: 'here' }

/** These take as long as the network or a large file does; whoever leads answers everything else at once. */
const SLOW: readonly Method[] = ['pull', 'push', 'blob']

interface Waiting {
  method: Method
  args: unknown[]
  /** Says that nobody answers. */
  silence: Timer | undefined
  resolve(value: never): void
  reject(error: Error): void
}

/** One tab's end of the channel. It asks the leader, or answers when it leads itself. */
export class TabChannel {
  #channel: BroadcastChannel | undefined
  #waiting = new Map<number, Waiting>()
  #next = 1
  #leading: Calls | undefined
  #followers = false

  constructor(
    name: string,
    private readonly tab: string,
    private readonly hear: { event(event: BackendEvent): void; leader(): void; hello(): void; silence(): void },
    make: ((name: string) => BroadcastChannel | undefined) | undefined,
    /** How long a leader may be silent. */
    private readonly patienceMs: number,
  ) {
    this.#channel = make?.(name)
    if (this.#channel) {
      this.#channel.onmessage = ({ data }: MessageEvent<Message>) => this.#receive(data)
      this.#post({ kind: 'hello', from: tab })
    }
  }

  /** This tab answers from now on; what it had asked is done here. A write that was asked twice carries its id. */
  lead(backend: Calls): void {
    this.#leading = backend
    const asked = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const { silence } of asked) silence?.stop()
    for (const { method, args, resolve, reject } of asked) this.#here(method, args).then(resolve as (value: unknown) => void, reject)
    this.#post({ kind: 'leading' })
  }

  /** Tells the other tabs; nothing is copied when there is none. */
  tell(event: BackendEvent): void {
    if (this.#followers) this.#post({ kind: 'event', event })
  }

  close(): void {
    this.#channel?.close()
    this.#channel = undefined
    for (const { reject, silence } of this.#waiting.values()) {
      silence?.stop()
      reject(new Error('the client was closed'))
    }
    this.#waiting.clear()
  }

  /** Asks whoever leads. */
  ask<Name extends Method>(method: Name, ...args: Parameters<Calls[Name]>): ReturnType<Calls[Name]>
  ask(method: Method, ...args: unknown[]): Promise<unknown> {
    if (this.#leading) return this.#here(method, args)
    const id = this.#next++
    return new Promise((resolve, reject) => {
      const silence = SLOW.includes(method) ? undefined : later(this.patienceMs, () => this.hear.silence())
      this.#waiting.set(id, { method, args, silence, resolve, reject })
      this.#send(id)
    })
  }

  async #here(method: Method, args: unknown[]): Promise<unknown> {
    const call = this.#leading![method] as (...args: unknown[]) => Promise<unknown>
    return call(...args)
  }

  #send(id: number): void {
    const { method, args } = this.#waiting.get(id)!
    // A function cannot travel: rows come as the answer. What cannot be sent is asked again of the next leader.
    this.#post({ kind: 'ask', from: this.tab, id, method, args: delivers(method) ? args.slice(0, -1) : args })
  }

  #receive(message: Message): void {
    switch (message.kind) {
      case 'hello':
        this.#followers = true
        if (this.#leading) {
          this.#post({ kind: 'leading', to: message.from })
          this.hear.hello()
        }
        return
      case 'here':
        this.#followers = true
        return
      case 'leading':
        if (message.to !== undefined && message.to !== this.tab) return
        // Whatever the last leader took with it is asked again, and what it did not tell is read again.
        for (const id of this.#waiting.keys()) this.#send(id)
        this.#post({ kind: 'here' })
        this.hear.leader()
        return
      case 'event':
        if (!this.#leading) this.hear.event(message.event)
        return
      case 'ask':
        if (this.#leading) void this.#answer(message)
        return
      case 'answer': {
        const waiting = message.to === this.tab ? this.#waiting.get(message.id) : undefined
        if (!waiting) return
        this.#waiting.delete(message.id)
        waiting.silence?.stop()
        if (message.error !== undefined) return waiting.reject(new Error(message.error))
        // Within this very message: the next one may be a change to these rows.
        if (delivers(waiting.method)) (waiting.args.at(-1) as (rows: unknown) => void)(message.value)
        waiting.resolve(message.value as never)
      }
    }
  }

  async #answer({ from, id, method, args }: Message & { kind: 'ask' }): Promise<void> {
    this.#followers = true
    const answer = (value: unknown) => this.#post({ kind: 'answer', to: from, id, value })
    try {
      // A tab of another version may ask for what this one does not know.
      if (!Object.hasOwn(this.#leading!, method)) return
      if (delivers(method)) await this.#here(method, [...args, answer])
      else answer(await this.#here(method, args))
    } catch (error) {
      this.#post({ kind: 'answer', to: from, id, error: messageOf(error) })
    }
  }

  /** A channel that fails is one that says nothing: this tab's own work goes on. */
  #post(message: Message): void {
    try {
      this.#channel?.postMessage(message)
    } catch (error) {
      report(error)
    }
  }
}
