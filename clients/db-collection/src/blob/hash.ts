// SHA-256 of files: by the page's own where it can, in pieces by ours where a file is large or the page may not.
import { digest } from '../platform'

/** The largest file that is given to WebCrypto, which takes a whole one at once and cannot be fed. */
const MAX_WHOLE_BYTES = 64 << 20
/** How long it may take. */
const WAIT_MS = 30_000
/** What is read of a larger one at a time. */
const PIECE_BYTES = 1 << 20

const ROOTS = Int32Array.from([...primes(64)].map((prime) => fraction(Math.cbrt(prime))))
const START = Int32Array.from([...primes(8)].map((prime) => fraction(Math.sqrt(prime))))

/** The SHA-256 of a file as 64 hexadecimal digits. */
export async function sha256Of(file: Blob, maxWholeBytes = MAX_WHOLE_BYTES): Promise<string> {
  const whole = file.size <= maxWholeBytes ? await digest(await file.arrayBuffer(), WAIT_MS) : undefined
  if (whole) return hexOf(new Uint8Array(whole))
  const hash = new Sha256()
  for (let at = 0; at < file.size; at += PIECE_BYTES) hash.add(new Uint8Array(await file.slice(at, at + PIECE_BYTES).arrayBuffer()))
  return hash.end()
}

/** SHA-256 by FIPS 180-4, fed in pieces. */
class Sha256 {
  readonly #state = Int32Array.from(START)
  readonly #words = new Int32Array(64)
  #rest = new Uint8Array(0)
  #bytes = 0

  add(piece: Uint8Array): void {
    this.#bytes += piece.length
    this.#blocks(this.#rest.length === 0 ? piece : joined(this.#rest, piece))
  }

  end(): string {
    const padded = new Uint8Array(((this.#rest.length + 72) >> 6) << 6)
    padded.set(this.#rest)
    padded[this.#rest.length] = 0x80
    const view = new DataView(padded.buffer)
    view.setUint32(padded.length - 8, Math.floor(this.#bytes / 2 ** 29))
    view.setUint32(padded.length - 4, (this.#bytes * 8) % 2 ** 32)
    this.#blocks(padded)
    const out = new DataView(new ArrayBuffer(32))
    this.#state.forEach((word, at) => out.setInt32(at * 4, word))
    return hexOf(new Uint8Array(out.buffer))
  }

  #blocks(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    let at = 0
    for (; at + 64 <= bytes.length; at += 64) this.#block(view, at)
    this.#rest = bytes.slice(at)
  }

  #block(view: DataView, from: number): void {
    const words = this.#words
    for (let at = 0; at < 16; at++) words[at] = view.getInt32(from + at * 4)
    for (let at = 16; at < 64; at++) {
      const near = words[at - 2]!
      const far = words[at - 15]!
      words[at] = (words[at - 16]! + (turn(far, 7) ^ turn(far, 18) ^ (far >>> 3)) + words[at - 7]! + (turn(near, 17) ^ turn(near, 19) ^ (near >>> 10))) | 0
    }
    const state = this.#state
    // By index: taking a typed array apart is many times slower.
    let [a, b, c, d] = [state[0]!, state[1]!, state[2]!, state[3]!]
    let [e, f, g, h] = [state[4]!, state[5]!, state[6]!, state[7]!]
    for (let at = 0; at < 64; at++) {
      const first = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + ROOTS[at]! + words[at]!) | 0
      const second = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0
      h = g
      g = f
      f = e
      e = (d + first) | 0
      d = c
      c = b
      b = a
      a = (first + second) | 0
    }
    state[0]! += a
    state[1]! += b
    state[2]! += c
    state[3]! += d
    state[4]! += e
    state[5]! += f
    state[6]! += g
    state[7]! += h
  }
}

function turn(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits))
}

function fraction(root: number): number {
  return ((root % 1) * 2 ** 32) | 0
}

function* primes(count: number): Generator<number> {
  const found: number[] = []
  for (let number = 2; found.length < count; number++) {
    if (found.some((prime) => number % prime === 0)) continue
    found.push(number)
    yield number
  }
}

function joined(one: Uint8Array, other: Uint8Array): Uint8Array {
  const whole = new Uint8Array(one.length + other.length)
  whole.set(one)
  whole.set(other, one.length)
  return whole
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
