// Puts each mistake in turn into the source, as the tests see it, and says which tests it turned red. One that stays green fails the run.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'

const root = new URL('../..', import.meta.url).pathname
const dir = mkdtempSync(join(tmpdir(), 'nizhal-faults-'))
await build({ entryPoints: [`${root}test/faults/list.ts`], outfile: join(dir, 'list.mjs'), format: 'esm', logLevel: 'error' })
const { FAULTS } = await import(join(dir, 'list.mjs'))
const only = process.argv[2]
let green = 0
for (const name of Object.keys(FAULTS).filter((name) => !only || name.includes(only))) {
  const report = join(dir, 'report.json')
  rmSync(report, { force: true })
  const run = spawnSync(join(root, 'node_modules/.bin/vitest'), ['run', '--config', 'vitest.faults.config.ts', '--reporter=json', `--outputFile=${report}`], { cwd: root, env: { ...process.env, NIZHAL_FAULT: name }, encoding: 'utf8' })
  let red = []
  try {
    red = JSON.parse(readFileSync(report, 'utf8')).testResults.flatMap(({ assertionResults }) => assertionResults.filter(({ status }) => status === 'failed').map(({ ancestorTitles, title }) => [...ancestorTitles, title].join(' › ')))
  } catch {
    console.error(run.stdout, run.stderr)
  }
  if (red.length === 0) green += 1
  console.log(`${red.length > 0 ? 'red  ' : 'GREEN'} ${name}${red.map((title) => `\n        ${title}`).join('')}`)
}
rmSync(dir, { recursive: true })
console.log(`\nseeded faults: ${green === 0 ? 'each turns a test red' : `${green} stay green`}`)
process.exit(green > 0 ? 1 : 0)
