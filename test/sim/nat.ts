/** A NAT by the terms of RFC 4787: what a mapping is reused for, who may answer it, and how long it lives. */
import type { Endpoint, Instant } from '../../core/machine.ts'
import type { Random } from './random.ts'

export type NatScope = 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent'

export interface NatOptions {
  readonly publicAddress: string
  /** Default endpoint-independent. */
  readonly mapping?: NatScope
  /** Default address-and-port-dependent, as most home routers. */
  readonly filtering?: NatScope
  /** Without traffic a mapping ends. Default 120 s (RFC 4787 §4.3); many real ones 30 s. */
  readonly timeoutMs?: number
  /** Datagrams from outside refresh too. Default true. */
  readonly inboundRefresh?: boolean
  /** Hosts behind it reach each other by their public endpoints. Default false. */
  readonly hairpinning?: boolean
}

interface Mapping {
  readonly inside: Endpoint
  readonly publicPort: number
  /** Destination the mapping is bound to, as far as `mapping` says. */
  readonly key: string
  /** Who was sent to, by address and by address and port, and when last. */
  readonly permitted: Map<string, Instant>
  usedAt: Instant
}

export class Nat {
  readonly options: NatOptions
  readonly #random: Random
  readonly #byKey = new Map<string, Mapping>()
  readonly #byPort = new Map<number, Mapping>()

  filtered = 0

  constructor(options: NatOptions, random: Random) {
    this.options = options
    this.#random = random
  }

  get publicAddress(): string {
    return this.options.publicAddress
  }

  /** Public source of a datagram from `inside` to `to`. */
  outbound(inside: Endpoint, to: Endpoint, now: Instant): Endpoint {
    const { mapping = 'endpoint-independent', filtering = 'address-and-port-dependent' } =
      this.options
    const key = `${inside.address}:${inside.port}>${scopeKey(mapping, to)}`
    let found = this.#byKey.get(key)
    if (found === undefined || this.#isExpired(found, now)) {
      if (found !== undefined) this.#byPort.delete(found.publicPort)
      found = {
        inside,
        publicPort: this.#freePort(now),
        key,
        permitted: new Map(),
        usedAt: now,
      }
      this.#byKey.set(key, found)
      this.#byPort.set(found.publicPort, found)
    }
    found.usedAt = now
    found.permitted.set(scopeKey(filtering, to), now)
    return { address: this.publicAddress, port: found.publicPort }
  }

  /** Where a datagram from `from` to our public `port` goes; `undefined` when it is filtered. */
  inbound(port: number, from: Endpoint, now: Instant): Endpoint | undefined {
    const { filtering = 'address-and-port-dependent', inboundRefresh = true } = this.options
    const mapping = this.#byPort.get(port)
    const permittedAt = mapping?.permitted.get(scopeKey(filtering, from))
    if (mapping === undefined || this.#isExpired(mapping, now) || permittedAt === undefined) {
      this.filtered++
      return undefined
    }
    if (inboundRefresh) mapping.usedAt = now
    return mapping.inside
  }

  /** The router restarted: every mapping is gone, and new ones get other ports. */
  rebind(): void {
    this.#byKey.clear()
    this.#byPort.clear()
  }

  #isExpired(mapping: Mapping, now: Instant): boolean {
    return now - mapping.usedAt > (this.options.timeoutMs ?? 120_000)
  }

  #freePort(now: Instant): number {
    for (;;) {
      const port = this.#random.int(1024, 65535)
      const taken = this.#byPort.get(port)
      if (taken === undefined) return port
      if (!this.#isExpired(taken, now)) continue
      this.#byKey.delete(taken.key)
      return port
    }
  }
}

function scopeKey(scope: NatScope, to: Endpoint): string {
  if (scope === 'endpoint-independent') return '*'
  return scope === 'address-dependent' ? to.address : `${to.address}:${to.port}`
}
