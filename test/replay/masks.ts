/**
 * What differs at every run, door by door, and so is not compared: the only list of this kind. A mask that hides
 * nothing in its conversations fails their test.
 */
import { expect } from 'vitest'

export const MASKS = {
  'daemon socket': {
    bytes_recv: 'a counter',
    bytes_sent: 'a counter',
    pkts_recv: 'a counter',
    pkts_sent: 'a counter',
    ports: 'how many services run',
    connections: 'what else the world was doing',
    peers: 'what else the world was doing',
    uptime_secs: 'a clock',
    uptime_seconds: 'a clock',
    version: 'of the program',
  },
  'registry of February 2026': {
    time: 'the clock of who answers',
    timestamp: 'the clock of who answers',
    error: 'texts of refusals are not part of the protocol (spec/04 §4)',
  },
  'replication of February 2026': {
    last_seen: 'the clock of who answers',
    created: 'the clock of who answers',
    timestamp: 'the clock of who answers',
    error: 'texts of refusals are not part of the protocol (spec/04 §4)',
  },
  'registry beside recorded daemons': {
    timestamp: 'the clock of who answers',
    created: 'the clock of who answers',
  },
  'registry of v1.9': {
    time: 'the clock of who answers',
    timestamp: 'the clock of who answers',
    created: 'the clock of who answers',
    error: 'texts of refusals are not part of the protocol (spec/04 §4)',
  },
} as const satisfies Readonly<Record<string, Readonly<Record<string, string>>>>

export type Door = keyof typeof MASKS

/** The masks of one door, and which of them were needed. */
export class Mask {
  readonly #door: Door
  readonly #names: ReadonlySet<string>
  readonly #used = new Set<string>()

  constructor(door: Door) {
    this.#door = door
    this.#names = new Set(Object.keys(MASKS[door]))
  }

  /**
   * `ours` with the recorded value in every masked member that both have, if both are numbers or texts;
   * all else as it is.
   */
  over(ours: unknown, recorded: unknown): unknown {
    if (Array.isArray(ours) && Array.isArray(recorded))
      return ours.map((one, i) => this.over(one, recorded[i]))
    if (!isRecord(ours) || !isRecord(recorded)) return ours
    return Object.fromEntries(
      Object.entries(ours).map(([name, value]) => {
        const other = recorded[name]
        if (!this.#names.has(name) || !isAlike(value, other)) return [name, this.over(value, other)]
        if (value !== other) this.#used.add(name)
        return [name, other]
      }),
    )
  }

  /** At the end of the conversations. */
  expectAllUsed(): void {
    const unused = [...this.#names].filter((name) => !this.#used.has(name))
    expect(unused, `masks of "${this.#door}" that hid nothing`).toEqual([])
  }
}

function isAlike(one: unknown, other: unknown): boolean {
  return typeof one === typeof other && (typeof one === 'number' || typeof one === 'string')
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
