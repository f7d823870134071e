// A body as lines, no faster than they are taken.
import { decoder } from '../platform'
import { MalformedAnswer } from '../protocol/wire'
import type { Patience } from './request'

/** The longest line, in characters: a batch of rows is a few MB. */
const MAX_LINE = 256 << 20

/** The lines of a body. A line without its end is none: the body was cut. Leaving early closes it. */
export async function* linesOf(body: ReadableStream<Uint8Array>, patience: Patience): AsyncGenerator<string> {
  const reader = body.getReader()
  const decode = decoder()
  if (!decode) throw new MalformedAnswer('this page cannot read a stream')
  // In pieces until the line's end is there: a long line must not be copied with each of them.
  let pieces: string[] = []
  let length = 0
  try {
    for (;;) {
      patience.wait()
      const { done, value } = await reader.read()
      patience.rest()
      if (done) return
      const texts = decode(value).split('\n')
      for (const text of texts.slice(0, -1)) {
        const line = pieces.join('') + text
        pieces = []
        length = 0
        if (line !== '') yield line
      }
      pieces.push(texts.at(-1)!)
      length += texts.at(-1)!.length
      if (length > MAX_LINE) throw new MalformedAnswer('a line has no end')
    }
  } finally {
    reader.cancel().catch(() => undefined)
  }
}
