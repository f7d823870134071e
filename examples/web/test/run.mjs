// Runs the test of the page in whose folder it is started, and ends with one line in plain words.
import { join } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'

const counts = { passed: 0, failed: 0 }
const stream = run({ files: [join(process.cwd(), 'test/page.test.mjs')], concurrency: false })
stream.on('test:pass', ({ nesting, details }) => nesting === 0 && details.type !== 'suite' && counts.passed++)
stream.on('test:fail', ({ nesting }) => nesting === 0 && counts.failed++)
stream.compose(spec).pipe(process.stdout)
stream.on('end', () => {
  process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0
  setImmediate(() => console.log(`\nthe page: ${counts.passed} passed, ${counts.failed} failed`))
})
