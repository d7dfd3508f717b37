/** The secure channel (443) of ours through any two daemons: with proofs of identity, and plain in both versions. */
import { join } from 'node:path'
import type { Identity } from '../../core/index.ts'
import { acceptSecure, dialSecure, loadIdentity } from '../../runtimes/node/index.ts'
import type { DaemonListener } from '../../runtimes/node/ipc/client-listener.ts'
import type {
  SecureConnection,
  SecureOptions,
} from '../../runtimes/shared/services/secure-connection.ts'
import { type Checks, eventually, expectEqual } from './checks.ts'
import { borrow, DaemonNode } from './daemon-node.ts'
import type { LiveNode } from './live-node.ts'

const PORT = 443
const BYTES = 200_000
const PIECE_BYTES = 10_000

interface Case {
  readonly name: string
  readonly dials: SecureOptions
  readonly accepts: SecureOptions
  /** Version, and whether both sides are proven. */
  readonly opens: string
}

/** `from` dials, `to` accepts. */
export async function secure(checks: Checks, from: LiveNode, to: LiveNode): Promise<void> {
  const way = `${from.name}>${to.name}`
  const [own, other] = await Promise.all([identityOf(from), identityOf(to)])
  const cases: readonly Case[] = [
    {
      name: 'proven',
      dials: { identity: own, requireAuthentication: true },
      accepts: { identity: other, requireAuthentication: true },
      opens: 'v2 proven',
    },
    { name: 'v2', dials: { mode: 'v2' }, accepts: {}, opens: 'v2 plain' },
    { name: 'v1', dials: { mode: 'v1' }, accepts: { identity: other }, opens: 'v1 plain' },
    { name: 'v1 found out', dials: { identity: own }, accepts: { mode: 'v1' }, opens: 'v1 plain' },
  ]
  for (const { name, dials, accepts, opens } of cases)
    await checks.check(`secure channel, ${name} ${way}`, async () => {
      await using near = await daemonNode(from)
      await using far = await daemonNode(to)
      // References let go of a port when the program before has gone, a moment later.
      const listener = await eventually(3000, `port ${PORT} of ${to.name}`, () => far.listen(PORT))
      const stop = echoSecure(far, listener, accepts)
      try {
        const channel = await dialSecure(near.node, { address: addressOf(to) }, dials)
        await roundTrip(channel)
        expectEqual(describe(channel), opens, 'channel')
        return opens
      } finally {
        stop()
      }
    })
}

export function daemonNode(node: LiveNode): Promise<DaemonNode> {
  return DaemonNode.connect(node.socketPath, node.nodeId, async (id) => {
    const { public_key } = await node.ctl(['lookup', `${id}`])
    return public_key
  })
}

export function identityOf(node: LiveNode): Promise<Identity> {
  return loadIdentity(join(node.home, '.pilot', 'identity.json'))
}

export function addressOf(node: LiveNode): { readonly network: number; readonly node: number } {
  return { network: 0, node: node.nodeId }
}

/** Echoes on every channel accepted at `listener`. Gives back what ends it. */
export function echoSecure(
  node: DaemonNode,
  listener: DaemonListener,
  options: SecureOptions,
): () => void {
  const echo = async (channel: SecureConnection): Promise<void> => {
    for (let data = await channel.read(); data !== undefined; data = await channel.read())
      await channel.write(data)
  }
  void (async () => {
    for await (const connection of listener)
      echo(acceptSecure(node.node, borrow(connection), options)).catch(() => {})
  })()
  return () => listener.close()
}

/** Bytes there and back on an echo, then the end. @throws {Error} other bytes, or too few. */
export async function roundTrip(channel: SecureConnection): Promise<void> {
  const sent = Uint8Array.from({ length: BYTES }, (_, i) => (i * 31 + 7) & 255)
  const writing = (async () => {
    for (let at = 0; at < sent.length; at += PIECE_BYTES)
      await channel.write(sent.subarray(at, at + PIECE_BYTES))
  })()
  writing.catch(() => {}) // reported below
  const got: Uint8Array[] = []
  for (let bytes = 0; bytes < BYTES; ) {
    const data = await channel.read()
    if (data === undefined) throw new Error(`the channel ended after ${bytes} bytes`)
    got.push(data)
    bytes += data.length
  }
  await writing
  expectEqual(Buffer.concat(got).equals(sent), true, 'same bytes')
  await channel.close()
}

export function describe({ info }: SecureConnection): string {
  return `${info?.version} ${info?.isAuthenticated === true ? 'proven' : 'plain'}`
}
