/** The networks that this node is in, as the registry knows them (spec/05 §12), for Info and the log. */
import type { Address } from '../../../core/wire/address.ts'
import type { PilotNode } from '../../shared/api.ts'
import type { Log } from './log.ts'

export interface MembershipsOptions {
  readonly node: PilotNode
  readonly log: Log
  /** Networks to join at the start. */
  readonly join: readonly number[]
  /** Taken along where a network wants more than it says; `''` for none. */
  readonly adminToken: string
}

/** Others change memberships too: owners kick, invites are answered elsewhere. */
const REFRESH_MS = 60_000

export class Memberships implements Disposable {
  readonly #options: MembershipsOptions
  #networks: readonly number[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(options: MembershipsOptions) {
    this.#options = options
  }

  /** Addresses of this node in its networks, the backbone left out. */
  get addresses(): readonly Address[] {
    const { node } = this.#options.node.address
    return this.#networks.map((network) => ({ network, node }))
  }

  /** Joins what it was told to. Never rejects: what fails is in the log. */
  async start(): Promise<void> {
    this.#timer = setInterval(() => void this.refresh(), REFRESH_MS).unref()
    await this.refresh()
    const { node, log, join, adminToken } = this.#options
    for (const network of join) {
      if (this.#networks.includes(network)) continue
      try {
        const reply = await node.registry.requestSigned({
          type: 'join_network',
          network_id: network,
          ...(adminToken !== '' && { admin_token: adminToken }),
        })
        log.info('joined network', { network, addr: `${reply.address ?? ''}` })
      } catch (error) {
        log.warn('network not joined', {
          network,
          reason: error instanceof Error ? error.message : String(error),
        })
      }
    }
    if (join.length > 0) await this.refresh()
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  /** Asks the registry; keeps what was known when it does not answer. */
  async refresh(): Promise<void> {
    const { node } = this.#options
    try {
      const { networks } = await node.registry.lookup(node.nodeId)
      if (!Array.isArray(networks)) return
      this.#networks = networks.filter(
        (one): one is number => Number.isInteger(one) && one > 0 && one < 2 ** 16,
      )
    } catch {
      // Said elsewhere: the registry is out of reach.
    }
  }
}
