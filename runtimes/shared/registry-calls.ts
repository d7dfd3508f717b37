/** `node.registry`: promises over the machine's registry requests, and names made addresses. */
import {
  type Address,
  NetworkError,
  type NodeMachine,
  type NodeMachineEvent,
  ownRequest,
  PilotError,
  parseAddress,
  type RegistryMessage,
  type RegistryRequest,
  type SocketAddress,
  UsageError,
} from '../../core/index.ts'
import type { CallOptions, DialTarget, RegistryApi, RegistryReply } from './api.ts'
import type { Clock } from './clock.ts'
import { type Deferred, defer, settle } from './wait.ts'

export interface RegistryCallsOptions {
  readonly machine: NodeMachine
  readonly clock: Clock
  /** `host:port` of the registry. */
  readonly endpoint: string
  /** Takes what the machine has queued, soon. */
  readonly schedule: () => void
}

export class RegistryCalls implements RegistryApi {
  readonly endpoint: string
  readonly #options: RegistryCallsOptions
  readonly #machine: NodeMachine
  readonly #requests = new Map<number, Deferred<RegistryReply>>()
  #isAnswering = false
  #lastRefusal: string | undefined

  constructor(options: RegistryCallsOptions) {
    this.#options = options
    this.#machine = options.machine
    this.endpoint = options.endpoint
  }

  get isReachable(): boolean {
    return this.#isAnswering && this.#machine.isRegistryConnected
  }

  request(message: RegistryMessage, options?: CallOptions): Promise<RegistryReply> {
    return this.ask({ message }, options)
  }

  async requestSigned(message: RegistryMessage, options?: CallOptions): Promise<RegistryReply> {
    return this.ask(ownRequest(this.#machine.requests, message), options)
  }

  /** A request of this node, signed where it wants that. Without `timeoutMs` as long as the machine waits. */
  ask(
    request: RegistryRequest,
    { signal }: CallOptions = {},
    timeoutMs?: number,
  ): Promise<RegistryReply> {
    const id = this.#machine.request(request, this.#options.clock.now())
    const deferred = defer<RegistryReply>({
      signal,
      timeoutMs,
      onCancel: () => this.#requests.delete(id),
    })
    this.#requests.set(id, deferred)
    this.#options.schedule()
    return deferred.promise
  }

  resolveHostname(hostname: string, options?: CallOptions): Promise<RegistryReply> {
    return this.ask(this.#machine.requests.resolveHostname(hostname), options)
  }

  lookup(nodeId: number): Promise<RegistryReply> {
    return this.request({ type: 'lookup', node_id: nodeId })
  }

  /**
   * A text form of an address, a node id, or a hostname.
   *
   * @throws {PilotError} `ERR_HOSTNAME_NOT_FOUND`, `ERR_ADDRESS_INVALID`, `ERR_REGISTRY_UNAVAILABLE`.
   */
  async resolve(target: string, options: CallOptions = {}): Promise<Address> {
    if (target.includes(':')) return parseAddress(target)
    if (/^\d+$/.test(target) && Number(target) <= 0xffffffff)
      return { network: 0, node: Number(target) }
    let reply: RegistryReply
    try {
      reply = await this.resolveHostname(target, options)
    } catch (error) {
      if (!(error instanceof PilotError) || error.code !== 'ERR_REGISTRY') throw error
      const text = `hostname ${JSON.stringify(target)} not found`
      throw new NetworkError('ERR_HOSTNAME_NOT_FOUND', text, { cause: error })
    }
    if (typeof reply.address !== 'string')
      throw new NetworkError('ERR_REGISTRY', 'the registry answered without an address')
    return parseAddress(reply.address)
  }

  /** @throws {PilotError} as `resolve`, and `ERR_INVALID_ARGUMENT` without a port. */
  async resolveTarget(target: DialTarget, options: CallOptions): Promise<SocketAddress> {
    if (typeof target !== 'string') return target
    const colon = target.lastIndexOf(':')
    const port = Number(target.slice(colon + 1))
    if (colon < 1 || !/^\d+$/.test(target.slice(colon + 1)) || port > 0xffff)
      throw new UsageError(
        'ERR_INVALID_ARGUMENT',
        `expected host:port, got ${JSON.stringify(target)}`,
      )
    return { address: await this.resolve(target.slice(0, colon), options), port }
  }

  handleEvent(event: NodeMachineEvent): void {
    switch (event.type) {
      case 'registry-reply':
        this.#isAnswering = true
        return settle(this.#requests, event.id)?.resolve(event.reply)
      case 'registry-failed':
        this.#isAnswering = event.error.code === 'ERR_REGISTRY'
        return settle(this.#requests, event.id)?.reject(event.error)
      case 'registered':
        this.#isAnswering = true
        return
      case 'registration-refused':
        this.#lastRefusal = event.reason
        return
      case 'registry-lost':
        this.#isAnswering = false
    }
  }

  /** Why there is no registration yet. */
  registrationError(): PilotError {
    if (this.#lastRefusal === undefined) {
      const problem = this.#machine.registryProblem
      return new NetworkError(
        'ERR_REGISTRY_UNAVAILABLE',
        `no registry answers at ${this.endpoint}${problem === undefined ? '' : ` (${problem})`}`,
      )
    }
    const code = this.#machine.isRegistryConnected ? 'ERR_REGISTRY' : 'ERR_REGISTRY_UNAVAILABLE'
    return new NetworkError(code, `registration at ${this.endpoint} failed: ${this.#lastRefusal}`)
  }

  /** The node is closed. */
  close(error: PilotError): void {
    for (const deferred of this.#requests.values()) deferred.reject(error)
  }
}
