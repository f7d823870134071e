// Runs the page's test and ends with one line in plain words.
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { fileURLToPath } from 'node:url'

const counts = { passed: 0, failed: 0 }
const stream = run({ files: [fileURLToPath(new URL('page.test.mjs', import.meta.url))], concurrency: false })
stream.on('test:pass', ({ nesting, details }) => nesting === 0 && details.type !== 'suite' && counts.passed++)
stream.on('test:fail', ({ nesting }) => nesting === 0 && counts.failed++)
stream.compose(spec).pipe(process.stdout)
stream.on('end', () => {
  process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0
  setImmediate(() => console.log(`\nthe page: ${counts.passed} passed, ${counts.failed} failed`))
})
