/** `trust` and `registry` of a node that lives elsewhere. */
import type { Address } from '../../../core/index.ts'
import type {
  CallOptions,
  OutgoingPeer,
  PendingPeer,
  RegistryApi,
  RegistryReply,
  TrustApi,
  TrustedPeer,
} from '../api.ts'
import type { NodeState } from './node-state.ts'
import type { RemoteMethod } from './remote-message.ts'

export interface RemoteCalls {
  call<T>(method: RemoteMethod, args: readonly unknown[], options?: CallOptions): Promise<T>
  state(): NodeState
}

export class RemoteTrust implements TrustApi {
  readonly #calls: RemoteCalls

  constructor(calls: RemoteCalls) {
    this.#calls = calls
  }

  request(nodeId: number, justification = ''): Promise<'sent' | 'relayed' | 'already_trusted'> {
    return this.#calls.call('requestTrust', [nodeId, justification])
  }
  approve(nodeId: number): Promise<void> {
    return this.#calls.call('approveTrust', [nodeId])
  }
  reject(nodeId: number, reason = ''): Promise<void> {
    return this.#calls.call('rejectTrust', [nodeId, reason])
  }
  revoke(nodeId: number): Promise<void> {
    return this.#calls.call('revokeTrust', [nodeId])
  }
  pending(): readonly PendingPeer[] {
    return this.#calls.state().trust.pending
  }
  trusted(): readonly TrustedPeer[] {
    return this.#calls.state().trust.trusted
  }
  outgoing(): readonly OutgoingPeer[] {
    return this.#calls.state().trust.outgoing
  }
  isTrusted(nodeId: number): boolean {
    return this.trusted().some((peer) => peer.nodeId === nodeId)
  }
  wait(nodeId: number, timeoutMs: number): Promise<boolean> {
    return this.#calls.call('waitTrust', [nodeId, timeoutMs])
  }
}

export class RemoteRegistry implements RegistryApi {
  readonly #calls: RemoteCalls

  constructor(calls: RemoteCalls) {
    this.#calls = calls
  }

  get endpoint(): string {
    return this.#calls.state().registry.endpoint
  }
  get isReachable(): boolean {
    return this.#calls.state().registry.isReachable
  }
  request(message: Record<string, unknown>, options?: CallOptions): Promise<RegistryReply> {
    return this.#calls.call('request', [message], options)
  }
  requestSigned(message: Record<string, unknown>, options?: CallOptions): Promise<RegistryReply> {
    return this.#calls.call('requestSigned', [message], options)
  }
  resolveHostname(hostname: string): Promise<RegistryReply> {
    return this.#calls.call('resolveHostname', [hostname])
  }
  lookup(nodeId: number): Promise<RegistryReply> {
    return this.#calls.call('lookup', [nodeId])
  }
  resolve(target: string, options?: CallOptions): Promise<Address> {
    return this.#calls.call('resolve', [target], options)
  }
}
