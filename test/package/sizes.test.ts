/**
 * What the packed package costs a page, minified by esbuild and compressed by gzip -9, in kB of 1000 bytes. A limit is
 * raised only for something that is worth its bytes.
 */
import { dirname, join, normalize } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Project } from './projects.ts'

let project: Project
beforeAll(async () => {
  project = new Project()
  await project.install('npm', 'pilot-ts')
})
afterAll(() => project?.[Symbol.asyncDispose]())

/** gzip of a script and of everything that it imports before it runs; what it imports later is not counted. */
async function kiloBytes(code: string): Promise<number> {
  project.write({ 'size.js': code })
  const { outputFiles, metafile } = await build({
    absWorkingDir: project.folder,
    entryPoints: ['size.js'],
    outdir: 'out',
    bundle: true,
    minify: true,
    splitting: true,
    format: 'esm',
    target: 'es2024',
    legalComments: 'none',
    write: false,
    metafile: true,
  })
  const loaded = new Set<string>()
  const load = (path: string): void => {
    if (loaded.has(path)) return
    loaded.add(path)
    for (const { kind, path: next } of metafile.outputs[path]?.imports ?? [])
      if (kind === 'import-statement') load(normalize(next))
  }
  load(join('out', 'size.js'))
  const files = outputFiles.filter(({ path }) =>
    loaded.has(join('out', path.slice(join(project.folder, 'out').length + 1))),
  )
  expect(files).toHaveLength(loaded.size)
  expect(dirname(files[0]?.path ?? '')).toBe(join(project.folder, 'out'))
  return (
    files.reduce((sum, { contents }) => sum + gzipSync(contents, { level: 9 }).length, 0) / 1000
  )
}

it.each([
  {
    what: 'the codec of packets alone',
    code: `export { decodePacket, encodePacket } from 'pilot-ts/core'`,
    limit: 3,
  },
  {
    what: 'the core with keys and hashes, AES-GCM being the platform’s',
    code: `export { EdgeAead, Identity, NodeMachine, TrustStore } from 'pilot-ts/core'
      export { nobleKeys } from 'pilot-ts/core/noble'`,
    limit: 66,
  },
  {
    what: 'the core with all cryptography in JavaScript',
    code: `export { Identity, NodeMachine, TrustStore } from 'pilot-ts/core'
      export { nobleCrypto } from 'pilot-ts/core/noble'`,
    limit: 70,
  },
  {
    what: 'the entry of pages, before its worker',
    code: `export * from 'pilot-ts/browser'`,
    limit: 36,
  },
  {
    what: 'the worker of pages, which has everything inside',
    code: `import 'pilot-ts/browser/worker'`,
    limit: 92,
  },
])('$what: less than $limit kB', async ({ what, code, limit }) => {
  const size = await kiloBytes(code)
  console.log(`${what}: ${size.toFixed(1)} kB gzip, limit ${limit}`)
  expect(size).toBeLessThan(limit)
  expect(size).toBeGreaterThan(limit / 3) // or it is not there at all
})
