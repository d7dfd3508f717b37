/** `register` (spec/04 §8.1): who gets which id, and which unsigned registration may move a node. */
import { type Address, formatAddress } from '../core/wire/address.ts'
import { registerChallenge } from '../core/wire/registry-challenge.ts'
import type { RegistryMessage } from '../core/wire/registry-message.ts'
import { OWNER_BYTES_MAX, STALE_AFTER_MS } from './limits.ts'
import type { NodeRecord, NodeTable } from './node-table.ts'
import { registrationExtras, sameExtras } from './registration-extras.ts'
import { Refusal, type RegistryDesk, type RegistryRequest, refuse } from './registry-desk.ts'
import {
  booleanField,
  cutBytes,
  type PublicKey,
  parsePublicKey,
  quoted,
  registeredEndpoint,
  stringField,
} from './request-fields.ts'
import { hostnameProblem } from './validation.ts'

export function register(desk: RegistryDesk, request: RegistryRequest): RegistryMessage {
  const { message, connection, now } = request
  const keyText = stringField(message, 'public_key')
  const known = desk.nodes.byKey(keyText)
  // Every attempt costs a token, a known key passes without one (spec/04 §13).
  if (!desk.registrations.take(connection.rateKey, now.at) && known === undefined)
    return refuse(`rate limited: too many registrations from ${connection.source.address}`)
  if (keyText === '') return refuse('registration requires public_key')
  const key = parsePublicKey(keyText)
  if (key === undefined) return refuse('invalid public key: need base64 of 32 bytes')

  const listenAddr = stringField(message, 'listen_addr')
  const isSigned = stringField(message, 'signature') !== ''
  if (isSigned) {
    const refusal = desk.verify(request, key.bytes, registerChallenge(listenAddr, keyText))
    if (refusal !== undefined) return refusal.reply
  }

  const hostname = stringField(message, 'hostname')
  const hostnameError = hostname === '' ? undefined : hostnameProblem(hostname)
  const wanted = hostnameError === undefined ? hostname : ''
  const endpoint = registeredEndpoint(listenAddr, connection.source)
  const relayOnly = booleanField(message, 'relay_only')
  const owner = cutBytes(stringField(message, 'owner'), OWNER_BYTES_MAX)

  const extras = registrationExtras(message)
  if (known !== undefined && needsProof(known, request, relayOnly, isSigned)) {
    connection.holdRegistration(known.id, { endpoint, relayOnly, hostname: wanted, extras })
    return answer(known, keyText, undefined, hostnameError)
  }
  const placed = place(desk, request, { known, key, owner, endpoint, relayOnly, isSigned })
  if (placed instanceof Refusal) return placed.reply
  const extended = sameExtras(placed, extras) ? placed : desk.nodes.change(placed, extras)
  const node = wanted === '' ? extended : claimHostname(desk, extended, wanted)
  desk.networks.comeBack(node.id)
  const isKnown = known !== undefined
  desk.audit.add(isKnown ? 'node.re_registered' : 'node.registered', now.unixSeconds, {
    node: node.id,
  })
  return answer(
    node,
    keyText,
    wanted !== '' && node.hostname === wanted ? wanted : undefined,
    hostnameError ?? takenError(node, wanted),
  )
}

/** The base profile says nothing here (spec/05 §1.2). */
function takenError(node: NodeRecord, wanted: string): string | undefined {
  return wanted === '' || node.hostname === wanted
    ? undefined
    : `hostname ${quoted(wanted)} already in use`
}

/**
 * Deviation (spec/04 §22 W3, 05 §24 L11): a node that authenticated lately is moved to another address, or to
 * and from a relay, only after this connection has proven its key, since a registration, signed or not, can be made by anyone who
 * saw one. Real daemons prove themselves with their next request.
 */
function needsProof(
  node: NodeRecord,
  { connection, now }: RegistryRequest,
  relayOnly: boolean,
  isSigned: boolean,
): boolean {
  if (!node.isLive || connection.hasProven(node)) return false
  // A key that has signed once: from then on an unsigned registration counts when the key proves itself,
  // wherever it comes from. (Not refused: the identity may have moved to a daemon that never signs.)
  if (!isSigned && node.signsRegistration) return true
  return (
    node.authenticatedAt !== undefined &&
    now.at - node.authenticatedAt < STALE_AFTER_MS &&
    (node.sourceIp !== connection.source.address || node.relayOnly !== relayOnly)
  )
}

interface Registration {
  readonly known: NodeRecord | undefined
  readonly key: PublicKey
  readonly owner: string
  readonly endpoint: string
  /** Reached through a beacon only (spec/05 §5.1). */
  readonly relayOnly: boolean
  readonly isSigned: boolean
}

function place(
  desk: RegistryDesk,
  { connection, now }: RegistryRequest,
  { known, key, owner, endpoint, relayOnly, isSigned }: Registration,
): NodeRecord | Refusal {
  const { nodes } = desk
  if (known !== undefined) {
    let node = known
    if (!node.isLive) node = nodes.revive(node, endpoint, now.at)
    else if (node.endpoint !== endpoint) node = nodes.change(node, { endpoint })
    if (node.relayOnly !== relayOnly) node = nodes.change(node, { relayOnly })
    node.lastSeenAt = now.at
    // Deviation (W1): an owner is believed when the record is made, later only from who has the key.
    if (node.owner === '' && owner !== '' && (isSigned || connection.hasProven(node)))
      node = nodes.change(node, { owner })
    if (isSigned && !node.signsRegistration) node = nodes.change(node, { signsRegistration: true })
    return node
  }
  // Deviation (W1): the owner text never moves the id of a live node, and of an offline one only if the
  // operator allows it; the id's old key is forgotten then (W2).
  const recovered =
    desk.options.allowOwnerRecovery === true && owner !== '' ? nodes.byOwner(owner) : undefined
  if (recovered !== undefined && !recovered.isLive) {
    const rekeyed = nodes.rekey(recovered, key, now.unixSeconds)
    const node = nodes.revive(rekeyed, endpoint, now.at)
    return withFlags(nodes, node, relayOnly, isSigned)
  }
  if (nodes.size >= desk.limits.nodesMax) return new Refusal('registry full')
  const node = nodes.create(key, owner, endpoint, now)
  if (node === undefined) return new Refusal('node ID space exhausted')
  return withFlags(nodes, node, relayOnly, isSigned)
}

function withFlags(
  nodes: NodeTable,
  node: NodeRecord,
  relayOnly: boolean,
  isSigned: boolean,
): NodeRecord {
  if (!relayOnly && !isSigned) return node
  return nodes.change(node, { relayOnly, ...(isSigned ? { signsRegistration: true } : {}) })
}

/** A name that another node has is not set (spec/04 §8.1). */
function claimHostname(desk: RegistryDesk, node: NodeRecord, hostname: string): NodeRecord {
  const holder = desk.nodes.byHostname(hostname)
  if (holder !== undefined) return holder.id === node.id ? holder : node
  return desk.nodes.change(node, { hostname })
}

function answer(
  { id: nodeId, endpoint }: NodeRecord,
  keyText: string,
  hostname: string | undefined,
  hostnameError: string | undefined,
): RegistryMessage {
  return {
    type: 'register_ok',
    node_id: nodeId,
    network_id: 0,
    address: backboneAddress(nodeId),
    public_key: keyText,
    observed_addr: endpoint,
    protocol_version: 1,
    ...(hostname === undefined ? {} : { hostname }),
    ...(hostnameError === undefined ? {} : { hostname_error: hostnameError }),
  }
}

/** Text of the node's address in network 0. */
export function backboneAddress(nodeId: number): string {
  return formatAddress({ network: 0, node: nodeId } satisfies Address)
}
