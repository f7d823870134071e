import { defineConfig } from 'vitest/config'

// `npm run bench`: figures, not checks.
export default defineConfig({
  test: { include: ['bench/**/*.test.ts'], globalSetup: ['test/harness/postgres.ts'], testTimeout: 600_000, hookTimeout: 600_000, fileParallelism: false },
})
