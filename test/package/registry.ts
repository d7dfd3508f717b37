/**
 * An npm registry on loopback: this package as it was packed, and the packages that are installed here. An install
 * from it is a real one by npm, Deno or Bun, and needs neither a network nor anybody's cache.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { basename, dirname, join } from 'node:path'
import { root } from './projects.ts'

export interface Registry {
  readonly url: string
  close(): Promise<void>
}

interface Packed {
  readonly version: string
  readonly manifest: Record<string, unknown>
  readonly tarball: Uint8Array
}

export async function serveRegistry(tarball: string): Promise<Registry> {
  const folders = installedFolders()
  const packed = new Map<string, Packed[]>()
  const find = (name: string): Packed[] => {
    const known = packed.get(name)
    if (known !== undefined) return known
    const found =
      name === 'pilot-ts'
        ? [read(root, readFileSync(tarball))]
        : (folders.get(name) ?? []).map((folder) => read(folder, pack(folder)))
    packed.set(name, found)
    return found
  }
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? '').replace(/^\//, '')
    const [name = '', file] = path.split('/-/')
    const versions = find(name)
    const one = versions.find(({ version }) => file === `${version}.tgz`)
    if (versions.length === 0 || (file !== undefined && one === undefined))
      response.writeHead(404, { 'content-type': 'application/json' }).end('{}')
    else if (one !== undefined)
      response.setHeader('content-type', 'application/octet-stream').end(one.tarball)
    else
      response
        .setHeader('content-type', 'application/json')
        .end(JSON.stringify(packument(name, versions, `http://${request.headers.host}`)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  return {
    url: `http://127.0.0.1:${port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** By name; a package that is installed in several versions has several. */
function installedFolders(): Map<string, string[]> {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, unknown>
  }
  const folders = new Map<string, string[]>()
  for (const path of Object.keys(packages)) {
    const name = path.split('node_modules/').at(-1) ?? ''
    if (name === '' || !existsSync(join(root, path, 'package.json'))) continue
    folders.set(name, [...(folders.get(name) ?? []), join(root, path)])
  }
  return folders
}

function read(folder: string, tarball: Uint8Array): Packed {
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    version: string
  }
  return { version: manifest.version, manifest, tarball }
}

function pack(folder: string): Uint8Array {
  const args = ['-czf', '-', '--hard-dereference', '--exclude=node_modules']
  return execFileSync('tar', [...args, '-C', dirname(folder), basename(folder)], {
    maxBuffer: 256 << 20,
  })
}

function packument(name: string, versions: readonly Packed[], url: string): object {
  return {
    name,
    'dist-tags': { latest: versions[0]?.version },
    versions: Object.fromEntries(
      versions.map(({ version, manifest, tarball }) => {
        const dist = {
          tarball: `${url}/${name}/-/${version}.tgz`,
          integrity: `sha512-${createHash('sha512').update(tarball).digest('base64')}`,
          shasum: createHash('sha1').update(tarball).digest('hex'),
        }
        return [version, { ...manifest, dist }]
      }),
    ),
  }
}
