/** Serves the page `tab.html`, and runs the node it talks to. Run: `npm run build && node examples/tab.ts`. */
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { createNode } from 'pilot-ts/node'
import { createRendezvous } from 'pilot-ts/signaling'

/** A part of the package as one file: what any bundler does. */
async function bundle(name: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(import.meta.resolve(name))],
    bundle: true,
    write: false,
    format: 'esm',
  })
  return outputFiles[0]?.text ?? ''
}

const rendezvous = await createRendezvous({
  registryAddress: '127.0.0.1:0',
  beaconAddress: '127.0.0.1:0',
  httpAddress: '127.0.0.1:8081',
})
const echo = await createNode({
  registry: `127.0.0.1:${rendezvous.registryEndpoint.port}`,
  beacon: `127.0.0.1:${rendezvous.beaconEndpoint.port}`,
  hostname: 'echo',
  isPublic: true,
})
echo.listen(7).onconnection = (connection) => {
  connection.readable.pipeTo(connection.writable).catch(() => {}) // a tab that was closed
}

const page = await readFile(new URL('tab.html', import.meta.url), 'utf8')
const files = new Map([
  ['/', { type: 'text/html', body: page }],
  ['/pilot.js', { type: 'text/javascript', body: await bundle('pilot-ts/browser') }],
  ['/worker.js', { type: 'text/javascript', body: await bundle('pilot-ts/browser/worker') }],
])
createServer((request, response) => {
  const file = files.get(request.url ?? '')
  response.writeHead(file === undefined ? 404 : 200, { 'content-type': file?.type ?? 'text/plain' })
  response.end(file?.body ?? 'not here')
}).listen(8080, '127.0.0.1', () => console.log('open http://127.0.0.1:8080/'))
