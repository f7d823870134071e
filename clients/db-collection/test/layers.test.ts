// What the source may name and import: globals in one place, and no circles.
import { readFileSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import ts from 'typescript'
import { expect, test } from 'vitest'
import { GLOBALS } from './harness/globals'

const root = new URL('..', import.meta.url).pathname
const config = ts.parseJsonConfigFileContent(ts.readConfigFile(`${root}tsconfig.json`, ts.sys.readFile).config, ts.sys, root)
const program = ts.createProgram(config.fileNames, config.options)
const files = program.getSourceFiles().filter(({ fileName }) => fileName.startsWith(`${root}src/`))
const nameOf = (path: string) => relative(`${root}src`, path)

test('inv04: only platform.ts names a global of where it runs', () => {
  const checker = program.getTypeChecker()
  const named: string[] = []
  for (const file of files) {
    const visit = (node: ts.Node): void => {
      if (ts.isIdentifier(node) && isGlobal(node)) {
        named.push(`${nameOf(file.fileName)}:${file.getLineAndCharacterOfPosition(node.getStart()).line + 1} ${node.text}`)
      }
      ts.forEachChild(node, visit)
    }
    visit(file)
  }
  function isGlobal(node: ts.Identifier): boolean {
    for (let one: ts.Node = node; one !== node.getSourceFile(); one = one.parent) if (ts.isTypeNode(one)) return false
    // The language's own part, but for what small engines leave out.
    if (['globalThis', 'Intl'].includes(node.text)) return !ts.isPropertyAccessExpression(node.parent) || node.parent.expression === node
    if (ts.isPropertyAccessExpression(node.parent) && node.parent.name === node) return false
    const declared = checker.getSymbolAtLocation(node)?.declarations ?? []
    const isValue = declared.some((one) => ts.isVariableDeclaration(one) || ts.isFunctionDeclaration(one))
    return isValue && declared.every((one) => /lib\.(dom|webworker)[^/]*\.d\.ts$/.test(one.getSourceFile().fileName))
  }
  expect(files.length).toBeGreaterThan(40)
  expect(named.filter((one) => one.startsWith('platform.ts')).length).toBeGreaterThan(0)
  expect(named.filter((one) => !one.startsWith('platform.ts'))).toEqual([])
})

test('inv04: each global that platform.ts looks up is taken away in a test', () => {
  const source = readFileSync(`${root}src/platform.ts`, 'utf8')
  const looked = [...source.matchAll(/(?:global|callable)(?:<[^(]*>)?\('(\w+)'\)/g)].map(([, name]) => name!)
  expect(looked.length).toBeGreaterThan(10)
  // One speaks of an error that has been met already; the other is Node's, whose tests run by it: `image.test.ts` takes a part of it away.
  const tried = new Set([...GLOBALS.map(({ path }) => path), 'console', 'process'])
  expect(looked.filter((name) => !tried.has(name))).toEqual([])
})

test('no file imports itself through others', () => {
  const imports = new Map(files.map((file) => [nameOf(file.fileName), file.statements.flatMap((statement) => targetOf(file, statement))]))
  function targetOf(file: ts.SourceFile, statement: ts.Statement): string[] {
    const from = ts.isImportDeclaration(statement) || ts.isExportDeclaration(statement) ? statement.moduleSpecifier : undefined
    if (!from || !ts.isStringLiteral(from) || !from.text.startsWith('.')) return []
    const path = resolve(dirname(file.fileName), from.text)
    const found = files.find(({ fileName }) => fileName === `${path}.ts` || fileName === `${path}/index.ts`)
    return found ? [nameOf(found.fileName)] : []
  }
  const circles = new Set<string>()
  const over = new Set<string>()
  const walk = (file: string, path: string[]): void => {
    const at = path.indexOf(file)
    if (at >= 0) return void circles.add(path.slice(at).concat(file).join(' → '))
    if (over.has(file)) return
    for (const next of imports.get(file) ?? []) walk(next, [...path, file])
    over.add(file)
  }
  for (const file of imports.keys()) walk(file, [])
  expect([...imports.values()].flat().length).toBeGreaterThan(50)
  expect([...circles]).toEqual([])
})
