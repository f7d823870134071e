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
  /**
   * Files of images, where the driver keeps some that it can attach. Such a driver runs statements of several callers one after the other,
   * and its SQLite has the function `nizhal_text` (`textOfCell`).
   */
  files?(): ImageFiles | undefined
}

/** The files of images beside a database. A packed one is named by the SHA-256 that it is to have. */
export interface ImageFiles {
  /** How many bytes of a packed file are here. */
  size(sha256: string): Promise<number>
  /** Writes a piece of a packed file; one at 0 takes the place of all that is there. */
  write(sha256: string, at: number, bytes: Uint8Array): Promise<void>
  /** Unpacks a packed file: where it is then, to be attached. `undefined`: it is another than was named, or is not packed as it should be. */
  unpack(sha256: string): Promise<string | undefined>
  /** Deletes all files but the packed ones of these. */
  clean(kept: readonly string[]): Promise<void>
}
