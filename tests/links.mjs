// Follows every link between the pages of a book that mdbook built: `node tests/links.mjs <built> <sources>`.
// A link that leaves the book names a file of the repository, seen from the sources.
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

const [root, sources] = process.argv.slice(2)
const pages = readdirSync(root, { recursive: true }).filter((name) => name.endsWith('.html') && !/(^|\/)(print|toc|404)\.html$/.test(name))
const text = new Map(pages.map((name) => [name, readFileSync(join(root, name), 'utf8')]))

/** What is wrong with a link of a page, if anything is. */
function fault(page, href) {
  if (/^[a-z]+:/.test(href)) return
  const [path, anchor] = href.split('#')
  const target = path ? relative(root, join(root, dirname(page), path)) : page
  if (target.startsWith('..')) {
    const file = join(sources, target)
    return existsSync(file) || existsSync(file.replace(/html$/, 'md')) ? undefined : 'no file of the repository'
  }
  if (!existsSync(join(root, target))) return 'no page'
  if (anchor && text.has(target) && !text.get(target).includes(`id="${decodeURIComponent(anchor)}"`)) return 'no heading'
}

const dead = []
let links = 0
for (const [page, html] of text) {
  // Only what the chapter says: the frame around it is mdbook's own.
  const chapter = /<main>([\s\S]*?)<\/main>/.exec(html)?.[1] ?? ''
  for (const [, href] of chapter.matchAll(/href="([^"]+)"/g)) {
    links += 1
    const wrong = fault(page, href)
    if (wrong) dead.push(`${page}: ${href}: ${wrong}`)
  }
}
if (links === 0 || dead.length > 0) {
  console.error(dead.length > 0 ? `dead links:\n${dead.join('\n')}` : `${root} has no links`)
  process.exit(1)
}
console.log(`${pages.length} pages, ${links} links, and every one leads somewhere`)
