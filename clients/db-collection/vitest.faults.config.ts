import { defineConfig } from 'vitest/config'
import { FAULTS } from './test/faults/list'

// `npm run faults`: the suite on a source with one mistake in it.
const fault = FAULTS[process.env['NIZHAL_FAULT'] ?? '']
if (!fault) throw new Error('NIZHAL_FAULT names no fault of test/faults/list.ts')

export default defineConfig({
  plugins: [
    {
      name: 'fault',
      enforce: 'pre',
      transform(code, id) {
        if (!id.endsWith(`/src/${fault.file}`)) return undefined
        if (!code.includes(fault.from)) throw new Error(`the fault no longer fits ${fault.file}: ${fault.from}`)
        return code.replace(fault.from, () => fault.to)
      },
    },
  ],
  test: { include: [`test/${fault.tests}.test.ts`], globalSetup: ['test/harness/postgres.ts'], testTimeout: 20_000, bail: 0, maxWorkers: 2 },
})
