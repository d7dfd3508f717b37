/** `node.trust`: promises over the machine's trust, which settle when `trust.json` is written. */
import { type NodeMachine, type NodeMachineEvent, PilotError } from '../../core/index.ts'
import type { OutgoingPeer, PendingPeer, TrustApi, TrustedPeer } from './api.ts'
import type { Clock } from './clock.ts'
import { type Deferred, defer, settle } from './wait.ts'

type RequestOutcome = 'sent' | 'relayed' | 'already_trusted'

export interface TrustCallsOptions {
  readonly machine: NodeMachine
  readonly clock: Clock
  /** Writes `trust.json`; what is reported as done waits for it. */
  readonly save: ((text: string) => Promise<void>) | undefined
  /** Takes what the machine has queued, events included. */
  readonly drain: () => void
  /** @throws {PilotError} `ERR_NODE_CLOSED`. */
  readonly requireOpen: () => void
  /** Told before the events that a decision of the user causes. */
  readonly decided: (
    nodeId: number,
    decision: 'approved' | 'rejected' | 'revoked',
    reason: string,
  ) => void
}

export class TrustCalls implements TrustApi {
  readonly #options: TrustCallsOptions
  readonly #machine: NodeMachine
  readonly #requests = new Map<number, Deferred<RequestOutcome>>()
  readonly #waits = new Set<{ readonly nodeId: number; readonly deferred: Deferred<boolean> }>()
  #saving: Promise<void> = Promise.resolve()
  #saveError: unknown

  constructor(options: TrustCallsOptions) {
    this.#options = options
    this.#machine = options.machine
  }

  async request(nodeId: number, justification = ''): Promise<RequestOutcome> {
    this.#options.requireOpen()
    const id = this.#machine.requestTrust(nodeId, justification, this.#now)
    const deferred = defer<RequestOutcome>()
    this.#requests.set(id, deferred)
    const [outcome] = await Promise.all([deferred.promise, this.#saved()])
    return outcome
  }

  async approve(nodeId: number): Promise<void> {
    this.#machine.approveTrust(nodeId, this.#now)
    this.#options.decided(nodeId, 'approved', '')
    await this.#saved()
  }

  async reject(nodeId: number, reason = ''): Promise<void> {
    this.#machine.rejectTrust(nodeId, reason, this.#now)
    this.#options.decided(nodeId, 'rejected', reason)
    await this.#saved()
  }

  async revoke(nodeId: number): Promise<void> {
    this.#machine.revokeTrust(nodeId, this.#now)
    this.#options.decided(nodeId, 'revoked', '')
    await this.#saved()
  }

  pending(): readonly PendingPeer[] {
    return this.#machine.trust.store.pending()
  }

  trusted(): readonly TrustedPeer[] {
    return this.#machine.trust.store.trusted()
  }

  outgoing(): readonly OutgoingPeer[] {
    return this.#machine.trust.store.outgoing()
  }

  isTrusted(nodeId: number): boolean {
    return this.#machine.trust.isTrusted(nodeId)
  }

  async wait(nodeId: number, timeoutMs: number): Promise<boolean> {
    if (this.isTrusted(nodeId)) return true
    const waiting = { nodeId, deferred: defer<boolean>({ timeoutMs }) }
    this.#waits.add(waiting)
    try {
      return await waiting.deferred.promise
    } catch {
      return false
    } finally {
      this.#waits.delete(waiting)
    }
  }

  handleEvent(event: NodeMachineEvent): void {
    switch (event.type) {
      case 'trust-changed':
        return this.#save()
      case 'trust-outcome': {
        const waiting = settle(this.#requests, event.id)
        if (event.outcome instanceof PilotError) waiting?.reject(event.outcome)
        else waiting?.resolve(event.outcome)
        return
      }
      case 'trust-established':
        for (const { nodeId, deferred } of this.#waits)
          if (nodeId === event.nodeId) deferred.resolve(true)
    }
  }

  /** The node is closed. Settles when everything is written, or could not be. */
  async close(error: PilotError): Promise<void> {
    for (const deferred of this.#requests.values()) deferred.reject(error)
    for (const { deferred } of this.#waits) deferred.resolve(false)
    await this.#saving
  }

  #save(): void {
    const { save } = this.#options
    if (save === undefined) return
    // One after the other; each writes what is true then.
    this.#saving = this.#saving.then(async () => {
      try {
        await save(this.#machine.trust.store.format())
        this.#saveError = undefined
      } catch (error) {
        this.#saveError = error
      }
    })
  }

  async #saved(): Promise<void> {
    this.#options.drain()
    await this.#saving
    if (this.#saveError !== undefined) throw this.#saveError
  }

  get #now(): number {
    return this.#options.clock.now()
  }
}
