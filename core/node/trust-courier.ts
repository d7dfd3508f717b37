/** Does what the trust exchange asks for: streams to port 444, requests to the registry, ends of tunnels. */
import { toBase64 } from '../bytes.ts'
import { PORT } from '../constants.ts'
import { PilotError } from '../errors.ts'
import type { Instant } from '../machine.ts'
import type { Registration } from '../rendezvous/registration.ts'
import type { RegistryRequest, RegistryRequests } from '../rendezvous/registry-requests.ts'
import { encodeHandshakeMessage, type HandshakeMessage } from '../trust/handshake-message.ts'
import type { Address } from '../wire/address.ts'
import { handshakeChallenge } from '../wire/registry-challenge.ts'
import type { NodeContext } from './context.ts'
import type { PeerTable } from './peer-table.ts'
import type { RegistryDesk } from './registry-desk.ts'
import type { Scheduler } from './scheduler.ts'
import type { Stream } from './stream.ts'
import type { TrustExchange, TrustExchangeEvent } from './trust-exchange.ts'

interface TrustCourierParts {
  readonly context: NodeContext
  readonly desk: RegistryDesk
  readonly peers: PeerTable
  readonly registration: Registration
  readonly scheduler: Scheduler
  readonly trust: TrustExchange
  /** @throws {PilotError} as `NodeMachine.dial`. */
  readonly dial: (address: Address, port: number, now: Instant, owner: Stream['owner']) => Stream
}

export class TrustCourier {
  readonly #parts: TrustCourierParts

  constructor(parts: TrustCourierParts) {
    this.#parts = parts
  }

  /** Deals with one thing the exchange queued; false when nothing is left. */
  poll(now: Instant): boolean {
    const { context, registration, scheduler, trust } = this.#parts
    if (!trust.isReady) return false
    const stream = scheduler.pollTrustStream()
    if (stream !== undefined) {
      trust.handleNews(stream, now, context.options.unixNow())
      scheduler.touchStream(stream)
    }
    const event = trust.pollEvent()
    if (event === undefined) return stream !== undefined
    this.#handleEvent(event, now)
    registration.isEager = trust.manager.store.outgoingCount > 0
    return true
  }

  #handleEvent(event: TrustExchangeEvent, now: Instant): void {
    const { context, desk, peers, registration } = this.#parts
    const { requests } = context
    switch (event.type) {
      case 'dial':
        return this.#send(event.peerId, event.token, event.message, now)
      case 'registry':
        desk.ask({ kind: 'trust', token: event.token }, registryRequest(requests, event), now)
        return
      case 'lookup':
        desk.ask({ kind: 'lookup', peerId: event.peerId }, requests.lookup(event.peerId), now)
        return
      case 'drop-tunnel': {
        const peer = peers.get(event.peerId)
        if (peer !== undefined) peers.remove(peer, now)
        return
      }
      case 'close-stream':
        return this.#end(event.stream, event.isAbort, now)
      case 'drop':
        return context.drop(event.reason)
      case 'poll':
        return registration.poll(now)
      case 'trust-revoked':
        this.#shutOut(event.nodeId, now)
        return context.emit(event)
      default:
        context.emit(event)
    }
  }

  /** What the message says is signed first. */
  #send(peerId: number, token: number, message: HandshakeMessage, now: Instant): void {
    const { context } = this.#parts
    context.sign(handshakeChallenge(context.nodeId, peerId), (signature) => {
      const signed = { ...message, signature: toBase64(signature) }
      this.#dial(peerId, token, encodeHandshakeMessage(signed), now)
    })
  }

  #dial(peerId: number, token: number, message: Uint8Array, now: Instant): void {
    const { dial, scheduler, trust } = this.#parts
    try {
      const stream = dial({ network: 0, node: peerId }, PORT.trust, now, 'trust-outbound')
      trust.handleDialing(token, stream, message, now)
      scheduler.touchStream(stream)
    } catch (error) {
      if (!(error instanceof PilotError)) throw error
      trust.handleUndelivered(token)
    }
  }

  #end(stream: Stream, isAbort: boolean, now: Instant): void {
    if (isAbort) stream.connection.reset(now)
    else stream.connection.close(now)
    this.#parts.scheduler.touchStream(stream)
  }

  /** Trust in a node ended: its streams end, and that we dialed it, if only to tell it, invites it no more. */
  #shutOut(nodeId: number, now: Instant): void {
    const peer = this.#parts.peers.get(nodeId)
    if (peer === undefined) return
    peer.dialedAt = Number.NEGATIVE_INFINITY
    for (const stream of [...peer.streams.values()])
      if (stream.owner === 'application') this.#end(stream, true, now)
  }
}

function registryRequest(
  requests: RegistryRequests,
  { op, peerId, accept, text }: Extract<TrustExchangeEvent, { type: 'registry' }>,
): RegistryRequest {
  switch (op) {
    case 'report':
      return requests.reportTrust(peerId)
    case 'respond':
      return requests.respondHandshake(peerId, accept)
    case 'revoke':
      return requests.revokeTrust(peerId)
    case 'request':
      return requests.requestHandshake(peerId, text)
  }
}
