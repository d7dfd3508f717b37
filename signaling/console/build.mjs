/**
 * Builds the console: static files with relative URLs, for the rendezvous and for any web host. Names of scripts
 * and styles carry their hash, so that they may be cached for good; `index.html` names them.
 * Run: `npm run build:console`.
 */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))
/** The engine of `pilot-ts/browser`. */
const WORKER = here('../../runtimes/browser/worker.ts')

/** Builds into `directory`, which is replaced; its name ends in `console`. */
export async function buildConsole(directory = here('../../dist/console')) {
  const fresh = `${directory}.${process.pid}.new`
  await rm(fresh, { recursive: true, force: true })
  await mkdir(fresh, { recursive: true })
  const worker = await bundle(WORKER, 'worker', fresh)
  const main = await bundle(here('main.tsx'), 'console', fresh, {
    __WORKER_FILE__: JSON.stringify(worker.script),
  })
  const style = await bundle(here('styles/console.css'), 'console', fresh)
  const page = await readFile(here('index.html'), 'utf8')
  const filled = page.replace('console.js', main.script).replace('console.css', style.style)
  await writeFile(join(fresh, 'index.html'), filled)
  await writeFile(join(fresh, 'icon.svg'), await readFile(here('icon.svg')))
  await rm(directory, { recursive: true, force: true })
  await rename(fresh, directory)
  return directory
}

/** Names of the script and the style sheet that came out. */
async function bundle(entry, name, outdir, define = {}) {
  const { metafile } = await build({
    entryPoints: { [name]: entry },
    entryNames: '[name]-[hash]',
    outdir,
    bundle: true,
    minify: true,
    metafile: true,
    format: 'esm',
    platform: 'browser',
    target: ['chrome120', 'firefox121', 'safari17.4'],
    legalComments: 'none',
    logLevel: 'warning',
    define,
  })
  const names = Object.keys(metafile.outputs).map((path) => basename(path))
  const ending = (suffix) => names.find((one) => one.endsWith(suffix)) ?? ''
  return { script: ending('.js'), style: ending('.css') }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildConsole()
