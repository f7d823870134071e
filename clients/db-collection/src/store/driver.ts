// What a SQLite has to offer to carry a store: reads, and a list of statements that commits whole.

/** What is bound to a statement. */
export type SqlValue = string | number | null

/** One statement and what is bound to it. */
export interface Statement {
  sql: string
  params?: readonly SqlValue[]
}

/** A SQLite database, whatever runs it. */
export interface SqlDriver {
  all(sql: string, params?: readonly SqlValue[]): Promise<Record<string, SqlValue>[]>
  /** Runs all of them in one transaction; when one fails, none happened. */
  transaction(statements: readonly Statement[]): Promise<void>
  close(): Promise<void>
  /** Why it does not outlast its page, where it was meant to. */
  volatile?(): string | undefined
  /** Removes the database's files, where the driver knows how. */
  destroy?(): Promise<void>
}
