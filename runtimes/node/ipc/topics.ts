/** What drivers can subscribe to (spec/06 §11.2): what is so now, and word of every change of it. */
import { utf8 } from '../../../core/bytes.ts'
import type { NodeEvent, PilotNode, TrustApi } from '../../shared/api.ts'
import { encodeJson } from './json.ts'

export const PENDING_TOPIC = 'handshake_pending'

/** Of one client; more are refused. */
export const TOPICS_MAX = 64

export class Topics implements Disposable {
  readonly #node: PilotNode
  readonly #onChange: (topic: string) => void
  readonly #stop: () => void
  #pending: string

  constructor(node: PilotNode, onChange: (topic: string) => void) {
    this.#node = node
    this.#onChange = onChange
    this.#pending = this.#pendingText()
    this.#stop = node.on((event) => {
      if (TRUST_EVENTS.has(event.type)) this.check()
    })
  }

  /** Empty for topics that say nothing here, which v1.9 takes as well (`turn_endpoint` without TURN). */
  snapshot(topic: string): Uint8Array {
    return topic === PENDING_TOPIC ? utf8(this.#pendingText()) : NOTHING
  }

  /** Something was decided that may have changed a topic. */
  check(): void {
    const text = this.#pendingText()
    if (text === this.#pending) return
    this.#pending = text
    this.#onChange(PENDING_TOPIC)
  }

  [Symbol.dispose](): void {
    this.#stop()
  }

  #pendingText(): string {
    return encodeJson(pendingObject(this.#node.trust))
  }
}

/** Members as in the reply to Handshake pending (spec/06 §5.9). */
export function pendingObject(trust: TrustApi): Record<string, unknown> {
  return {
    pending: trust.pending().map((peer) => ({
      node_id: peer.nodeId,
      public_key: peer.publicKey,
      justification: peer.justification,
      received_at: peer.receivedAt,
    })),
  }
}

const NOTHING = new Uint8Array(0)
const TRUST_EVENTS: ReadonlySet<NodeEvent['type']> = new Set([
  'trust-request',
  'trust-established',
  'trust-rejected',
  'trust-revoked',
  'trust-decided',
])
