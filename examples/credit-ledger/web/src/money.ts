// Amounts come as decimal text. A balance is a fold over them, in cents, and stored nowhere.

/** A decimal text in cents. */
export function cents(amount: string): number {
  return Math.round(Number(amount) * 100)
}

/** Each customer's balance. */
export function balances(entries: Iterable<{ customer_id: string; amount: string }>): Map<string, number> {
  const sums = new Map<string, number>()
  for (const { customer_id, amount } of entries) sums.set(customer_id, (sums.get(customer_id) ?? 0) + cents(amount))
  return sums
}

const FORMAT = new Intl.NumberFormat('en', { minimumFractionDigits: 2, maximumFractionDigits: 2 })

/** For people. */
export function money(inCents: number): string {
  return `Rs ${FORMAT.format(Math.abs(inCents) / 100)}`
}
