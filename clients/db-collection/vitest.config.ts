import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/harness/postgres.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Each file starts servers of its own: two cores carry two of them.
    maxWorkers: 2,
  },
})
