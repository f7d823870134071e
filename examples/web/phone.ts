// What a phone is to every page: whose it is, its client, and two switches that it remembers.
import { createNizhalStatus, type NizhalClient, type NizhalClientOptions } from '@nizhal/db-collection'
import { waSqlitePersistence } from '@nizhal/db-collection/store'
import { useMemo, useSyncExternalStore } from 'react'

/** One person's phone. */
export interface Phone {
  who: string
  client: NizhalClient
  switches: Switches
  flip(change: Partial<Switches>): void
}

/** What a phone remembers of its switches. */
export interface Switches {
  online: boolean
  live: boolean
}

/** Opens the phone of this person, with the client of an app; `worker` makes the worker in which the database lives. */
export async function openPhone(app: string, who: string, worker: () => Worker, create: (options: Omit<NizhalClientOptions, 'schema'>) => NizhalClient): Promise<Phone> {
  const switches = { ...{ online: true, live: true }, ...remembered(who) }
  const client = create({
    server: location.origin,
    name: `${app}-${who}`,
    // Kept, so that the app opens with no network at all.
    user: who,
    auth: { getHeaders: async () => ({ authorization: `Bearer ${await tokenOf(who)}` }) },
    store: waSqlitePersistence({ name: `${app}-${who}.db`, worker }),
    presence: { name: nameOf(who) },
    pull: { intervalMs: 4000 },
    online: switches.online,
    ...(!switches.live && { subscribeSource: null }),
  })
  await client.ready
  return {
    who,
    client,
    switches,
    flip(change: Partial<Switches>) {
      Object.assign(switches, change)
      remember(who, switches)
      if (change.live !== undefined) client.setSource(change.live ? undefined : null)
      if (change.online !== undefined) client.setOnline(change.online)
    },
  }
}

/** The switches as they were; a browser that forbids to keep anything has none. */
export function remembered(who: string): Partial<Switches> {
  try {
    return JSON.parse(localStorage.getItem(`switches:${who}`) ?? '{}') as Partial<Switches>
  } catch {
    return {}
  }
}

function remember(who: string, switches: Switches): void {
  try {
    localStorage.setItem(`switches:${who}`, JSON.stringify(switches))
  } catch {
    // Then the next start has them as they are at first.
  }
}

export function nameOf(who: string): string {
  return who.slice(0, 1).toUpperCase() + who.slice(1)
}

/** A colour for a name. */
export function hue(text: string): string {
  let sum = 0
  for (const char of text) sum = (sum * 31 + char.charCodeAt(0) * 7) % 360
  return `hsl(${sum} 45% 46%)`
}

export function useStatus({ client }: Phone) {
  const source = useMemo(() => createNizhalStatus(client), [client])
  return useSyncExternalStore(source.subscribe, source.getSnapshot)
}

export function useWrites({ client }: Phone) {
  const source = useMemo(() => {
    let writes = client.writes
    return { subscribe: (listener: () => void) => client.onWrites((now) => ((writes = now), listener())), read: () => writes }
  }, [client])
  return useSyncExternalStore(source.subscribe, source.read)
}

let tokens: Promise<Record<string, string>> | undefined

async function tokenOf(who: string): Promise<string> {
  tokens ??= fetch('/tokens.json').then((answer) => answer.json())
  const token = (await tokens.catch(() => ({}) as Record<string, string>))[who]
  if (!token) {
    tokens = undefined
    throw new Error('no token yet')
  }
  return token
}
