/**
 * What a module exports, read from the declarations that tsc writes: the comment, the text and the file of each name.
 * They are regular enough for that (every declaration begins a line, what belongs to it is indented), and the
 * compiler of TypeScript 7 has no interface for programs yet that documentation tools could be built on.
 */
import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

export interface Declaration {
  readonly name: string
  readonly kind: 'function' | 'class' | 'interface' | 'type' | 'const'
  /** Without the marks of the comment; `''` when there is none. */
  readonly doc: string
  /** Members and their comments included. */
  readonly text: string
  /** Where it is declared. */
  readonly file: string
}

interface Module {
  /** What the file says of itself. */
  readonly doc: string
  readonly own: ReadonlyMap<string, Declaration>
  readonly named: readonly { readonly name: string; readonly as: string; readonly from: string }[]
  readonly all: readonly string[]
}

const START = /^(?:export )?(?:declare )?(?:abstract )?(function|class|interface|type|const) (\w+)/
const NAMED = /^export (?:type )?\{([^}]*)\} from '([^']+)'/
const ALL = /^export (?:type )?\* from '([^']+)'/
const modules = new Map<string, Module>()

/** Every name that a `.d.ts` exports, its own and those it passes on. */
export function exportsOf(file: string): ReadonlyMap<string, Declaration | undefined> {
  const { own, named, all } = read(file)
  const found = new Map<string, Declaration | undefined>()
  for (const from of all)
    for (const [name, one] of exportsOf(locate(file, from))) found.set(name, one)
  for (const { name, as, from } of named) found.set(as, exportsOf(locate(file, from)).get(name))
  for (const [name, one] of own) if (one.text.startsWith('export ')) found.set(name, one)
  return found
}

/** Names that are declared in a file, exported or not. */
export const namesIn = (file: string): ReadonlySet<string> => new Set(read(file).own.keys())

export const docOf = (file: string): string => read(file).doc

function read(file: string): Module {
  const known = modules.get(file)
  if (known !== undefined) return known
  const module = parse(file, readFileSync(file, 'utf8').replace(/\n?\/\/# sourceMappingURL.*$/, ''))
  modules.set(file, module)
  return module
}

function parse(file: string, text: string): Module {
  const own = new Map<string, Declaration>()
  const named: { name: string; as: string; from: string }[] = []
  const all: string[] = []
  let doc = ''
  let head = ''
  for (const statement of statements(text)) {
    if (statement.startsWith('/**')) {
      head ||= own.size + named.length + all.length === 0 ? plain(statement) : ' '
      doc = plain(statement)
      continue
    }
    const start = START.exec(statement)
    if (start !== null) {
      const [, kind, name = ''] = start
      const before = own.get(name)
      // Overloads are one function.
      const joined = before?.kind === 'function' ? `${before.text}\n${statement}` : statement
      const comment = doc || before?.doc || ''
      own.set(name, { name, kind: kind as Declaration['kind'], doc: comment, text: joined, file })
    }
    const list = NAMED.exec(statement)
    for (const item of list?.[1]?.split(',') ?? []) {
      const [name = '', as = name] = item
        .trim()
        .replace(/^type /, '')
        .split(' as ')
      if (name !== '') named.push({ name, as, from: list?.[2] ?? '' })
    }
    const from = ALL.exec(statement)?.[1]
    if (from !== undefined) all.push(from)
    doc = ''
  }
  return { doc: head.trim(), own, named, all }
}

/** Comments and declarations that begin a line, each whole. */
function statements(text: string): string[] {
  const found: string[] = []
  for (const line of text.split('\n')) {
    const last = found.at(-1)
    const continues = /^[\s})\]*]/.test(line) || line === ''
    if (last !== undefined && continues) found[found.length - 1] = `${last}\n${line}`
    else found.push(line)
  }
  return found.map((one) => one.trimEnd()).filter((one) => one !== '')
}

function plain(comment: string): string {
  return comment
    .replace(/^\/\*\*\s?/, '')
    .replace(/\s*\*\/$/, '')
    .replace(/^ ?\* ?/gm, '')
    .trim()
}

function locate(file: string, specifier: string): string {
  return resolve(dirname(file), specifier.replace(/\.(ts|js)$/, '.d.ts'))
}
