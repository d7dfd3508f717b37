/** A node's news as webhook events, names and members of the base generation (spec/07 §10.2). */
import type { SocketAddress } from '../../../core/wire/address.ts'
import { formatAddress } from '../../../core/wire/address.ts'
import type { ConnectionInfo, NodeEvent, PilotNode } from '../../shared/api.ts'

export type EmitWebhook = (name: string, data?: Readonly<Record<string, unknown>>) => void

/** Says what `node` tells, until the returned function is called. The node must have been made with `details`. */
export function watchNode(node: PilotNode, emit: EmitWebhook): () => void {
  /** Nodes that the user approved: their trust needs no second word. */
  const approved = new Set<number>()
  /** Nodes whose trust the user ended himself. */
  const revoked = new Set<number>()
  const relayed = new Set<number>()

  const handle = (event: NodeEvent): void => {
    switch (event.type) {
      case 'registered':
        return emit('node.reregistered', { address: formatAddress(event.address) })
      case 'stream-requested':
        return emit('conn.syn_received', inbound(event))
      case 'stream-established':
        return emit('conn.established', inbound(event))
      case 'stream-ended':
        return emit('conn.fin', remote(event))
      case 'stream-reset':
        return emit('conn.rst', remote(event))
      case 'syn-limited':
        return emit('security.syn_rate_limited', source(event.source))
      case 'packet-replayed':
        return emit('security.nonce_replay', {
          peer_node_id: event.nodeId,
          counter: Number(event.counter),
        })
      case 'peer-added':
        return emit('tunnel.peer_added', {
          peer_node_id: event.nodeId,
          endpoint: event.endpoint,
        })
      case 'peer-keyed':
        return established(event.nodeId, false)
      case 'peer-rekeyed':
        return established(event.nodeId, true)
      case 'path-changed':
        if (event.path !== 'relay') relayed.delete(event.nodeId)
        else activated(event.nodeId)
        return
      case 'trust-request': {
        const data = { peer_node_id: event.nodeId, justification: event.justification }
        emit('handshake.received', data)
        return emit('handshake.pending', data)
      }
      case 'trust-decided':
        return decided(event)
      case 'trust-established':
        // The user's own word was told as such.
        if (approved.delete(event.nodeId)) return
        return emit('handshake.auto_approved', {
          peer_node_id: event.nodeId,
          reason: event.mutual ? 'mutual' : 'auto_approve',
        })
      case 'trust-revoked':
        if (revoked.delete(event.nodeId)) return
        return emit('trust.revoked_by_peer', { peer_node_id: event.nodeId })
    }
  }
  const decided = (event: Extract<NodeEvent, { type: 'trust-decided' }>): void => {
    const data = { peer_node_id: event.nodeId }
    if (event.decision === 'approved') {
      approved.add(event.nodeId)
      emit('handshake.approved', data)
    } else if (event.decision === 'revoked') {
      revoked.add(event.nodeId)
      emit('trust.revoked', data)
    } else emit('handshake.rejected', { ...data, reason: event.reason })
  }
  const activated = (nodeId: number): void => {
    if (relayed.has(nodeId)) return
    relayed.add(nodeId)
    emit('tunnel.relay_activated', { peer_node_id: nodeId })
  }
  const established = (nodeId: number, rekeyed: boolean): void => {
    const peer = node.peers().find((one) => one.nodeId === nodeId)
    emit('tunnel.established', {
      peer_node_id: nodeId,
      authenticated: peer?.authenticated ?? false,
      relay: peer?.path === 'relay',
      rekeyed,
    })
    if (peer?.path === 'relay') activated(nodeId)
  }

  emit('node.registered', {
    address: formatAddress(node.address),
    endpoint: node.info().endpoint,
  })
  const stops = [
    node.on(handle),
    node.onDatagram((datagram) =>
      emit('data.datagram', {
        ...source(datagram.source),
        dst_port: datagram.destinationPort,
        size: datagram.data.length,
      }),
    ),
  ]
  return () => {
    for (const stop of stops) stop()
  }
}

interface StreamPlace {
  readonly id: number
  readonly localPort: number
  readonly remote: SocketAddress
}

function inbound({ id, localPort, remote: from }: StreamPlace): Record<string, unknown> {
  return { ...source(from), dst_port: localPort, conn_id: id }
}

function remote({ id, localPort, remote: from }: StreamPlace): Record<string, unknown> {
  return connectionPlace({ id, localPort, remoteAddress: from.address, remotePort: from.port })
}

/** Members of `conn.*` events about a stream that is there. */
export function connectionPlace(
  connection: Pick<ConnectionInfo, 'id' | 'localPort' | 'remoteAddress' | 'remotePort'>,
): Record<string, unknown> {
  return {
    remote_addr: formatAddress(connection.remoteAddress),
    remote_port: connection.remotePort,
    local_port: connection.localPort,
    conn_id: connection.id,
  }
}

function source({ address, port }: SocketAddress): Record<string, unknown> {
  return { src_addr: formatAddress(address), src_port: port }
}
