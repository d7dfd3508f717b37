/**
 * Bundles what tsc made: one file for every entry that package.json names, and chunks for what they share. A program
 * reads a tenth of the files that the sources are, which halves the time of its start. One call for all entries: a
 * class that two of them export is one class.
 * Run: `node runtimes/build/bundle.ts`, after tsc, as `npm run build` does.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type BuildOptions, build, type OutputFile } from 'esbuild'
import { chunkFolder, entriesOf, SELF_CONTAINED, type Sources } from './entries.ts'

const root: string = fileURLToPath(new URL('../../', import.meta.url))
/**
 * Not the sources: esbuild's `using` in a loop remembers the error of an earlier round, tsc's does not.
 */
const compiled: string = join(root, 'dist/.js')
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Sources & {
  readonly version: string
}

/** Folders of the output that are the bundle's alone, below which nothing of an earlier one is left. */
const FOLDERS = [chunkFolder, 'core', 'runtimes', 'signaling'] as const

const common: BuildOptions = {
  absWorkingDir: compiled,
  outbase: compiled,
  bundle: true,
  write: false,
  format: 'esm',
  target: 'es2024',
  platform: 'neutral',
  charset: 'utf8',
  sourcemap: true,
  sourcesContent: false, // the sources are in the package
  legalComments: 'inline',
  logLevel: 'warning',
  define: { __PILOT_VERSION__: JSON.stringify(manifest.version) },
}

/** Bundles into `outdir`, a folder inside the project, where the bundle finds its dependencies. */
export async function bundle(outdir: string = join(root, 'dist')): Promise<void> {
  const entries = entriesOf(manifest)
  const alone = entries.filter((path) => SELF_CONTAINED.includes(path))
  const [shared, ...others] = await Promise.all([
    build({
      ...common,
      outdir,
      entryPoints: entries.filter((path) => !alone.includes(path)),
      splitting: true,
      packages: 'external',
      chunkNames: `${chunkFolder}/[name]-[hash]`,
    }),
    ...alone.map((path) =>
      build({ ...common, outdir, entryPoints: [path], platform: 'browser', minify: true }),
    ),
  ])
  const files = [shared, ...others].flatMap(({ outputFiles }) => outputFiles ?? [])
  // A chunk is there before what names it; what has not changed is left to programs that are reading it.
  files.sort((a, b) => Number(isChunk(b, outdir)) - Number(isChunk(a, outdir)))
  for (const { path, contents } of files) {
    if (!existsSync(path) || !readFileSync(path).equals(contents)) {
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, contents)
    }
    // npm lets programs be executed in packages that it installs, not in the project itself.
    if (isProgram(contents)) chmodSync(path, 0o755)
  }
  sweep(outdir, new Set(files.map(({ path }) => path)))
}

/** Begins with `#!`. */
function isProgram(contents: Uint8Array): boolean {
  return contents[0] === 0x23 && contents[1] === 0x21
}

function isChunk({ path }: OutputFile, outdir: string): boolean {
  return relative(outdir, path).startsWith(chunkFolder)
}

/** Removes scripts of earlier bundles, and declarations whose source is gone: the package takes what is there. */
function sweep(outdir: string, kept: ReadonlySet<string>): void {
  for (const folder of FOLDERS) {
    const base = join(outdir, folder)
    if (!existsSync(base)) continue
    for (const name of readdirSync(base, { recursive: true, encoding: 'utf8' })) {
      const path = join(base, name)
      const isStale = /\.js(\.map)?$/.test(name)
        ? !kept.has(path)
        : /\.d\.ts(\.map)?$/.test(name) &&
          !existsSync(join(root, folder, name.replace(/\.d\.ts(\.map)?$/, '.ts')))
      if (isStale) rmSync(path)
    }
  }
}

if (import.meta.main) await bundle()
