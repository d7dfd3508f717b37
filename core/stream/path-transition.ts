/**
 * What a sender knows of the path before the present one: segments under way there arrive in their own time,
 * overtaken by what leaves on the new path, and say nothing of it.
 */
import type { Instant } from '../machine.ts'

/** What is known of a new path. */
export interface PathChange {
  /** Payload of a segment there, toward peers that count bytes. Default: what every path carries. */
  readonly segmentBytes?: number | undefined
  /** Of a probe there. */
  readonly rttMs?: number | undefined
  /** The old path still works: what is under way on it will arrive. Default false: it is lost. */
  readonly isOldAlive?: boolean
}

/** Beyond a round trip of the old path, until what was under way there has arrived or is lost. */
const OLD_PATH_SLACK_MS = 50

export class PathTransition {
  #changedAt: Instant = Number.NEGATIVE_INFINITY
  #until: Instant = Number.NEGATIVE_INFINITY
  #bytes = 0

  /** Until then nothing sent before the change is missed. */
  get until(): Instant {
    return this.#until
  }

  /** `pipe` bytes are under way on the old path, which took `rttMs` there and back and still works. */
  await(pipe: number, rttMs: number, now: Instant): void {
    this.#changedAt = now
    this.#until = now + rttMs + OLD_PATH_SLACK_MS
    this.#bytes = pipe
  }

  /** Nothing is expected by the old path. */
  forget(now: Instant): void {
    this.#changedAt = this.#until = now
    this.#bytes = 0
  }

  /** A segment sent then went by the present path. */
  isOfThisPath(sentAt: Instant): boolean {
    return sentAt >= this.#changedAt
  }

  handleOldDelivered(bytes: number): void {
    this.#bytes = Math.max(0, this.#bytes - bytes)
  }

  /** What the old path still has takes nothing of the new one's window. */
  oldBytes(now: Instant): number {
    if (now >= this.#until) this.#bytes = 0
    return this.#bytes
  }

  /** Everything was declared lost. */
  giveUp(): void {
    this.#bytes = 0
  }
}
