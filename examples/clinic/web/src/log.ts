// What the referee knows: the audit log, read into the order in which mutations count.

/** An entry of the audit log, as far as it is read here. */
export interface Entry {
  version: number
  at: string
  kind: 'mutation' | 'revised' | 'job'
  actor: string
  mutator: string
  clientMutationId: string
  status: 'applied' | 'refused'
  args?: unknown
  place?: string
}

/** A mutation in its place. */
export interface Action {
  id: string
  who: string
  name: string
  args: unknown
  /** Its stamp and its id: texts that sort as places do. */
  place: string
  madeAt: string
  heardAt: string
  status: Entry['status']
  /** What it was before the last rewind, if that changed it. */
  was?: Entry['status']
}

/** Those that came late together, and what became of those behind them. */
export interface Rewind {
  /** How many rewinds there were, with this one. */
  count: number
  /** In the order of their places. */
  late: readonly Action[]
  /** The ids of those that ran again. */
  again: readonly string[]
  /** Of these, the ids of those that got another result. */
  changed: readonly string[]
}

/** A phone sends what waited in one go, or in a few: what is heard within so many milliseconds is told as one rewind. */
const TOGETHER_MS = 2000

/** The actions in the order of their places, and the last rewind. */
export interface Log {
  version: number
  actions: readonly Action[]
  rewind?: Rewind
}

export const EMPTY: Log = { version: 0, actions: [] }

/** The log with further entries, in the order of their versions. Those that it has already change nothing. */
export function read(log: Log, entries: readonly Entry[]): Log {
  for (const version of new Set(entries.map((entry) => entry.version))) {
    if (version <= log.version) continue
    const of = (kind: Entry['kind']) => entries.filter((entry) => entry.version === version && entry.kind === kind)
    log = { ...log, version }
    // A mutation comes before what it changed, however the entries of one version are ordered.
    for (const entry of of('mutation')) log = arrive(log, entry)
    for (const entry of of('revised')) log = revise(log, entry)
  }
  return log
}

function arrive(log: Log, { actor, mutator, clientMutationId: id, status, args, place, at }: Entry): Log {
  if (place === undefined) return log
  const action: Action = { id, who: (JSON.parse(actor) as [string, string])[1], name: mutator, args, place, madeAt: place.slice(0, 24), heardAt: at, status }
  const behind = log.actions.filter((one) => one.place > place)
  const last = log.rewind?.late.at(-1)
  const isSame = last !== undefined && last.who === action.who && Date.parse(at) - Date.parse(last.heardAt) < TOGETHER_MS
  const actions = [...log.actions.filter((one) => one.place < place), action, ...behind].map(({ was, ...one }) => (isSame && was ? { ...one, was } : one))
  if (behind.length === 0) return { ...log, actions }
  const { count = 0, late = [], again = [], changed = [] } = log.rewind ?? {}
  const ids = behind.map((one) => one.id)
  if (!isSame) return { ...log, actions, rewind: { count: count + 1, late: [action], again: ids, changed: [] } }
  const all = [...late, action].sort((a, b) => (a.place < b.place ? -1 : 1))
  return { ...log, actions, rewind: { count, late: all, again: [...new Set([...again, ...ids])].filter((id) => !all.some((one) => one.id === id)), changed } }
}

function revise(log: Log, { clientMutationId: id, status }: Entry): Log {
  const actions = log.actions.map((one) => (one.id === id ? { ...one, was: one.status, status } : one))
  return { ...log, actions, ...(log.rewind && { rewind: { ...log.rewind, changed: [...log.rewind.changed.filter((one) => one !== id), id] } }) }
}
