/** Another node as the console shows it: what the trust store, the tunnel and the registry know of it. */

import { formatAddress } from '../../../core/wire/address.ts'
import type { PeerInfo } from '../../../runtimes/browser/index.ts'
import { displayLine } from './format.ts'

/** `asks`: it waits for our decision; `asked`: we wait for its. */
export type Relation = 'trusted' | 'asks' | 'asked' | 'stranger'

/** Whether the last ping was answered. */
export type Presence = 'online' | 'silent' | 'unknown'

export interface Contact {
  readonly nodeId: number
  readonly address: string
  /** As the registry knows it, `''` for none. */
  readonly hostname: string
  readonly relation: Relation
  /** Why it asks; somebody else's text. */
  readonly justification: string
  /** Unix ms: asked, or trusted since. 0 for strangers. */
  readonly since: number
  readonly presence: Presence
  /** Round trip of the last ping. */
  readonly rttMs: number | undefined
  /** `undefined` without a tunnel. */
  readonly peer: PeerInfo | undefined
}

export function addressOf(nodeId: number): string {
  return formatAddress({ network: 0, node: nodeId })
}

/** What to call it. */
export function nameOf({ hostname, nodeId }: Pick<Contact, 'hostname' | 'nodeId'>): string {
  return hostname === '' ? `node ${nodeId}` : displayLine(hostname, 63)
}

/** How it is reached, in words. */
export function pathWords(peer: PeerInfo | undefined): string {
  if (peer === undefined || peer.path === 'none') return 'no tunnel yet'
  if (peer.path === 'relay') return 'through the relay'
  const by = { webrtc: 'WebRTC', udp: 'UDP', websocket: 'WebSocket', relay: 'relay', none: '' }
  const name: string = (by as Record<string, string>)[peer.transport] ?? peer.transport
  return name === '' ? 'direct' : `direct · ${name}`
}
