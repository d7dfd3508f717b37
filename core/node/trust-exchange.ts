/**
 * Carries trust messages: out over streams to port 444 or through the registry, in from both
 * (spec/03 §D.1, §D.4). What they mean is the trust manager's decision.
 */
import { concat } from '../bytes.ts'
import { PilotError } from '../errors.ts'
import type { Instant } from '../machine.ts'
import {
  decodeHandshakeMessage,
  HANDSHAKE_BYTES_MAX,
  type HandshakeMessage,
  type HandshakeType,
  isHandshakeComplete,
} from '../trust/handshake-message.ts'
import type { TrustManager } from '../trust/trust-manager.ts'
import type { RegistryMessage } from '../wire/registry-message.ts'
import type { Stream } from './stream.ts'

/** A delivery that takes longer goes through the registry instead. */
const DELIVERY_MS = 8000
/** A request or accept not delivered by then goes through the registry too: private references drop it silently. */
const RELAY_BESIDE_MS = 1500
/** An inbound stream that has not brought its message by then is cut. */
const INBOUND_MS = 10_000
/** After a revocation the tunnel stays for so long: acknowledgements of it may still travel. */
const DROP_MS = 1000
/** How often a message that waits for its sender's key is looked at again. */
const KEY_WAIT_MS = 100
const INBOUND_MAX = 256

export type TrustOutcome = 'sent' | 'relayed' | 'already_trusted' | PilotError

export type TrustExchangeEvent =
  | {
      readonly type: 'dial'
      readonly peerId: number
      readonly token: number
      /** Not signed yet. */
      readonly message: HandshakeMessage
    }
  | {
      readonly type: 'registry'
      readonly token: number
      readonly op: 'report' | 'respond' | 'revoke' | 'request'
      readonly peerId: number
      readonly accept: boolean
      readonly text: string
    }
  | { readonly type: 'lookup'; readonly peerId: number }
  | { readonly type: 'drop-tunnel'; readonly peerId: number }
  | { readonly type: 'close-stream'; readonly stream: Stream; readonly isAbort: boolean }
  | { readonly type: 'drop'; readonly reason: string }
  /** Something may wait for us at the registry soon. */
  | { readonly type: 'poll' }
  | { readonly type: 'trust-changed' }
  | { readonly type: 'trust-outcome'; readonly id: number; readonly outcome: TrustOutcome }
  | { readonly type: 'trust-request'; readonly nodeId: number; readonly justification: string }
  | { readonly type: 'trust-established'; readonly nodeId: number; readonly mutual: boolean }
  | { readonly type: 'trust-rejected'; readonly nodeId: number; readonly reason: string }
  | { readonly type: 'trust-revoked'; readonly nodeId: number }

interface Delivery {
  readonly peerId: number
  readonly kind: HandshakeType
  readonly text: string
  /** The user's request that waits for the outcome. */
  readonly requestId: number | undefined
  stream: Stream | undefined
  deadline: Instant | undefined
  /** When a request, or what stands for an accept, is relayed beside its stream. */
  relayAt: Instant | undefined
  /** An accept that the registry refused to relay: it never saw the request. */
  isRefused: boolean
  /** The registry was asked to relay it. */
  isRelayed: boolean
}

interface Inbound {
  readonly stream: Stream
  bytes: Uint8Array
  deadline: Instant
  /** Complete, and waiting for the registry to tell the sender's key. */
  message: HandshakeMessage | undefined
}

export class TrustExchange {
  #manager: TrustManager | undefined
  readonly #deliveries = new Map<number, Delivery>()
  readonly #inbound = new Map<Stream, Inbound>()
  /** Accepts the registry is asked to relay: the peer of each, by token. */
  readonly #accepting = new Map<number, number>()
  /** When the tunnels of peers go with whom trust has ended. */
  readonly #drops = new Map<number, Instant>()
  #nextToken = 1
  #nextRequestId = 1
  /** The request whose `send` event is being passed on. */
  #requesting: number | undefined
  #events: TrustExchangeEvent[] = []

  /** Begins with a (new) manager; deliveries of the one before are forgotten. */
  start(manager: TrustManager): void {
    this.#manager = manager
    this.#deliveries.clear()
    this.#inbound.clear()
    this.#drops.clear()
    this.#accepting.clear()
  }

  get isReady(): boolean {
    return this.#manager !== undefined
  }

  /** @throws {PilotError} `ERR_REGISTRY_UNAVAILABLE` before `start`. */
  get manager(): TrustManager {
    if (this.#manager === undefined)
      throw new PilotError('ERR_REGISTRY_UNAVAILABLE', 'this node is not registered yet')
    return this.#manager
  }

  isTrusted(nodeId: number): boolean {
    return this.#manager?.isTrusted(nodeId) === true
  }

  /** The outcome is told under the id returned. @throws {UsageError} `ERR_INVALID_ARGUMENT`. */
  request(peerId: number, justification: string, unixSeconds: number): number {
    const id = this.#nextRequestId++
    if (this.manager.request(peerId, justification, unixSeconds) === 'already_trusted')
      this.#events.push({ type: 'trust-outcome', id, outcome: 'already_trusted' })
    else {
      this.#requesting = id
      this.#drainManager()
      this.#requesting = undefined
    }
    return id
  }

  /** The dial for a delivery has begun: the message and the end of stream follow at once. */
  handleDialing(token: number, stream: Stream, message: Uint8Array, now: Instant): void {
    const delivery = this.#deliveries.get(token)
    if (delivery === undefined) return
    delivery.stream = stream
    delivery.deadline = now + DELIVERY_MS
    if (delivery.kind === 'handshake_request' || delivery.kind === 'handshake_accept')
      delivery.relayAt = now + RELAY_BESIDE_MS
    stream.connection.write(message, now)
    stream.connection.close(now)
  }

  handleUndelivered(token: number): void {
    const delivery = this.#deliveries.get(token)
    if (delivery === undefined) return
    delivery.stream = undefined
    delivery.deadline = undefined
    if (delivery.kind === 'handshake_accept') this.#relayAccept(delivery)
    if (delivery.kind !== 'handshake_request') return this.#finish(token, 'sent') // the registry was told already
    if (delivery.isRelayed) return this.#finish(token, 'relayed')
    this.#relay(token, delivery)
  }

  /** The registry would not say where the peer is: requests go through it at once, beside the stream. */
  handleUnresolved(peerId: number): void {
    for (const [token, delivery] of this.#deliveries)
      if (
        delivery.peerId === peerId &&
        delivery.kind === 'handshake_request' &&
        !delivery.isRelayed
      )
        this.#relay(token, delivery)
  }

  handleRegistryOutcome(token: number, error: PilotError | undefined): void {
    const accepted = this.#accepting.get(token)
    this.#accepting.delete(token)
    if (accepted !== undefined && error?.code === 'ERR_REGISTRY')
      for (const delivery of this.#deliveries.values())
        if (delivery.peerId === accepted && delivery.kind === 'handshake_accept')
          delivery.isRefused = true
    const delivery = this.#deliveries.get(token)
    // Refused by the registry, but perhaps not by the peer: the stream may still bring it.
    if (error !== undefined && delivery?.stream !== undefined) delivery.isRelayed = false
    else this.#finish(token, error ?? 'relayed')
    this.#events.push({ type: 'poll' })
  }

  #relay(token: number, delivery: Delivery): void {
    delivery.isRelayed = true
    delivery.relayAt = undefined
    const { peerId, text } = delivery
    this.#events.push({ type: 'registry', token, op: 'request', peerId, accept: false, text })
  }

  /**
   * The peer asked us directly, but may not take our direct answer: private references let nobody in whom they
   * do not trust yet. The registry relays no answer to what it did not see asked, but a request of ours, and two
   * that ask each other trust each other (spec/03 §D.3).
   */
  #relayAccept(delivery: Delivery): void {
    const isDue = delivery.relayAt !== undefined
    delivery.relayAt = undefined
    if (!isDue || !delivery.isRefused) return
    const { peerId } = delivery
    const token = this.#nextToken++
    this.#events.push({ type: 'registry', token, op: 'request', peerId, accept: false, text: '' })
  }

  /** Something happened to a stream of ours. */
  handleNews(stream: Stream, now: Instant, unixSeconds: number): void {
    this.#lastNow = now
    if (stream.owner === 'trust-inbound') this.#handleInbound(stream, now, unixSeconds)
    else
      for (const [token, delivery] of this.#deliveries)
        if (delivery.stream === stream) this.#checkDelivery(token, stream)
  }

  /** An answer to `poll_handshakes`. */
  handlePolled(reply: RegistryMessage, unixSeconds: number): void {
    for (const entry of objects(reply.requests)) {
      const peerId = entry.from_node_id
      if (!isNodeId(peerId)) continue
      const text = typeof entry.justification === 'string' ? entry.justification : ''
      this.manager.handlePolledRequest(peerId, text, unixSeconds)
    }
    for (const entry of objects(reply.responses))
      if (isNodeId(entry.from_node_id))
        this.manager.handlePolledResponse(entry.from_node_id, entry.accept === true, unixSeconds)
  }

  handleTimeout(now: Instant): void {
    this.#lastNow = now
    for (const [token, delivery] of this.#deliveries) {
      const { stream, deadline, relayAt } = delivery
      if (relayAt !== undefined && now >= relayAt)
        if (delivery.kind === 'handshake_accept') this.#relayAccept(delivery)
        else this.#relay(token, delivery)
      if (stream === undefined || deadline === undefined || now < deadline) continue
      this.#events.push({ type: 'close-stream', stream, isAbort: true })
      this.handleUndelivered(token)
    }
    for (const [peerId, at] of this.#drops) if (now >= at) this.#drop(peerId)
    for (const inbound of this.#inbound.values()) {
      if (now >= inbound.deadline) this.#endInbound(inbound, true)
      else if (inbound.message !== undefined)
        this.#tryMessage(inbound, inbound.message, this.#lastUnix)
    }
  }

  pollTimeout(): Instant | undefined {
    let at: Instant | undefined
    for (const { deadline, relayAt } of this.#deliveries.values()) {
      const due = relayAt ?? deadline
      if (due !== undefined && (at === undefined || due < at)) at = due
    }
    for (const due of this.#drops.values()) if (at === undefined || due < at) at = due
    for (const { deadline, message } of this.#inbound.values()) {
      const due = message === undefined ? deadline : Math.min(deadline, this.#lastNow + KEY_WAIT_MS)
      if (at === undefined || due < at) at = due
    }
    return at
  }

  pollEvent(): TrustExchangeEvent | undefined {
    this.#drainManager()
    return this.#events.shift()
  }

  #lastNow: Instant = 0
  #lastUnix = 0

  #checkDelivery(token: number, stream: Stream): void {
    const { connection, news } = stream
    const isDelivered =
      connection.failure === undefined && connection.state !== 'SYN_SENT' && connection.isDrained
    if (isDelivered) this.#finish(token, 'sent')
    else if (news.isClosed) this.handleUndelivered(token)
  }

  #finish(token: number, outcome: TrustOutcome): void {
    const delivery = this.#deliveries.get(token)
    this.#deliveries.delete(token)
    if (delivery === undefined) return
    if (delivery.requestId !== undefined)
      this.#events.push({ type: 'trust-outcome', id: delivery.requestId, outcome })
    // The tunnel carried the revocation; now it may go.
    if (delivery.kind === 'handshake_revoke')
      this.#drops.set(delivery.peerId, this.#lastNow + DROP_MS)
  }

  /** Not so when people have made up: what is under way between them would be lost. */
  #drop(peerId: number): void {
    this.#drops.delete(peerId)
    if (this.isTrusted(peerId)) return
    for (const delivery of this.#deliveries.values()) if (delivery.peerId === peerId) return
    for (const { stream } of this.#inbound.values()) if (stream.peer.id === peerId) return
    this.#events.push({ type: 'drop-tunnel', peerId })
  }

  #handleInbound(stream: Stream, now: Instant, unixSeconds: number): void {
    this.#lastNow = now
    this.#lastUnix = unixSeconds
    const { connection, news } = stream
    let inbound = this.#inbound.get(stream)
    if (inbound === undefined) {
      if (news.isClosed || stream.isHandled) return
      if (this.#inbound.size >= INBOUND_MAX) {
        this.#events.push({ type: 'close-stream', stream, isAbort: true })
        return
      }
      inbound = { stream, bytes: new Uint8Array(0), deadline: now + INBOUND_MS, message: undefined }
      this.#inbound.set(stream, inbound)
    }
    if (inbound.message !== undefined) return
    for (let data = connection.read(now); data !== undefined; data = connection.read(now))
      if (inbound.bytes.length < HANDSHAKE_BYTES_MAX) inbound.bytes = concat(inbound.bytes, data)
    const isDone =
      connection.ended ||
      news.isClosed ||
      inbound.bytes.length >= HANDSHAKE_BYTES_MAX ||
      isHandshakeComplete(inbound.bytes)
    if (!isDone) return
    try {
      const message = decodeHandshakeMessage(inbound.bytes)
      this.#tryMessage(inbound, message, unixSeconds)
    } catch (error) {
      if (!(error instanceof PilotError)) throw error
      this.#events.push({ type: 'drop', reason: 'malformed-trust-message' })
      this.#endInbound(inbound, false)
    }
  }

  #tryMessage(inbound: Inbound, message: HandshakeMessage, unixSeconds: number): void {
    const { peer } = inbound.stream
    if (peer.identityKey === undefined) {
      if (inbound.message === undefined) this.#events.push({ type: 'lookup', peerId: peer.id })
      inbound.message = message
      return
    }
    const verdict = this.manager.handleMessage(message, peer.id, peer.identityKey, unixSeconds)
    if (verdict === 'invalid') this.#events.push({ type: 'drop', reason: 'invalid-trust-message' })
    this.#endInbound(inbound, false)
  }

  #endInbound(inbound: Inbound, isAbort: boolean): void {
    this.#inbound.delete(inbound.stream)
    inbound.stream.isHandled = true
    this.#events.push({ type: 'close-stream', stream: inbound.stream, isAbort })
  }

  #drainManager(): void {
    for (
      let event = this.#manager?.pollEvent();
      event !== undefined;
      event = this.#manager?.pollEvent()
    )
      switch (event.type) {
        case 'send': {
          const token = this.#nextToken++
          const { peerId, kind, text, message } = event
          const requestId = kind === 'handshake_request' ? this.#requesting : undefined
          this.#deliveries.set(token, {
            peerId,
            kind,
            text,
            requestId,
            stream: undefined,
            deadline: undefined,
            relayAt: undefined,
            isRefused: false,
            isRelayed: false,
          })
          this.#events.push({ type: 'dial', peerId, token, message })
          break
        }
        case 'report':
        case 'revoke':
          this.#tellRegistry(event.type, event.peerId, false)
          break
        case 'respond':
          this.#tellRegistry('respond', event.peerId, event.accept)
          break
        case 'lookup':
          this.#events.push(event)
          break
        case 'drop-tunnel':
          this.#drops.set(event.peerId, this.#lastNow + DROP_MS)
          break
        case 'changed':
          this.#events.push({ type: 'trust-changed' })
          break
        case 'requested':
          this.#events.push({
            type: 'trust-request',
            nodeId: event.peerId,
            justification: event.justification,
          })
          break
        case 'established':
          this.#events.push({
            type: 'trust-established',
            nodeId: event.peerId,
            mutual: event.mutual,
          })
          break
        case 'rejected':
          this.#events.push({ type: 'trust-rejected', nodeId: event.peerId, reason: event.reason })
          break
        case 'revoked':
          this.#events.push({ type: 'trust-revoked', nodeId: event.peerId })
      }
  }

  #tellRegistry(op: 'report' | 'respond' | 'revoke', peerId: number, accept: boolean): void {
    const token = this.#nextToken++
    if (op === 'respond' && accept) this.#accepting.set(token, peerId)
    this.#events.push({ type: 'registry', token, op, peerId, accept, text: '' })
  }
}

function objects(value: unknown): Record<string, unknown>[] {
  if (!Array.isArray(value)) return []
  return value.filter((entry) => typeof entry === 'object' && entry !== null)
}

function isNodeId(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= 0xffffffff
}
