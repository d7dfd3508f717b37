/** Trust as people make it: ask, see it pending, approve; ask at the same time; end it. */
import { type Checks, eventually, expectEqual, seconds } from './checks.ts'
import type { LiveNode } from './live-node.ts'
import { pingOnce } from './traffic-checks.ts'

/** What goes through the registry is seen at the next heartbeat of the other side, both ways. */
const RELAY_MS = 12_000

export async function establish(checks: Checks, from: LiveNode, to: LiveNode): Promise<void> {
  const way = `${from.name}>${to.name}`
  await checks.require(`handshake, pending ${way}`, async () => {
    const justification = `interop of ${from.name}`
    // Private nodes cannot be found by name before there is trust.
    const target = from.isPublic && to.isPublic ? to.hostname : `${to.nodeId}`
    const { node_id } = await from.ctl(['handshake', target, justification])
    expectEqual(node_id, to.nodeId, 'node_id')
    const started = performance.now()
    await eventually(RELAY_MS, `${from.name} pending at ${to.name}`, async () =>
      (await to.pending()).includes(from.nodeId),
    )
    const { pending } = await to.ctl(['pending'])
    expectEqual(pending[0].justification, justification, 'justification')
    expectEqual((await to.trusted()).includes(from.nodeId), false, 'trusted before approval')
    return `pending after ${seconds(performance.now() - started)}`
  })
  await checks.require(`approve, trust ${way}`, async () => {
    await to.ctl(['approve', `${from.nodeId}`])
    const started = performance.now()
    await mutual(from, to)
    expectEqual((await to.pending()).includes(from.nodeId), false, 'still pending')
    return `both sides after ${seconds(performance.now() - started)}`
  })
}

/** `from` asks and is refused: nothing waits any more, nobody trusts, and it may ask again. */
export async function refuse(checks: Checks, from: LiveNode, to: LiveNode): Promise<void> {
  await checks.check(`reject ${from.name}>${to.name}`, async () => {
    await from.ctl(['handshake', `${to.nodeId}`, 'to be refused'])
    await eventually(RELAY_MS, `${from.name} pending at ${to.name}`, async () =>
      (await to.pending()).includes(from.nodeId),
    )
    // G1 dials who it refuses before it answers: up to 39 s (spec/06 §5.2).
    await to.ctl(['reject', `${from.nodeId}`, 'not now'], 45_000)
    expectEqual((await to.pending()).includes(from.nodeId), false, 'still pending')
    expectEqual((await to.trusted()).includes(from.nodeId), false, `trusted at ${to.name}`)
    expectEqual((await from.trusted()).includes(to.nodeId), false, `trusted at ${from.name}`)
    return undefined
  })
}

/** Both ask, neither approves. */
export async function establishCrossing(checks: Checks, a: LiveNode, b: LiveNode): Promise<void> {
  await checks.require(`handshake crossing ${a.name}x${b.name}`, async () => {
    await Promise.all([
      a.ctl(['handshake', `${b.nodeId}`, 'crossing']),
      b.ctl(['handshake', `${a.nodeId}`, 'crossing']),
    ])
    const started = performance.now()
    await mutual(a, b)
    return `both sides after ${seconds(performance.now() - started)}`
  })
}

export async function end(checks: Checks, from: LiveNode, to: LiveNode): Promise<void> {
  await checks.check(`untrust ${from.name}>${to.name}`, async () => {
    await from.ctl(['untrust', `${to.nodeId}`])
    expectEqual((await from.trusted()).includes(to.nodeId), false, `trusted at ${from.name}`)
    const started = performance.now()
    await eventually(
      RELAY_MS,
      `${to.name} learns it`,
      async () => !(await to.trusted()).includes(from.nodeId),
    )
    return `known at ${to.name} after ${seconds(performance.now() - started)}`
  })
  // Base has no gate of its own (spec/03 D.6); the others drop what comes from strangers.
  if (!from.isPublic && from.kind !== 'G1')
    await checks.check(`refused after untrust ${to.name}>${from.name}`, async () => {
      const isReached = await pingOnce(to, from).catch(() => false)
      expectEqual(isReached, false, 'ping answered')
    })
}

async function mutual(a: LiveNode, b: LiveNode): Promise<void> {
  await eventually(RELAY_MS, `${a.name} trusts ${b.name}`, async () =>
    (await a.trusted()).includes(b.nodeId),
  )
  await eventually(RELAY_MS, `${b.name} trusts ${a.name}`, async () =>
    (await b.trusted()).includes(a.nodeId),
  )
}
