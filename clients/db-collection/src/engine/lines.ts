// A body as lines, no faster than they are taken.

/** A deadline that runs while the network is waited for. */
export interface Patience {
  wait(): void
  rest(): void
}

/** The lines of a body. A line without its end is none: the body was cut. Leaving early closes it. */
export async function* linesOf(body: ReadableStream<Uint8Array>, patience: Patience): AsyncGenerator<string> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  // In pieces until the line's end is there: a long line must not be copied with each of them.
  let pieces: string[] = []
  try {
    for (;;) {
      patience.wait()
      const { done, value } = await reader.read()
      patience.rest()
      if (done) return
      const texts = decoder.decode(value, { stream: true }).split('\n')
      for (const text of texts.slice(0, -1)) {
        const line = pieces.join('') + text
        pieces = []
        if (line !== '') yield line
      }
      pieces.push(texts.at(-1)!)
    }
  } finally {
    reader.cancel().catch(() => undefined)
  }
}
