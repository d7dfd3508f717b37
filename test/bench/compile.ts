/**
 * Measuring processes run plain JavaScript, compiled once: Node's own TypeScript loader costs memory that would count
 * as the systems'.
 */
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

/** The folder of the programs, as a file URL that ends in a slash. */
export async function compile(root: string): Promise<string> {
  const programs = new URL('dist/.bench/', root)
  await build({
    entryPoints: ['worker.ts', 'systems/*.ts'].map((name) =>
      fileURLToPath(new URL(name, import.meta.url)),
    ),
    outbase: fileURLToPath(new URL('.', import.meta.url)),
    outdir: fileURLToPath(programs),
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node22',
    packages: 'external',
    logLevel: 'warning',
  })
  return programs.href
}
