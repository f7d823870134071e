// wa-sqlite in Node, in memory. A database outlives its clients, as a file does, until the test ends.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import * as SQLite from '@journeyapps/wa-sqlite'
import factory from '@journeyapps/wa-sqlite/dist/wa-sqlite.mjs'
import { SqlStore } from '../../src/store/sql'
import type { SqlDriver, SqlValue, Statement } from '../../src/store/driver'
import { WaDatabase, type WaApi } from '../../src/store/wa-sqlite'

const wasmBinary = readFileSync(createRequire(import.meta.url).resolve('@journeyapps/wa-sqlite/dist/wa-sqlite.wasm'))

export async function waApi(): Promise<WaApi> {
  return SQLite.Factory(await (factory as unknown as (options: object) => Promise<unknown>)({ wasmBinary })) as unknown as WaApi
}

let shared: Promise<WaApi> | undefined

/** A database that can lose its power before any statement. */
export class Disk {
  private constructor(private readonly database: WaDatabase) {}

  static async make(): Promise<Disk> {
    // One engine, many databases: making an engine is what takes time.
    return new Disk(await WaDatabase.open(await (shared ??= waApi()), ':memory:'))
  }

  /** Runs SQL beside the stores. */
  async run(sql: string): Promise<void> {
    await this.database.all(sql)
  }

  /** A store on it; after `left` statements the power is gone: what was not committed is as if it never was. */
  store(left = Number.POSITIVE_INFINITY): SqlStore & { used(): number } {
    let used = 0
    const spend = () => {
      if (++used > left) throw new Error('the power is gone')
    }
    const driver: SqlDriver = {
      all: async (sql: string, params?: readonly SqlValue[]) => {
        if (used >= left) throw new Error('the power is gone')
        return this.database.all(sql, params)
      },
      transaction: async (statements: readonly Statement[]) => {
        await this.database.all('begin')
        try {
          for (const { sql, params } of statements) {
            spend()
            await this.database.all(sql, params)
          }
          spend()
          await this.database.all('commit')
        } catch (error) {
          await this.database.all('rollback').catch(() => undefined)
          throw error
        }
      },
      close: async () => undefined,
    }
    return Object.assign(new SqlStore(driver), { used: () => used })
  }
}
