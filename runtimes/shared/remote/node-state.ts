/** What a node's synchronous getters tell, as plain data: taken where the node lives, read where it is used. */
import type { Address } from '../../../core/index.ts'
import type {
  ConnectionInfo,
  NodeInfo,
  OutgoingPeer,
  PeerInfo,
  PendingPeer,
  PilotNode,
  TrustedPeer,
} from '../api.ts'

export interface NodeState {
  readonly self: {
    readonly nodeId: number
    readonly address: Address
    readonly publicKey: Uint8Array
    readonly hostname: string
    readonly isPublic: boolean
  }
  readonly registry: { readonly endpoint: string; readonly isReachable: boolean }
  readonly trust: {
    readonly pending: readonly PendingPeer[]
    readonly trusted: readonly TrustedPeer[]
    readonly outgoing: readonly OutgoingPeer[]
  }
  readonly info: NodeInfo
  readonly peers: readonly PeerInfo[]
  readonly connections: readonly ConnectionInfo[]
  /** Bound by other users of the node. */
  readonly ports: readonly number[]
}

export type StatePart = keyof NodeState

/** Some parts, and single connections that are new or changed. */
export interface StateUpdate extends Partial<NodeState> {
  readonly connection?: ConnectionInfo
}

export const ALL_PARTS: readonly StatePart[] = [
  'self',
  'registry',
  'trust',
  'info',
  'peers',
  'connections',
  'ports',
]

export function takeState(
  node: PilotNode,
  ports: Iterable<number>,
  parts: readonly StatePart[],
): Partial<NodeState> {
  const take: { [P in StatePart]: () => NodeState[P] } = {
    self: () => ({
      nodeId: node.nodeId,
      address: node.address,
      publicKey: node.publicKey,
      hostname: node.hostname,
      isPublic: node.isPublic,
    }),
    registry: () => ({
      endpoint: node.registry.endpoint,
      isReachable: node.registry.isReachable,
    }),
    trust: () => ({
      pending: node.trust.pending(),
      trusted: node.trust.trusted(),
      outgoing: node.trust.outgoing(),
    }),
    info: () => node.info(),
    peers: () => node.peers(),
    connections: () => node.connections(),
    ports: () => [...ports],
  }
  return Object.fromEntries(parts.map((part) => [part, take[part]()]))
}

export function isCompleteState(state: StateUpdate): state is NodeState {
  return ALL_PARTS.every((part) => state[part] !== undefined)
}

export function applyUpdate(state: NodeState, { connection, ...parts }: StateUpdate): NodeState {
  const next = { ...state, ...parts }
  if (connection === undefined) return next
  const others = next.connections.filter(({ id }) => id !== connection.id)
  return { ...next, connections: [...others, connection].sort((a, b) => a.id - b.id) }
}
