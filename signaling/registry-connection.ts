/** What the registry remembers about one TCP connection (spec/04 §22 W3, W11, W23). */
import type { Endpoint } from '../core/machine.ts'
import { PENDING_REGISTRATIONS_MAX, PROVEN_MAX } from './limits.ts'
import type { NodeRecord } from './node-table.ts'
import type { RegistrationExtras } from './registration-extras.ts'
import { rateKey } from './request-fields.ts'

/** A registration from a new place that takes effect when this connection proves the key. */
export interface PendingRegistration {
  readonly endpoint: string
  readonly relayOnly: boolean
  /** `''`: none asked for. */
  readonly hostname: string
  readonly extras: RegistrationExtras
}

/** What a connection has shown, as plain data. */
export interface ConnectionState {
  /** Node ids with the keys that were proven. */
  readonly proven: readonly (readonly [nodeId: number, publicKey: string])[]
  readonly pending: readonly (readonly [nodeId: number, PendingRegistration])[]
  readonly polled: readonly number[]
}

export class RegistryConnection {
  /** Where the client connects from; IPv4 in dotted form. */
  readonly source: Endpoint
  /** Address of ours that the client connected to, where that is known. */
  readonly localAddress: string | undefined
  /** What this source's rates are counted by. */
  readonly rateKey: string
  /** Nodes whose inbox was handed out with the last poll and not acknowledged yet. */
  readonly polled: Set<number> = new Set()
  readonly #provenKeys = new Map<number, string>()
  readonly #pending = new Map<number, PendingRegistration>()

  constructor(source: Endpoint, localAddress?: string) {
    this.source = source
    this.localAddress = localAddress
    this.rateKey = rateKey(source.address)
  }

  state(): ConnectionState {
    return {
      proven: [...this.#provenKeys],
      pending: [...this.#pending],
      polled: [...this.polled],
    }
  }

  /** Takes over what another object of the same connection has shown. */
  resume({ proven, pending, polled }: ConnectionState): void {
    for (const [nodeId, publicKey] of proven) this.#provenKeys.set(nodeId, publicKey)
    for (const [nodeId, registration] of pending) this.#pending.set(nodeId, registration)
    for (const nodeId of polled) this.polled.add(nodeId)
  }

  /** A signature of this node was verified on this connection. */
  prove(node: NodeRecord): void {
    if (this.#provenKeys.size >= PROVEN_MAX && !this.#provenKeys.has(node.id))
      deleteFirst(this.#provenKeys)
    this.#provenKeys.set(node.id, node.publicKey)
  }

  /** Whether this connection has proven the present key of the node. */
  hasProven(node: NodeRecord): boolean {
    return this.#provenKeys.get(node.id) === node.publicKey
  }

  /** Ids of all nodes proven here. */
  get provenIds(): Iterable<number> {
    return this.#provenKeys.keys()
  }

  holdRegistration(nodeId: number, registration: PendingRegistration): void {
    if (this.#pending.size >= PENDING_REGISTRATIONS_MAX && !this.#pending.has(nodeId))
      deleteFirst(this.#pending)
    this.#pending.set(nodeId, registration)
  }

  /** Hands over what was held, once. */
  takeRegistration(nodeId: number): PendingRegistration | undefined {
    const registration = this.#pending.get(nodeId)
    this.#pending.delete(nodeId)
    return registration
  }
}

function deleteFirst(map: Map<number, unknown>): void {
  for (const key of map.keys()) {
    map.delete(key)
    return
  }
}
