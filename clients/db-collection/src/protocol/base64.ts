// Base64 and UTF-8 of our own: not every engine has `atob`, and whom a token speaks for must not depend on it.

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

/** Bytes as the standard alphabet writes them, padded. */
export function toBase64(bytes: Uint8Array): string {
  const parts: string[] = []
  for (let at = 0; at < bytes.length; at += 3) {
    const [first, second, third] = [bytes[at]!, bytes[at + 1], bytes[at + 2]]
    const last = second === undefined ? '==' : third === undefined ? ALPHABET[(second & 15) << 2] + '=' : ALPHABET[((second & 15) << 2) | (third >> 6)]! + ALPHABET[third & 63]!
    parts.push(ALPHABET[first >> 2]! + ALPHABET[((first & 3) << 4) | ((second ?? 0) >> 4)]! + last)
  }
  return parts.join('')
}

/** The bytes of base64 in either alphabet, padded or not; throws at what is none. */
export function fromBase64(text: string): Uint8Array {
  const end = text.endsWith('==') ? text.length - 2 : text.endsWith('=') ? text.length - 1 : text.length
  if (end % 4 === 1) throw new TypeError('this is no base64')
  const bytes = new Uint8Array(Math.floor((end * 3) / 4))
  let bits = 0
  let held = 0
  let out = 0
  for (let at = 0; at < end; at++) {
    const value = valueOf(text.charCodeAt(at))
    if (value === undefined) throw new TypeError('this is no base64')
    held = ((held << 6) | value) & 0xffff
    bits += 6
    if (bits >= 8) bytes[out++] = (held >> (bits -= 8)) & 0xff
  }
  return bytes
}

/** What a character says, of either alphabet. */
function valueOf(code: number): number | undefined {
  if (code >= 97 && code <= 122) return code - 71
  if (code >= 65 && code <= 90) return code - 65
  if (code >= 48 && code <= 57) return code + 4
  return code === 43 || code === 45 ? 62 : code === 47 || code === 95 ? 63 : undefined
}

/** The text of UTF-8 bytes; throws at what is none. */
export function textOf(bytes: Uint8Array): string {
  return decodeURIComponent(Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''))
}
