// What is shipped: small, and nothing of Node in it. Built by `npm run build`.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { describe, expect, test } from 'vitest'

const root = new URL('..', import.meta.url).pathname

async function bundled(entry: string): Promise<string> {
  const { outputFiles } = await build({ entryPoints: [`${root}dist/${entry}`], bundle: true, minify: true, format: 'esm', target: 'es2022', platform: 'browser', external: ['@tanstack/*', '@journeyapps/*', 'yjs'], write: false, logLevel: 'silent' })
  return outputFiles[0]!.text
}

describe.skipIf(!existsSync(`${root}dist/index.js`))('the built package', () => {
  test.each([
    ['index.js', 25],
    ['tanstack/index.js', 25],
    ['demand/index.js', 2],
    ['blob/index.js', 8],
    ['store/index.js', 11],
    ['yjs/index.js', 3],
  ])('%s is at most %i KB gzipped', async (entry, most) => {
    const size = gzipSync(await bundled(entry)).length
    console.log(`${entry}: ${(size / 1024).toFixed(1)} KB minified and gzipped`)
    expect(size).toBeLessThan(most * 1024)
  })

  // esbuild for a browser would have failed on an import of Node's.
  test('what is not used is not bundled', async () => {
    const { outputFiles } = await build({ stdin: { contents: `import { MemoryStore } from './dist/index.js'; console.log(MemoryStore)`, resolveDir: root }, bundle: true, minify: true, format: 'esm', write: false })
    expect(outputFiles[0]!.text).not.toContain('x-nizhal-wire')
  })

  test('the README’s names are exported', () => {
    const exported = execFileSync(process.execPath, ['--input-type=module', '-e', `console.log([...Object.keys(await import('${root}dist/index.js')), ...Object.keys(await import('${root}dist/blob/index.js')), ...Object.keys(await import('${root}dist/store/index.js')), ...Object.keys(await import('${root}dist/tanstack/index.js')), ...Object.keys(await import('${root}dist/yjs/index.js')), ...Object.keys(await import('${root}dist/demand/index.js')), ...Object.keys(await import('${root}dist/offline/index.js'))].join(' '))`]).toString().split(/\s+/)
    const named = [...readFileSync(`${root}README.md`, 'utf8').matchAll(/`((?:createNizhal|nizhal|browserBlob|folderBlob|memoryBlob|blobStore|keyFor|waSqlite|opSqlite|expoSqlite|nodeSqlite|migrate|createCrdt|applyCrdt|encodeCrdt|createParty)\w+)[`(]/g)].map(([, name]) => name!)
    expect(named.length).toBeGreaterThan(10)
    expect(named.filter((name) => !exported.includes(name))).toEqual([])
  })
})
