/** Nodes and the rendezvous that die or stop, and come back: same address, trust kept, traffic again. */
import { type Checks, eventually, expectEqual, seconds } from './checks.ts'
import type { LiveNode } from './live-node.ts'
import type { LiveRendezvous } from './live-rendezvous.ts'
import { message, pingOnce } from './traffic-checks.ts'

/** From the start of the new process to traffic in both directions. */
const BACK_MS = 15_000

export async function restartNode(
  checks: Checks,
  node: LiveNode,
  peer: LiveNode,
  signal: 'SIGKILL' | 'SIGTERM',
): Promise<void> {
  const word = signal === 'SIGKILL' ? 'SIGKILL' : 'clean'
  await checks.check(`restart ${word} ${node.name} (${node.kind})`, async () => {
    const { nodeId, address } = node
    const stopMs = await node.stop(signal)
    const started = performance.now()
    const startMs = await node.start()
    expectEqual(node.nodeId, nodeId, 'node id')
    expectEqual(node.address, address, 'address')
    expectEqual((await node.trusted()).includes(peer.nodeId), true, 'trust after the restart')
    const back = await trafficAgain(node, peer, started)
    await message(node, peer)
    await message(peer, node)
    return `${signal === 'SIGTERM' ? `stop ${seconds(stopMs)}, ` : ''}ready ${seconds(startMs)}, ${back}`
  })
}

export async function restartRendezvous(
  checks: Checks,
  rendezvous: LiveRendezvous,
  a: LiveNode,
  b: LiveNode,
): Promise<void> {
  await checks.check('restart SIGKILL rendezvous', async () => {
    const before = await Promise.all([lookup(a, b), lookup(b, a)])
    await rendezvous.stop('SIGKILL')
    const started = performance.now()
    await rendezvous.start()
    const after = await eventually(BACK_MS, 'lookup after the restart', () =>
      Promise.all([lookup(a, b), lookup(b, a)]),
    )
    expectEqual(JSON.stringify(after), JSON.stringify(before), 'records')
    await eventually(BACK_MS, `find ${a.hostname}`, async () => {
      expectEqual((await b.ctl(['find', a.hostname])).address, a.address, 'address')
      return true
    })
    await eventually(BACK_MS, `find ${b.hostname}`, async () => {
      expectEqual((await a.ctl(['find', b.hostname])).address, b.address, 'address')
      return true
    })
    const foundMs = performance.now() - started
    const back = await trafficAgain(a, b, started)
    return `found again ${seconds(foundMs)}, ${back}`
  })
  // Now the peer's endpoint has to come from the registry, and private ones only with the stored trust.
  await restartNode(checks, b, a, 'SIGKILL')
}

/** Pings both ways until they pass, at most until `BACK_MS` after `started`. */
async function trafficAgain(a: LiveNode, b: LiveNode, started: number): Promise<string> {
  const left = (): number => Math.max(0, BACK_MS - (performance.now() - started))
  const until = async (from: LiveNode, to: LiveNode): Promise<string> => {
    await eventually(left(), `ping ${from.name}>${to.name} again`, () => pingOnce(from, to))
    return `${from.name}>${to.name} ${seconds(performance.now() - started)}`
  }
  return (await Promise.all([until(a, b), until(b, a)])).join(', ')
}

async function lookup(from: LiveNode, of: LiveNode): Promise<Record<string, unknown>> {
  const {
    node_id,
    address,
    hostname,
    public: isPublic,
    public_key,
  } = await from.ctl(['lookup', `${of.nodeId}`])
  return { node_id, address, hostname, isPublic, public_key }
}
