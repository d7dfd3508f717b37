/** What a node machine tells: work for the driver, answers to calls, and news for people. */
import type { PilotError } from '../errors.ts'
import type { Address, SocketAddress } from '../wire/address.ts'
import type { RegistryMessage } from '../wire/registry-message.ts'
import type { Stream } from './stream.ts'
import type { TrustOutcome } from './trust-exchange.ts'

/** What only somebody who watches the traffic wants to know; told with option `details`. */
export type NodeDetail =
  /** A SYN was taken. `id` is that of the connection. */
  | (StreamDetail & { readonly type: 'stream-requested' })
  /** The peer acknowledged that its stream is open. */
  | (StreamDetail & { readonly type: 'stream-established' })
  /** The peer's end of stream arrived. */
  | (StreamDetail & { readonly type: 'stream-ended' })
  | (StreamDetail & { readonly type: 'stream-reset' })
  | { readonly type: 'syn-limited'; readonly source: SocketAddress }
  | { readonly type: 'packet-replayed'; readonly nodeId: number; readonly counter: bigint }
  /** A node that was no peer announced its key, and not through the relay. */
  | { readonly type: 'peer-added'; readonly nodeId: number; readonly endpoint: string }
  | { readonly type: 'peer-rekeyed'; readonly nodeId: number }
  /** The user of this node decided about trust. */
  | {
      readonly type: 'trust-decided'
      readonly nodeId: number
      readonly decision: 'approved' | 'rejected' | 'revoked'
      readonly reason: string
    }

interface StreamDetail {
  readonly id: number
  readonly localPort: number
  readonly remote: SocketAddress
}

export type NodeMachineEvent =
  | NodeDetail
  // The driver's: the byte stream to the registry
  | { readonly type: 'registry-connect' }
  | { readonly type: 'registry-disconnect' }
  | { readonly type: 'registry-send'; readonly bytes: Uint8Array }
  /** The identity signs later: the driver answers by `handleSignature`. */
  | { readonly type: 'sign'; readonly id: number; readonly message: Uint8Array }
  // Answers, by the id that the call returned
  | { readonly type: 'registry-reply'; readonly id: number; readonly reply: RegistryMessage }
  | { readonly type: 'registry-failed'; readonly id: number; readonly error: PilotError }
  | { readonly type: 'pong'; readonly id: number; readonly rttMs: number }
  | { readonly type: 'ping-failed'; readonly id: number; readonly error: PilotError }
  | { readonly type: 'trust-outcome'; readonly id: number; readonly outcome: TrustOutcome }
  // Arrivals: an established stream of a port listened on, a datagram
  | { readonly type: 'incoming'; readonly stream: Stream }
  | {
      readonly type: 'datagram'
      readonly source: SocketAddress
      readonly destinationPort: number
      readonly data: Uint8Array
    }
  // News
  | { readonly type: 'registered'; readonly address: Address }
  /** The registry knows our hostname and visibility, or has refused them. */
  | { readonly type: 'announced' }
  | { readonly type: 'registration-refused'; readonly reason: string }
  | { readonly type: 'hostname-refused'; readonly hostname: string; readonly reason: string }
  | { readonly type: 'registry-lost'; readonly reason: string }
  | { readonly type: 'beacon-status'; readonly status: 'answering' | 'silent' }
  | { readonly type: 'peer-keyed'; readonly nodeId: number }
  | { readonly type: 'peer-key-mismatch'; readonly nodeId: number }
  /** A trusted peer has another key, signed with the one that was pinned. */
  | { readonly type: 'peer-key-rotated'; readonly nodeId: number }
  | {
      readonly type: 'path-changed'
      readonly nodeId: number
      readonly path: 'direct' | 'relay' | 'none'
    }
  /** The trust store changed: write it to disk. */
  | { readonly type: 'trust-changed' }
  | { readonly type: 'trust-request'; readonly nodeId: number; readonly justification: string }
  | { readonly type: 'trust-established'; readonly nodeId: number; readonly mutual: boolean }
  | { readonly type: 'trust-rejected'; readonly nodeId: number; readonly reason: string }
  | { readonly type: 'trust-revoked'; readonly nodeId: number }
