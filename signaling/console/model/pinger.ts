/** Who answers, and how fast: the node that is looked at often, the others in turn. Silent while nobody looks. */
import type { PilotNode } from '../../../runtimes/browser/index.ts'
import type { Contact, Presence } from './contact.ts'

const SELECTED_EVERY_MS = 2000
const OTHERS_EVERY_MS = 20_000
/** Pings on their way at once. */
const FLYING_MAX = 8
const TIMEOUT_MS = 5000

interface Answer {
  readonly sentAt: number
  readonly rttMs: number | undefined
  readonly presence: Presence
}

export class Pinger {
  readonly #node: PilotNode
  readonly #answers = new Map<number, Answer>()
  readonly #flying = new Set<number>()
  readonly #stop = new AbortController()

  constructor(node: PilotNode) {
    this.#node = node
  }

  presence(nodeId: number): Presence {
    return this.#answers.get(nodeId)?.presence ?? 'unknown'
  }

  rttMs(nodeId: number): number | undefined {
    return this.#answers.get(nodeId)?.rttMs
  }

  /** Sends what is due. Only who trusts us answers, so nobody else is bothered. */
  tick(contacts: readonly Contact[], selected: number | undefined): void {
    if (document.visibilityState === 'hidden') return
    const now = performance.now()
    for (const { nodeId, relation } of contacts) {
      if (relation !== 'trusted') continue
      const everyMs = nodeId === selected ? SELECTED_EVERY_MS : OTHERS_EVERY_MS
      const last = this.#answers.get(nodeId)?.sentAt ?? Number.NEGATIVE_INFINITY
      if (now - last >= everyMs && this.#flying.size < FLYING_MAX && !this.#flying.has(nodeId))
        void this.#ping(nodeId, now)
    }
  }

  close(): void {
    this.#stop.abort()
  }

  async #ping(nodeId: number, sentAt: number): Promise<void> {
    this.#flying.add(nodeId)
    let rttMs: number | undefined
    try {
      const options = { timeoutMs: TIMEOUT_MS, signal: this.#stop.signal }
      rttMs = await this.#node.ping({ network: 0, node: nodeId }, options)
    } catch {
      // silence is the answer
    }
    this.#flying.delete(nodeId)
    const presence = rttMs === undefined ? 'silent' : 'online'
    this.#answers.set(nodeId, { sentAt, rttMs, presence })
  }
}
