// The seeds of random tests: the one place of this client that reads NIZHAL_THOROUGH and NIZHAL_SEED, as `nizhal-seeds` does in Rust.

function variable(name: string, unset: number): number {
  const text = process.env[name]
  if (text === undefined) return unset
  if (!/^\d{1,15}$/.test(text)) throw new Error(`${name} is no whole number from 0 on: ${text}`)
  return Number(text)
}

/** The seeds of this run, of which a quick run has `quick`; at least one. */
export function seeds(quick: number): number[] {
  const first = variable('NIZHAL_SEED', 0)
  return Array.from({ length: Math.max(1, quick * variable('NIZHAL_THOROUGH', 1)) }, (_, index) => first + index)
}

/** How to run a test's file again with this seed alone. */
export function again(seed: number, file: string): string {
  return `NIZHAL_SEED=${seed} NIZHAL_THOROUGH=0 npx vitest run test/${file}.test.ts`
}
