/** Watches a daemon's node: writes its news to the log, and keeps its name at the registry true. */
import { PilotError } from '../../../core/errors.ts'
import { formatAddress } from '../../../core/wire/address.ts'
import type { NodeEvent, PilotNode } from '../../shared/api.ts'
import type { Log } from './log.ts'
import { LogLimit } from './log-limit.ts'

/** Longest wait for the registry's word on the hostname at the start. */
const CLAIM_MS = 2000

export interface NodeWatchOptions {
  readonly node: PilotNode
  /** `''`: none. */
  readonly hostname: string
  /** `host:port`, or `''`. */
  readonly beacon: string
  readonly log: Log
}

export class NodeWatch {
  readonly #options: NodeWatchOptions
  /** Anyone can make these: one line per node and minute says it. */
  readonly #mismatches = new LogLimit({ perKeyMs: 60_000, keysMax: 20 })
  #hostnameError = ''

  constructor(options: NodeWatchOptions) {
    this.#options = options
    options.node.on((event) => this.#handle(event))
  }

  /** Why the registry does not know this node by the name it was given; `''` when it does, or none was given. */
  get hostnameError(): string {
    return this.#hostnameError
  }

  /** Asks the registry for the hostname. A refusal is told, and is no reason not to run. */
  async claimHostname(): Promise<void> {
    const { node, hostname, log } = this.#options
    if (hostname === '') return
    const late = new Promise<'late'>((resolve) => {
      setTimeout(() => resolve('late'), CLAIM_MS).unref()
    })
    try {
      const isLate = (await Promise.race([node.setHostname(hostname), late])) === 'late'
      this.#hostnameError = isLate ? 'the registry has not answered yet' : ''
    } catch (error) {
      this.#refused(hostname, error instanceof Error ? error.message : String(error))
      if (!(error instanceof PilotError)) throw error
    }
    if (this.#hostnameError !== '')
      log.warn('the hostname is not set', { hostname, reason: this.#hostnameError })
  }

  #refused(hostname: string, message: string): void {
    if (hostname === this.#options.hostname)
      this.#hostnameError = message.replace(/^registry: /, '').replace(/^invalid hostname: /, '')
  }

  #handle(event: NodeEvent): void {
    const { log, beacon } = this.#options
    switch (event.type) {
      case 'registered':
        log.info('registered', { addr: formatAddress(event.address) })
        // Whoever had the name may have let it go.
        if (this.#hostnameError !== '') void this.claimHostname()
        break
      case 'registry-lost':
        log.warn('registry lost, trying again', { reason: event.reason })
        break
      case 'hostname-refused':
        this.#refused(event.hostname, event.reason)
        log.warn('hostname refused', { hostname: event.hostname, reason: event.reason })
        break
      case 'beacon-status':
        if (event.status === 'silent')
          log.warn('the beacon does not answer: no relay and no hole punching until it does', {
            beacon,
          })
        else log.info('the beacon answers again', { beacon })
        break
      case 'trust-request':
        log.info('trust request', { node_id: event.nodeId, justification: event.justification })
        break
      case 'trust-established':
        log.info('trust established', { node_id: event.nodeId, mutual: event.mutual })
        break
      case 'trust-rejected':
        log.info('trust request rejected by peer', { node_id: event.nodeId, reason: event.reason })
        break
      case 'trust-revoked':
        log.info('trust revoked', { node_id: event.nodeId })
        break
      case 'peer-key-mismatch':
        if (this.#mismatches.take(event.nodeId, performance.now()))
          log.warn('somebody presented another key than the one known for this node; refused', {
            node_id: event.nodeId,
          })
        break
      case 'peer-key-rotated':
        log.info('a trusted node has another key, signed with the former one', {
          node_id: event.nodeId,
        })
        break
      case 'relay-connected':
        log.info('connected to the relay')
        break
      case 'relay-lost':
        log.warn('relay lost, trying again', { reason: event.reason })
        break
      case 'relay-replaced':
        log.error(
          'another process with this identity took the relay over; this one hears nothing until it is restarted',
        )
        break
      case 'webrtc-lost':
        log.warn('WebRTC paths are lost, the relay goes on', { reason: event.reason })
        break
      case 'peer-keyed':
        log.debug('tunnel keyed', { node_id: event.nodeId })
        break
      case 'path-changed':
        log.debug('path changed', { node_id: event.nodeId, path: event.path })
    }
  }
}
