/** What the bundle is made of: the files that package.json names, and those that the sources start by their place. */

/** The part of package.json that names built files. */
export interface Sources {
  readonly exports: Exports
  readonly bin: Readonly<Record<string, string>>
}

type Exports = string | { readonly [condition: string]: Exports }

/** Where `runtimes/node/own-files.ts` expects it. */
export const chunkFolder = 'chunks'

/** Started as a process of its own, and named by no entry. */
const SPAWNED = ['runtimes/node/rtc/rtc-child.js']

/** With their dependencies inside: a page's import map does not count in its workers. */
export const SELF_CONTAINED: readonly string[] = ['runtimes/browser/worker.js']

/** What tsc made of their sources, relative to its folder. */
export function entriesOf({ exports, bin }: Sources): string[] {
  const built = [...targets(exports), ...Object.values(bin)].filter((path) => path.endsWith('.js'))
  return [...new Set([...built.map(placeOf), ...SPAWNED])]
}

function targets(exports: Exports): string[] {
  return typeof exports === 'string' ? [exports] : Object.values(exports).flatMap(targets)
}

function placeOf(path: string): string {
  return path.replace(/^\.\/dist\//, '')
}
