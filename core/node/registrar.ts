/** Puts the registration's requests to the registry, and its answers to the registration. */
import type { PilotError } from '../errors.ts'
import type { Instant } from '../machine.ts'
import type { BeaconClient } from '../rendezvous/beacon-client.ts'
import { Registration, type RegistrationRequest } from '../rendezvous/registration.ts'
import type { RegistryRequest } from '../rendezvous/registry-requests.ts'
import type { Address } from '../wire/address.ts'
import type { NodeContext } from './context.ts'
import type { Outcome, RegistryDesk } from './registry-desk.ts'
import type { TrustExchange } from './trust-exchange.ts'

const KEEPALIVE_MS = 30_000

interface RegistrarParts {
  readonly context: NodeContext
  readonly beacon: BeaconClient | undefined
  readonly desk: RegistryDesk
  readonly trust: TrustExchange
}

export class Registrar {
  readonly registration: Registration
  readonly #parts: RegistrarParts

  constructor(parts: RegistrarParts) {
    this.#parts = parts
    const { options } = parts.context
    const { relayOnly = false, keepaliveMs = KEEPALIVE_MS, now } = options
    const hasBeacon =
      parts.beacon !== undefined && options.fixedEndpoint === undefined && !relayOnly
    this.registration = new Registration({ keepaliveMs, hasBeacon, now })
    this.registration.hostname = options.hostname ?? ''
    this.registration.isPublic = options.isPublic ?? false
  }

  handleAnswer(request: RegistrationRequest, { reply, error }: Outcome, now: Instant): void {
    if (error !== undefined) return this.#handleFailure(request, error, now)
    const { trust, context } = this.#parts
    this.registration.handleReply(request, reply, now)
    if (request === 'poll' && trust.isReady) trust.handlePolled(reply, context.options.unixNow())
  }

  /**
   * Passes on what the registration queued. Gives who we are when the registry has said so, `true` when it
   * dealt with something itself, `false` when nothing is left.
   */
  poll(now: Instant): { readonly nodeId: number; readonly address: Address } | boolean {
    const event = this.registration.pollEvent()
    if (event === undefined) return false
    if (event.type === 'registered') return event
    const { context, desk } = this.#parts
    if (event.type === 'announced') context.emit(event)
    else if (event.type === 'refused')
      context.emit({ type: 'registration-refused', reason: event.reason })
    else desk.ask({ kind: 'registration', request: event.kind }, this.#message(event.kind), now)
    return true
  }

  #handleFailure(request: RegistrationRequest, error: PilotError, now: Instant): void {
    const isRefusal = error.code === 'ERR_REGISTRY'
    const { message: reason } = error
    this.registration.handleFailure(request, reason, isRefusal, now)
    const { hostname } = this.registration
    if (request === 'hostname' && isRefusal)
      this.#parts.context.emit({ type: 'hostname-refused', hostname, reason })
  }

  #message(kind: RegistrationRequest): RegistryRequest {
    const { requests, options } = this.#parts.context
    switch (kind) {
      case 'register': {
        if (options.relayOnly === true) return requests.register('', options.owner ?? '', true)
        const fallback = options.fixedEndpoint ?? options.localEndpoint
        const listenAddr = this.registration.listenAddress(fallback)
        const lanAddrs = options.lanAddresses?.() ?? []
        return requests.register(listenAddr, options.owner ?? '', false, lanAddrs)
      }
      case 'visibility':
        return requests.setVisibility(true)
      case 'hostname':
        return requests.setHostname(this.registration.hostname)
      case 'heartbeat':
        return requests.heartbeat()
      case 'poll':
        return requests.pollHandshakes()
    }
  }
}
