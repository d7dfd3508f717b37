/** `pilot-rendezvous` on another runtime: nodes by UDP and by WebSocket, and state that outlives a restart. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { Identity } from '../../core/index.ts'
import { createNode, nodeCrypto } from '../../runtimes/node/index.ts'
import { AsyncStream } from '../../runtimes/shared/services/async-stream.ts'
import { serveEcho } from '../../runtimes/shared/services/echo.ts'
import { bytesFrom, check, equal, generated, hashOf, within } from './tools.ts'

const START_MS = 15_000
const PROGRAM = join(import.meta.dirname, '../../signaling/bin/pilot-rendezvous.ts')

export async function rendezvousScenario(
  command: readonly [string, ...string[]],
  home: string,
): Promise<void> {
  const identity = Identity.generate(nodeCrypto)
  const store = join(home, 'rendezvous.db')
  let nodeId = 0
  for (const life of ['first', 'second']) {
    const { child, registry, beacon, rendezvousUrl } = await start(command, store)
    try {
      const place = { registry, beacon, listen: '127.0.0.1:0', isPublic: true }
      const direct = await createNode({ ...place, identity })
      const relayed = await createNode({ transport: 'compat', rendezvousUrl, isPublic: true })
      if (life === 'first') nodeId = direct.nodeId
      equal(direct.nodeId, nodeId, `node id in the ${life} life`)
      direct.listen(7).onconnection = serveEcho
      const connection = await relayed.dial({ address: direct.address, port: 7 })
      const stream = new AsyncStream(connection)
      const data = generated(1 << 20)
      const [got] = await Promise.all([bytesFrom(stream, data.length), stream.write(data)])
      equal(hashOf(got), hashOf(data), 'what came back through the relay')
      equal(direct.info().beacon, 'answering', 'beacon')
      const health = await fetch(`${rendezvousUrl}/healthz`)
      check(health.ok, 'HTTP answers')
      connection.close()
      await Promise.all([direct.close(), relayed.close()])
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      const [code] = await within(START_MS, 'a clean stop', ended)
      equal(code, 0, 'exit code')
    } finally {
      child.kill('SIGKILL')
    }
  }
}

/** `begin` starts a node with options, and gives what it printed. */
export async function pinnedScenario(begin: (options: object) => Promise<string>): Promise<void> {
  const { child, registry, fingerprint } = await start([process.execPath], ':memory:', ['-tls'])
  try {
    const place = { registry, beacon: false, listen: '127.0.0.1:0', registrationTimeoutMs: 4000 }
    equal(await begin({ ...place, registryFingerprint: fingerprint }), 'started', 'its own')
    const foreign = await begin({ ...place, registryFingerprint: 'ab'.repeat(32) })
    check(foreign.startsWith('ERR_REGISTRY_UNAVAILABLE '), `another is refused, got ${foreign}`)
  } finally {
    child.kill('SIGKILL')
  }
}

interface Running {
  /** `''` without TLS. */
  readonly fingerprint: string
  readonly child: ChildProcess
  readonly registry: string
  readonly beacon: string
  readonly rendezvousUrl: string
}

async function start(
  [command, ...args]: readonly [string, ...string[]],
  store: string,
  more: readonly string[] = [],
): Promise<Running> {
  const any = '127.0.0.1:0'
  const flags = ['-registry-addr', any, '-beacon-addr', any, '-http', any, '-store', store, ...more]
  const child = spawn(command, [...args, PROGRAM, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  const told = new Promise<Running>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (piece: Buffer) => {
        text += piece.toString()
        const [registry, beacon, rendezvousUrl] = [
          /tcp=(\S+)/.exec(text)?.[1],
          /udp=(\S+)/.exec(text)?.[1],
          /status page url=(\S+)/.exec(text)?.[1],
        ]
        if (registry !== undefined && beacon !== undefined && rendezvousUrl !== undefined) {
          const fingerprint = /fingerprint=(\S+)/.exec(text)?.[1] ?? ''
          resolve({ child, registry, beacon, rendezvousUrl, fingerprint })
        }
      })
    child.once('exit', (code) => reject(new Error(`ended with ${code}: ${text}`)))
    child.once('error', reject)
  })
  try {
    return await within(START_MS, 'start', told)
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  }
}
