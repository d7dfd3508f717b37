/**
 * The API reference: one page of Markdown for every entry of the package, from its declarations. Says what lacks a
 * comment, names a code that does not exist, or links to nothing.
 * Run: `npm run docs`, which writes `dist/.docs/`.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ERROR_CODES } from '../../core/errors.ts'
import { type Declaration, docOf, exportsOf, namesIn } from './declarations.ts'

const root: string = join(import.meta.dirname, '../..')
const KINDS = ['function', 'class', 'interface', 'type', 'const'] as const
const TITLES = {
  function: 'Functions',
  class: 'Classes',
  interface: 'Interfaces',
  type: 'Types',
  const: 'Constants',
} as const

export interface Reference {
  /** Markdown by file name. */
  readonly pages: ReadonlyMap<string, string>
  readonly warnings: readonly string[]
}

export function apiReference(): Reference {
  const pages = new Map<string, string>()
  const warnings = new Set<string>()
  const index = ['# API reference', '']
  for (const [entry, file] of entries()) {
    const declarations = exportsOf(file)
    for (const [name, one] of declarations)
      for (const warning of warningsAbout(name, one, declarations))
        warnings.add(`${one?.file.slice(root.length + 1) ?? entry}: ${warning}`)
    const title = `pilot-ts${entry.slice(1)}`
    const page = `${entry === '.' ? 'index' : entry.slice(2).replaceAll('/', '-')}.md`
    pages.set(page === 'index.md' ? 'pilot-ts.md' : page, pageOf(title, docOf(file), declarations))
    index.push(`- [${title}](${page === 'index.md' ? 'pilot-ts.md' : page}): ${docOf(file)}`)
  }
  pages.set('README.md', `${index.join('\n')}\n`)
  return { pages, warnings: [...warnings].sort() }
}

/** Entries of package.json with the declarations that Node resolves. */
function entries(): readonly (readonly [string, string])[] {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    exports: Readonly<Record<string, string | { readonly types?: string }>>
  }
  return Object.entries(exports).flatMap(([entry, target]) =>
    typeof target === 'string' || target.types === undefined
      ? []
      : [[entry, join(root, target.types)] as const],
  )
}

function warningsAbout(
  name: string,
  one: Declaration | undefined,
  exported: ReadonlyMap<string, unknown>,
): readonly string[] {
  if (one === undefined) return [`${name} is exported, but declared nowhere`]
  const all = `${one.doc}\n${one.text}`
  const known = namesIn(one.file)
  const links = [...all.matchAll(/\{@link (\w+)/g)].map(([, target = '']) => target)
  const codes = [...all.matchAll(/\bERR_[A-Z_]+\b/g)].map(([code]) => code)
  return [
    ...(docFor(one) === '' && (one.kind === 'function' || one.kind === 'class')
      ? [`${name} has no comment`]
      : []),
    ...links
      .filter(
        (target) => !known.has(target) && !exported.has(target) && !all.includes(`${target}(`),
      )
      .map((target) => `${name} links to ${target}, which is not there`),
    ...codes
      .filter((code) => !(code in ERROR_CODES))
      .map((code) => `${name} names ${code}, which is no code`),
  ]
}

/** A class that is its file's subject is described where that begins. */
function docFor({ doc, kind, file }: Declaration): string {
  return doc === '' && kind === 'class' ? docOf(file) : doc
}

function pageOf(
  title: string,
  doc: string,
  declarations: ReadonlyMap<string, Declaration | undefined>,
): string {
  const all = [...declarations].flatMap(([name, one]) =>
    one === undefined ? [] : [{ ...one, name }],
  )
  const sections = KINDS.flatMap((kind) => {
    const some = all.filter((one) => one.kind === kind)
    if (some.length === 0) return []
    some.sort((a, b) => (a.name < b.name ? -1 : 1))
    return [`## ${TITLES[kind]}`, ...some.map(sectionOf)]
  })
  return `${[`# ${title}`, doc, ...sections].join('\n\n')}\n`
}

function sectionOf(one: Declaration): string {
  const { name, text } = one
  const lines = docFor(one)
    .replace(/\{@link (\w+)(\(\))?\}/g, '`$1`')
    .replace(/^@(\w+)/gm, (_, tag: string) => `\n**${tag}**`)
    .replace(/([^\n]) @throws/g, '$1\n\n**throws**')
  const code = text.replace(/^export (declare )?/gm, '')
  return [`### ${name}`, ...(lines === '' ? [] : [lines.trim()]), `\`\`\`ts\n${code}\n\`\`\``].join(
    '\n\n',
  )
}

if (import.meta.main) {
  const { pages, warnings } = apiReference()
  const folder = join(root, 'dist/.docs')
  mkdirSync(folder, { recursive: true })
  for (const [name, text] of pages) writeFileSync(join(folder, name), text)
  for (const warning of warnings) console.log(`warning: ${warning}`)
  console.log(`${pages.size} pages in dist/.docs`)
  if (warnings.length > 0) process.exitCode = 1
}
