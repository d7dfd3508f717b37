/** Throughput and round trip over the last two minutes, one sample a second, of the node and of each peer. */
import { type Signal, signal } from '@preact/signals'
import type { PilotNode } from '../../../runtimes/browser/index.ts'
import type { Contact } from './contact.ts'

export const SAMPLES = 120
/** Peers with a history. */
const PEERS_MAX = 200

/** Columns of the same length, as the chart wants them; `null` where nothing is known. */
export interface Samples {
  /** Unix seconds. */
  readonly at: readonly number[]
  /** Bytes per second. */
  readonly sent: readonly (number | null)[]
  readonly received: readonly (number | null)[]
  readonly rttMs: readonly (number | null)[]
}

export const NO_SAMPLES: Samples = { at: [], sent: [], received: [], rttMs: [] }

interface Counts {
  readonly at: number
  readonly sent: number
  readonly received: number
}

class Series {
  readonly samples: Signal<Samples> = signal(NO_SAMPLES)
  #last: Counts | undefined

  add(counts: Counts, rttMs: number | undefined): void {
    const last = this.#last
    const seconds = last === undefined ? 0 : counts.at - last.at
    if (last !== undefined && seconds < 0.2) return // a refresh between two ticks
    // A tunnel that was made anew counts from 0.
    const rate = (now: number, before: number): number | null =>
      seconds > 0 ? Math.max(0, now - before) / seconds : null
    const { at, sent, received, rttMs: rtts } = this.samples.value
    const push = <T>(column: readonly T[], value: T): T[] => [...column.slice(1 - SAMPLES), value]
    this.samples.value = {
      at: push(at, counts.at),
      sent: push(sent, last === undefined ? null : rate(counts.sent, last.sent)),
      received: push(received, last === undefined ? null : rate(counts.received, last.received)),
      rttMs: push(rtts, rttMs ?? null),
    }
    this.#last = counts
  }
}

export class Traffic {
  readonly total: Series = new Series()
  readonly #peers = new Map<number, Series>()
  readonly #node: PilotNode

  constructor(node: PilotNode) {
    this.#node = node
  }

  peer(nodeId: number): Signal<Samples> {
    return this.#series(nodeId).samples
  }

  sample(contacts: readonly Contact[]): void {
    const at = Date.now() / 1000
    const { bytesSent, bytesReceived } = this.#node.info()
    this.total.add({ at, sent: bytesSent, received: bytesReceived }, undefined)
    for (const { nodeId, peer, rttMs } of contacts)
      if (peer !== undefined)
        this.#series(nodeId).add({ at, sent: peer.bytesSent, received: peer.bytesReceived }, rttMs)
  }

  #series(nodeId: number): Series {
    let series = this.#peers.get(nodeId)
    if (series === undefined) {
      const oldest = this.#peers.size >= PEERS_MAX ? this.#peers.keys().next().value : undefined
      if (oldest !== undefined) this.#peers.delete(oldest)
      series = new Series()
      this.#peers.set(nodeId, series)
    }
    return series
  }
}
