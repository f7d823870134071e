// Follows every link between the pages of a book that mdbook built: `node tests/links.mjs <folder>`.
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

const root = process.argv[2]
const pages = readdirSync(root, { recursive: true }).filter((name) => name.endsWith('.html') && !/(^|\/)(print|toc|404)\.html$/.test(name))
const text = new Map(pages.map((name) => [name, readFileSync(join(root, name), 'utf8')]))
const dead = []
for (const [page, html] of text) {
  // Only what the chapter says: the frame around it is mdbook's own.
  const chapter = /<main>([\s\S]*?)<\/main>/.exec(html)?.[1] ?? ''
  for (const [, href] of chapter.matchAll(/href="([^"]+)"/g)) {
    if (/^[a-z]+:/.test(href)) continue
    const [path, anchor] = href.split('#')
    const target = path ? relative(root, join(root, dirname(page), path)) : page
    if (!existsSync(join(root, target))) dead.push(`${page}: ${href}`)
    else if (anchor && text.has(target) && !text.get(target).includes(`id="${decodeURIComponent(anchor)}"`)) dead.push(`${page}: ${href}`)
  }
}
if (pages.length === 0 || dead.length > 0) {
  console.error(dead.length > 0 ? `dead links:\n${dead.join('\n')}` : `${root} has no pages`)
  process.exit(1)
}
console.log(`${pages.length} pages, every link leads somewhere`)
