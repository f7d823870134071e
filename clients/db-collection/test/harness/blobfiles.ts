// What every place for blobs has to do, as one script that runs in Node and in a page, and says what it saw.
import type { BlobFiles, BlobNote } from '../../src/blob/files'

const note = (digit: string, more: Partial<BlobNote> = {}): BlobNote => ({ sha256: digit.repeat(64), size: 5, mime: 'text/plain', state: 'queued', named: false, usedAt: 1, ...more })

/** Runs it on files that were never used; `open` opens the same place again. */
export async function filesScript(open: () => BlobFiles): Promise<unknown[]> {
  const seen: unknown[] = []
  const look = async (files: BlobFiles) => {
    const { notes } = await files.open()
    const found = await Promise.all(notes.map(async ({ sha256, state, usedAt }) => [sha256[0], state, usedAt, await (await files.read(sha256))?.text()]))
    seen.push(found.sort())
  }
  const first = open()
  await look(first)
  seen.push((await first.read('a'.repeat(64))) === undefined)
  await first.write(note('a'), new Blob(['first']))
  await first.write(note('b'), new Blob(['other']))
  await first.note(note('a', { state: 'sent', usedAt: 2 }))
  // Of what is not there nothing is noted that counts.
  await first.remove('c'.repeat(64))
  await first.close()
  const second = open()
  await look(second)
  await second.remove('a'.repeat(64))
  seen.push((await second.read('a'.repeat(64))) === undefined)
  await second.close()
  const third = open()
  await look(third)
  await third.clear()
  await third.write(note('d', { size: 3 }), new Blob(['new']))
  await third.close()
  await look(open())
  return seen
}

/** What it has to see. */
export const FILES_SEEN = [[], true, [['a', 'sent', 2, 'first'], ['b', 'queued', 1, 'other']], true, [['b', 'queued', 1, 'other']], [['d', 'queued', 1, 'new']]]
