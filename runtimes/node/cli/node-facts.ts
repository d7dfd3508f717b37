/** What is known about a node before it is spoken to, and what that makes of a failure (spec/08 §9). */
import type { DaemonClient } from '../ipc/client.ts'
import { askRegistry } from './registry-request.ts'

const LOOKUP_MS = 2000

export interface NodeFacts {
  /** `undefined` where the daemon does not tell; so for the others. */
  readonly isSelf: boolean | undefined
  readonly isTrusted: boolean | undefined
  /** Our request for trust waits for an answer over there. */
  readonly isAsked: boolean
  readonly isPublic: boolean | undefined
  readonly isRegistered: boolean | undefined
  readonly isRegistryReachable: boolean | undefined
  /** Id of the daemon's own node. */
  readonly ownId: number | undefined
}

export const NO_FACTS: NodeFacts = {
  isSelf: undefined,
  isTrusted: undefined,
  isAsked: false,
  isPublic: undefined,
  isRegistered: undefined,
  isRegistryReachable: undefined,
  ownId: undefined,
}

/** Asks the daemon, and the registry about nodes that are not trusted. Never rejects. */
export async function nodeFacts(
  daemon: DaemonClient,
  nodeId: number,
  known: { readonly isPublic?: boolean | undefined } = {},
): Promise<NodeFacts> {
  try {
    const info = await daemon.info()
    const ownId = typeof info.node_id === 'number' ? info.node_id : undefined
    const { trusted } = await daemon.requestJson({ type: 'trust-list' })
    const isTrusted = Array.isArray(trusted) && names(trusted, nodeId)
    const isRegistryReachable =
      typeof info.registry_reachable === 'boolean' ? info.registry_reachable : undefined
    const facts = {
      ...NO_FACTS,
      isSelf: ownId === nodeId,
      isTrusted,
      isAsked: Array.isArray(info.handshake_outgoing) && names(info.handshake_outgoing, nodeId),
      isPublic: known.isPublic,
      isRegistryReachable,
      ownId,
    }
    if (isTrusted || facts.isSelf || known.isPublic !== undefined) return facts
    if (typeof info.registry !== 'string' || isRegistryReachable === false) return facts
    return { ...facts, ...(await lookUp(info.registry, nodeId)) }
  } catch {
    return NO_FACTS
  }
}

/** A dial will most likely go unanswered: private nodes are silent to strangers. */
export function isHopeless({ isTrusted, isAsked, isPublic }: NodeFacts): boolean {
  return isTrusted === false && (isAsked || isPublic === false)
}

async function lookUp(registry: string, nodeId: number): Promise<Partial<NodeFacts>> {
  try {
    const reply = await askRegistry(registry, { type: 'lookup', node_id: nodeId }, LOOKUP_MS)
    if (typeof reply.public === 'boolean') return { isPublic: reply.public, isRegistered: true }
    // A registry that masks its reasons says nothing we could use.
    return /not found/.test(`${reply.error}`) ? { isRegistered: false } : {}
  } catch {
    return {} // e.g. one that speaks TLS
  }
}

function names(list: readonly unknown[], nodeId: number): boolean {
  return list.some((one) => (one as { node_id?: unknown } | null)?.node_id === nodeId)
}
