/** What the documents point at is there: files, headings, scripts, programs. */
import { existsSync, globSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { expect, it } from 'vitest'

const root = join(import.meta.dirname, '../..')
const SKIPPED = ['node_modules', 'dist', 'core/spec', 'test/bench/peers']
const documents = globSync('**/*.md', {
  cwd: root,
  exclude: (path) => SKIPPED.includes(path) || path.startsWith('.'),
}).sort()
const { scripts, bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly scripts: Readonly<Record<string, string>>
  readonly bin: Readonly<Record<string, string>>
}
/** What `npx` runs here beside our own programs. */
const TOOLS = new Set(['esbuild', 'wrangler'])

it('finds the documents', () => {
  expect(documents).toContain('README.md')
  expect(documents).toContain('core/nat/README.md')
})

it.each(documents)('%s: links lead to files and headings', (name) => {
  const text = readFileSync(join(root, name), 'utf8').replace(/^```[\s\S]*?^```/gm, '')
  for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(target)) continue
    const [path = '', anchor] = target.split('#')
    const file = path === '' ? join(root, name) : join(root, dirname(name), path)
    expect(existsSync(file), `${target} of ${name}`).toBe(true)
    if (anchor === undefined) continue
    const page = statSync(file).isDirectory() ? join(file, 'README.md') : file
    expect(anchors(readFileSync(page, 'utf8')), `${target} of ${name}`).toContain(anchor)
  }
})

it.each(documents)('%s: commands name scripts, programs and files that exist', (name) => {
  const text = readFileSync(join(root, name), 'utf8')
  for (const [, block = ''] of text.matchAll(/^ *```sh\n([\s\S]*?)^ *```/gm))
    for (const line of block.split('\n')) {
      const [command = '', first = ''] = line.trim().split(/\s+/)
      const second = line.trim().split(/\s+/)[2] ?? ''
      const where = `${line.trim()} in ${relative(root, name)}`
      if (command === 'npm' && first === 'run') expect(scripts, where).toHaveProperty(second)
      if (command === 'npx') expect(first in bin || TOOLS.has(first), where).toBe(true)
      if (command === 'node' && !first.startsWith('-') && !first.startsWith('dist/'))
        expect(existsSync(join(root, first)), where).toBe(true)
    }
})

/** As GitHub makes them. */
function anchors(markdown: string): readonly string[] {
  return [...markdown.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\- _]/gu, '')
      .replaceAll(' ', '-'),
  )
}

it('README.md shows the example that runs in the tests', () => {
  const hello = readFileSync(join(root, 'examples/hello/hello.ts'), 'utf8')
  expect(readFileSync(join(root, 'README.md'), 'utf8')).toContain(`\`\`\`ts\n${hello}\`\`\``)
  expect(hello.trim().split('\n').length).toBeLessThanOrEqual(10)
})
