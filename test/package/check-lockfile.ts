/** Fails when the lockfile would not install from another machine: missing platform packages, fixed hosts. */
import { readFileSync } from 'node:fs'

interface LockEntry {
  readonly version?: string
  readonly resolved?: string
  readonly optionalDependencies?: Record<string, string>
}

const text = readFileSync(new URL('../../package-lock.json', import.meta.url), 'utf8')
const { packages } = JSON.parse(text) as { packages: Record<string, LockEntry> }
const problems: string[] = []
for (const [path, entry] of Object.entries(packages)) {
  if (entry.resolved?.startsWith('http')) problems.push(`${path} names the host it came from`)
  for (const name of Object.keys(entry.optionalDependencies ?? {}))
    if (
      packages[`node_modules/${name}`] === undefined &&
      packages[`${path}/node_modules/${name}`] === undefined
    )
      problems.push(`${path} lacks its optional dependency ${name}`)
}
const manifest = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as {
  dependencies: Record<string, string>
  devDependencies: Record<string, string>
}
for (const [name, range] of Object.entries({
  ...manifest.dependencies,
  ...manifest.devDependencies,
}))
  if (!/^\d+\.\d+\.\d+$/.test(range)) problems.push(`${name} is not pinned to a version: ${range}`)
for (const problem of problems) console.error(problem)
if (problems.length > 0) process.exit(1)
console.log(`${Object.keys(packages).length} packages, all complete and pinned`)
