/**
 * A controller that models the path (after BBR, draft-ietf-ccwg-bbr): what it delivers at best and how long it takes
 * at least. In flight is about the product of both, so that queues stay short and losses that come at any load cost
 * nothing but themselves. What losses say nevertheless is `LossBound`'s.
 */
import type { Instant } from '../machine.ts'
import {
  type AckSample,
  type CongestionController,
  type CongestionOptions,
  FAST_RTT_MS,
} from './congestion.ts'
import { HyStart } from './hystart.ts'
import { LossBound } from './loss-bound.ts'
import { PathModel } from './path-model.ts'

const STARTUP_GAIN = 2.77
const DRAIN_GAIN = 0.5
/** A round each of more and of less than what the path delivers, then rounds of just that. */
const CYCLE: readonly number[] = [1.25, 0.75, 1, 1, 1, 1, 1, 1]
const WINDOW_GAIN = 2
/** Startup ends when the rate has not grown by a quarter for three rounds. */
const FULL_GROWTH = 1.25
const FULL_ROUNDS = 3
/** The least round trip holds so long; then in flight is halved for a moment to measure it anew. */
const LEAST_RTT_MS = 10_000
const PROBE_RTT_MS = 200
const PROBE_RTT_GAIN = 0.5
/** Segments that are in flight in any case: below four nothing could be learned of losses. */
const LEAST_SEGMENTS = 4

type Phase = 'startup' | 'drain' | 'probe-rate' | 'probe-rtt'

export class Bbr implements CongestionController {
  #options: CongestionOptions
  #cwnd: number
  #phase: Phase = 'startup'
  #pacingGain = STARTUP_GAIN

  readonly #model = new PathModel()
  readonly #bound = new LossBound()
  readonly #hystart = new HyStart()
  #fullRate = 0
  #fullRounds = 0
  #isFull = false

  #leastRttMs = Number.POSITIVE_INFINITY
  #leastRttAt: Instant = 0
  #probeRttUntil: Instant = 0

  #cycle = 0
  #cycleAt: Instant = 0

  #savedCwnd = 0

  constructor(options: CongestionOptions) {
    this.#options = options
    this.#cwnd = options.initialWindowBytes
  }

  get cwnd(): number {
    return this.#cwnd
  }
  get ssthresh(): number {
    return this.#isFull ? this.#target(1) : Number.POSITIVE_INFINITY
  }
  get pacingRate(): number {
    if (this.#model.rate === 0 || this.#leastRttMs < FAST_RTT_MS) return Number.POSITIVE_INFINITY
    return this.#model.rate * this.#pacingGain
  }

  handleAck(sample: AckSample): void {
    this.#model.handleAck(sample, this.#cwnd)
    this.#learnFull(sample)
    this.#learnRtt(sample)
    const wasCongested = this.#bound.handleAck(sample, this.#options.segmentBytes, this.#leastBytes)
    this.#advance(sample, wasCongested)
    this.#fitWindow(sample)
  }

  /** What is lost is counted with the acknowledgements. */
  handleLoss(): void {}

  handleTimeout(_inFlightBytes: number, isRepeat: boolean): void {
    if (!isRepeat) this.#savedCwnd = this.#cwnd
    this.#cwnd = this.#options.segmentBytes
  }

  handleSpurious(): void {
    this.#cwnd = Math.max(this.#cwnd, this.#savedCwnd)
  }

  /** The rate holds, and is paced by: nothing leaves in one burst. */
  handleIdle(): void {
    if (this.#model.rate === 0) this.#cwnd = Math.min(this.#cwnd, this.#options.initialWindowBytes)
  }

  reset(): void {
    this.#cwnd = this.#options.initialWindowBytes
    this.#phase = 'startup'
    this.#pacingGain = STARTUP_GAIN
    this.#model.reset()
    this.#bound.reset()
    this.#hystart.reset()
    this.#fullRate = this.#fullRounds = this.#savedCwnd = 0
    this.#isFull = false
    this.#leastRttMs = Number.POSITIVE_INFINITY
  }

  setSegment(segmentBytes: number, initialWindowBytes: number): void {
    const isUnused = this.#cwnd === this.#options.initialWindowBytes
    this.#options = { ...this.#options, segmentBytes, initialWindowBytes }
    if (isUnused) this.#cwnd = initialWindowBytes
  }

  #learnFull({ rate, isAppLimited, isRoundStart }: AckSample): void {
    if (this.#isFull || !isRoundStart || isAppLimited || rate === 0) return
    if (this.#model.rate >= this.#fullRate * FULL_GROWTH) {
      this.#fullRate = this.#model.rate
      this.#fullRounds = 0
    } else if (++this.#fullRounds >= FULL_ROUNDS) this.#isFull = true
  }

  #learnRtt({ rttMs, now, isAppLimited, inFlightBytes }: AckSample): void {
    const isOld = now - this.#leastRttAt > LEAST_RTT_MS
    if (rttMs >= 0 && (rttMs <= this.#leastRttMs || (isOld && isAppLimited))) {
      this.#leastRttMs = rttMs
      this.#leastRttAt = now
    } else if (
      isOld &&
      this.#isFull &&
      this.#phase !== 'probe-rtt' &&
      this.#leastRttMs >= FAST_RTT_MS
    ) {
      this.#phase = 'probe-rtt'
      this.#pacingGain = 1
      this.#probeRttUntil = Number.POSITIVE_INFINITY
      this.#savedCwnd = this.#cwnd
      this.#leastRttMs = rttMs >= 0 ? rttMs : this.#leastRttMs
      this.#leastRttAt = now
    }
    if (this.#phase !== 'probe-rtt') return
    if (this.#probeRttUntil === Number.POSITIVE_INFINITY) {
      if (inFlightBytes <= this.#probeRttBytes)
        this.#probeRttUntil = now + Math.max(PROBE_RTT_MS, this.#leastRttMs)
    } else if (now >= this.#probeRttUntil) {
      this.#leastRttAt = now
      this.#cwnd = Math.max(this.#cwnd, this.#savedCwnd)
      this.#enterCycle(now)
    }
  }

  #advance(sample: AckSample, wasCongested: boolean): void {
    const { now, inFlightBytes, inFlightBefore } = sample
    if (this.#phase === 'startup') {
      // A queue that builds up tells earlier than losses (compare RFC 9406).
      const isDone = this.#hystart.handleAck(sample.rttMs, sample.isRoundStart)
      this.#pacingGain = 1 + (STARTUP_GAIN - 1) / this.#hystart.divisor
      if (wasCongested || isDone) this.#isFull = true
      if (!this.#isFull) return
      this.#phase = 'drain'
      this.#pacingGain = DRAIN_GAIN
    }
    if (this.#phase === 'drain') {
      if (inFlightBytes <= this.#product(1)) this.#enterCycle(now)
      return
    }
    if (this.#phase !== 'probe-rate') return
    const hasLasted = now - this.#cycleAt > this.#leastRttMs
    const gain = this.#pacingGain
    const isOver =
      gain > 1
        ? wasCongested ||
          (hasLasted && (sample.lostBytes > 0 || inFlightBefore >= this.#product(gain)))
        : gain < 1
          ? hasLasted || inFlightBefore <= this.#product(1)
          : hasLasted
    if (isOver) this.#enterPhase((this.#cycle + 1) % CYCLE.length, now)
  }

  /** Flows that start together do not probe together: each begins where its own numbers put it. */
  #enterCycle(now: Instant): void {
    this.#phase = 'probe-rate'
    const spread = Math.floor(now * 1000 + this.#model.round) % (CYCLE.length - 1)
    this.#enterPhase(spread === 1 ? CYCLE.length - 1 : spread, now)
  }

  #enterPhase(cycle: number, now: Instant): void {
    this.#cycle = cycle
    this.#cycleAt = now
    this.#pacingGain = CYCLE[cycle]!
  }

  #fitWindow({ deliveredBytes, isLimited }: AckSample): void {
    const { initialWindowBytes, maxWindowBytes } = this.#options
    const target = this.#target(this.#isFull ? WINDOW_GAIN : STARTUP_GAIN)
    let cwnd = this.#cwnd
    if (this.#isFull) cwnd = Math.min(cwnd + deliveredBytes, target)
    else if (isLimited && (cwnd < target || cwnd < 2 * initialWindowBytes)) cwnd += deliveredBytes
    if (this.#phase === 'probe-rtt') cwnd = Math.min(cwnd, this.#probeRttBytes)
    cwnd = Math.min(cwnd, this.#bound.bytes, maxWindowBytes)
    this.#cwnd = Math.max(cwnd, this.#leastBytes)
  }

  get #leastBytes(): number {
    return LEAST_SEGMENTS * this.#options.segmentBytes
  }
  get #probeRttBytes(): number {
    return Math.max(this.#leastBytes, this.#product(PROBE_RTT_GAIN))
  }

  /** Bytes that fill the path `gain` times. */
  #product(gain: number): number {
    if (this.#model.rate === 0) return this.#options.initialWindowBytes
    return this.#model.product(gain, this.#leastRttMs)
  }

  /** The same with what waits for acknowledgement although it arrived. */
  #target(gain: number): number {
    return this.#product(gain) + this.#model.lumpBytes + 3 * this.#options.segmentBytes
  }
}
