/** What a pilotctl asks of its own daemon: above all the unmodified reference's of ours. */
import { type Checks, eventually, expectEqual } from './checks.ts'
import type { Json, LiveNode } from './live-node.ts'

/** `node` and `peer` trust each other and have talked. */
export async function commands(checks: Checks, node: LiveNode, peer: LiveNode): Promise<void> {
  await checks.check(`connections, peers ${node.name}`, () => lists(node, peer))
  await checks.check(`traceroute ${node.name}>${peer.name}`, () => traceroute(node, peer))
  await checks.check(`lookup, tags ${node.name}`, () => tags(node))
  await checks.check(`set-hostname ${node.name}`, () => rename(node, peer))
  await checks.check(`set-public, set-private ${node.name}`, () => visibility(node))
  await checks.check(`daemon status ${node.name}`, () => status(node))
  await checks.check(`refusals ${node.name}`, () => refusals(node))
}

async function lists(node: LiveNode, peer: LiveNode): Promise<string> {
  const { connections, total } = await node.ctl(['connections'])
  expectEqual(connections?.length, total, 'total')
  for (const one of connections ?? [])
    for (const key of ['id', 'local_port', 'remote_port', 'bytes_sent', 'bytes_recv', 'recv_win'])
      expectEqual(typeof one[key], 'number', `connections: ${key}`)
  const { peers } = await node.ctl(['peers', '--search', `${peer.nodeId}`])
  expectEqual(
    peers?.some((one: Json) => one.node_id === peer.nodeId),
    true,
    'peer found',
  )
  const none = await node.ctl(['peers', '--search', 'no such peer'])
  expectEqual(none.peers?.length ?? 0, 0, 'peers of a senseless search')
  return `${total} connections`
}

async function traceroute(node: LiveNode, peer: LiveNode): Promise<string> {
  const data = await node.ctl(['traceroute', peer.address, '--timeout', '10s'])
  expectEqual(data.error, undefined, 'error')
  expectEqual(data.rtt_samples?.length, 3, 'samples')
  return `opened in ${data.setup_ms.toFixed(1)} ms`
}

async function tags(node: LiveNode): Promise<undefined> {
  expectEqual((await node.ctl(['set-tags', 'alpha', 'beta'])).tags.join(), 'alpha,beta', 'set')
  const found = await node.ctl(['lookup', `${node.nodeId}`])
  expectEqual(found.tags?.join(), 'alpha,beta', 'tags looked up')
  expectEqual(found.public_key, (await node.ctl(['info'])).public_key, 'public key')
  await node.ctl(['clear-tags'])
  const cleared = await node.ctl(['lookup', `${node.nodeId}`])
  expectEqual(cleared.tags?.length ?? 0, 0, 'tags after clear-tags')
}

async function rename(node: LiveNode, peer: LiveNode): Promise<undefined> {
  await node.ctl(['set-hostname', 'nickname'])
  expectEqual((await peer.ctl(['find', 'nickname'])).address, node.address, 'address found')
  expectEqual((await node.ctl(['info'])).hostname, 'nickname', 'hostname in info')
  await node.ctl(['clear-hostname'])
  expectEqual((await peer.run(['find', 'nickname'])).code, 1, 'exit code of find, name cleared')
  await node.ctl(['set-hostname', node.hostname])
  expectEqual((await peer.ctl(['find', node.hostname])).address, node.address, 'own name again')
}

async function visibility(node: LiveNode): Promise<undefined> {
  for (const word of node.isPublic ? ['private', 'public'] : ['public', 'private']) {
    expectEqual((await node.ctl([`set-${word}`])).visibility, word, 'visibility')
    const found = await node.ctl(['lookup', `${node.nodeId}`])
    expectEqual(found.public, word === 'public', 'public, looked up')
  }
}

async function status(node: LiveNode): Promise<undefined> {
  const data = await node.ctl(['daemon', 'status'])
  expectEqual(data.responsive, true, 'responsive')
  expectEqual(data.node_id, node.nodeId, 'node_id')
  expectEqual((await node.run(['daemon', 'status', '--check'])).code, 0, 'exit code of --check')
}

/** Errors keep their envelope: standard error, exit code 1, a code scripts know. */
async function refusals(node: LiveNode): Promise<undefined> {
  for (const [args, code] of [
    [['find', 'nobody-here'], 'not_found'],
    [['ping', 'nobody-here'], 'not_found'],
    // Ours looks first and says which it is.
    [['untrust', '4000000'], node.drivenBy === 'ours' ? 'not_found' : 'connection_failed'],
    [['send-file', node.hostname, '/no/such/file'], 'not_found'],
  ] as const) {
    const { code: exit, stdout, stderr } = await node.run(args)
    expectEqual(exit, 1, `exit code of ${args[0]}`)
    expectEqual(stdout, '', `standard output of ${args[0]}`)
    const envelope = JSON.parse(stderr)
    expectEqual(envelope.status, 'error', `status of ${args[0]}`)
    expectEqual(envelope.code, code, `code of ${args[0]}`)
  }
}

/** `from` is driven by our pilotctl, the only one that sends datagrams. */
export function datagram(checks: Checks, from: LiveNode, to: LiveNode): Promise<boolean> {
  return checks.check(`dgram+listen ${from.name}>${to.name}`, async () => {
    const text = `datagram of ${from.name}`
    let isOver = false
    const listening = to
      .ctl(['listen', '6000', '--count', '1', '--timeout', '12s'], 20_000)
      .finally(() => {
        isOver = true
      })
    listening.catch(() => {}) // reported below
    // Datagrams for a port that nobody has bound yet are lost.
    await eventually(12_000, 'a datagram arrives', async () => {
      if (!isOver) await from.ctl(['dgram', to.hostname, '6000', '--data', text])
      return isOver
    })
    const { messages } = await listening
    expectEqual(messages?.[0]?.data, text, 'data')
    expectEqual(messages?.[0]?.src_addr, from.address, 'src_addr')
    return undefined
  })
}
