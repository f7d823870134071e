// Waiting for what became of a write. Only the word of whoever holds the store counts: gone from a list is not confirmed.
import type { Emitter } from './engine/change'
import type { Outcome } from './engine/fate'
import type { Op } from './engine/op'
import { Queue } from './engine/queue'
import { writeOf, type NizhalWrite } from './status'

/** A write that the server refused, as an error. */
export class WriteRejected extends Error {
  override name = 'WriteRejected'
  constructor(readonly write: NizhalWrite) {
    super(write.refusal?.error || `${write.name} was refused`)
  }
}

/** A write that this device knows nothing of: not made here, or so long ago that it is forgotten. */
export class WriteUnknown extends Error {
  override name = 'WriteUnknown'
  constructor(readonly id: string) {
    super(`this device knows of no write ${id}: it was made elsewhere, or is long over, or its storage was taken away`)
  }
}

/** Where to hear of a write. */
export interface Told {
  /** The outbox as this tab was told of it. */
  op(id: string): Op | undefined
  outcome(id: string): Promise<Outcome>
  /** Something changed, or somebody else leads. */
  news: readonly Pick<Emitter<unknown>, 'on'>[]
  closed: Pick<Emitter<void>, 'on'>
}

/** Resolves when a write is applied and its rows are there; rejects when it is refused, parked or unknown, and when the client is closed. */
export function confirmation(id: string, { op, outcome, news, closed }: Told): Promise<void> {
  return new Promise((resolve, reject) => {
    const looks = new Queue()
    let isOver = false
    const end = (error?: Error) => {
      isOver = true
      for (const stop of stops) stop()
      if (error) reject(error)
      else resolve()
    }
    const look = async (): Promise<void> => {
      if (isOver) return
      const told = op(id)
      const known: Outcome = told ? (told.state === 'rejected' ? { state: 'rejected', op: told } : { state: 'pending' }) : await outcome(id)
      if (known.state === 'rejected') end(new WriteRejected(writeOf(known.op)))
      else if (known.state === 'unknown') end(new WriteUnknown(id))
      else if (known.state === 'confirmed') end()
    }
    const tell = () => void looks.run(look).catch(end)
    const stops = [...news.map((one) => one.on(tell)), closed.on(() => end(new Error('the client was closed')))]
    tell()
  })
}
