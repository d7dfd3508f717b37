/** One datagram for every other member of a network (spec/07 §11): unordered, unacknowledged, each on its own. */
import { NetworkError, PilotError, SecurityError, UsageError } from '../../../core/errors.ts'
import type { CallOptions, PilotNode, RegistryReply } from '../api.ts'

export interface Broadcast {
  /** 1 to 65535; 0, which is everybody, only with an admin token. */
  readonly network: number
  readonly port: number
  readonly data: Uint8Array
}

export interface BroadcastOptions extends CallOptions {
  /** The registry's: then membership is not asked for, and network 0 is allowed. */
  readonly adminToken?: string
}

/** Members that one call reaches at most. */
const MEMBERS_MAX = 4096
const PAGES_MAX = 8

/**
 * Queues the datagram for each member and returns how many that were; those that cannot be reached are told apart by
 * nobody.
 *
 * @throws {PilotError} `ERR_INVALID_ARGUMENT` for network 0 or the size, `ERR_NOT_TRUSTED` for a network that this node
 * is not in, `ERR_REGISTRY`, `ERR_REGISTRY_UNAVAILABLE`.
 */
export async function broadcastDatagram(
  node: PilotNode,
  { network, port, data }: Broadcast,
  options: BroadcastOptions = {},
): Promise<number> {
  const { adminToken = '', signal } = options
  if (network === 0 && adminToken === '')
    throw new UsageError('ERR_INVALID_ARGUMENT', 'broadcast on backbone network is not permitted')
  const members = await membersOf(node, network, adminToken, signal)
  if (adminToken === '' && !members.has(node.nodeId))
    throw new SecurityError(
      'ERR_NOT_TRUSTED',
      `broadcast denied: node ${node.nodeId} is not a member of network ${network}`,
    )
  let queued = 0
  for (const member of members) {
    if (member === node.nodeId) continue
    try {
      node.sendDatagram({ address: { network, node: member }, port }, data)
      queued++
    } catch (error) {
      // A full queue of one peer does not concern the others; a wrong size does.
      if (!(error instanceof PilotError) || error.code !== 'ERR_LIMIT') throw error
    }
  }
  return queued
}

async function membersOf(
  node: PilotNode,
  network: number,
  adminToken: string,
  signal: AbortSignal | undefined,
): Promise<Set<number>> {
  const members = new Set<number>()
  let after = 0
  for (let page = 0; page < PAGES_MAX; page++) {
    const reply = await node.registry.request(
      {
        type: 'list_nodes',
        network_id: network,
        ...(after === 0 ? {} : { after }),
        ...(adminToken === '' ? {} : { admin_token: adminToken }),
      },
      signal === undefined ? {} : { signal },
    )
    for (const id of nodeIds(reply)) {
      if (members.size >= MEMBERS_MAX) return members
      members.add(id)
      after = Math.max(after, id)
    }
    if (reply.truncated !== true) return members
  }
  return members
}

function nodeIds({ nodes }: RegistryReply): number[] {
  if (nodes === null || nodes === undefined) return []
  if (!Array.isArray(nodes)) throw new NetworkError('ERR_REGISTRY', 'the registry named no members')
  return nodes
    .map((one: { node_id?: unknown } | null) => one?.node_id)
    .filter((id): id is number => Number.isInteger(id) && Number(id) > 0)
}
