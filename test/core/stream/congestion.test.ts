/** How much may be out, and how fast: each part by itself. */
import { describe, expect, it } from 'vitest'
import { Adaptive } from '../../../core/stream/adaptive.ts'
import type { AckSample, CongestionController } from '../../../core/stream/congestion.ts'
import { CONGESTION_NAMES, controllerOf } from '../../../core/stream/controllers.ts'
import { Cubic } from '../../../core/stream/cubic.ts'
import { HyStart } from '../../../core/stream/hystart.ts'
import { InFlight } from '../../../core/stream/in-flight.ts'
import { LossBound } from '../../../core/stream/loss-bound.ts'
import { Pacer } from '../../../core/stream/pacer.ts'
import { WindowedMax } from '../../../core/stream/windowed-max.ts'

const MSS = 1000
const options = { segmentBytes: MSS, initialWindowBytes: 10 * MSS, maxWindowBytes: 4_000_000 }

function sample(now: number, some: Partial<AckSample> = {}): AckSample {
  return {
    now,
    deliveredBytes: MSS,
    lostBytes: 0,
    inFlightBefore: 10 * MSS,
    inFlightBytes: 9 * MSS,
    rttMs: 40,
    srttMs: 40,
    minRttMs: 40,
    rate: 1000,
    isAppLimited: false,
    isRoundStart: false,
    isLimited: true,
    isRecovering: false,
    ...some,
  }
}

/** Rounds of 20 acknowledged segments each. */
function rounds(controller: CongestionController, count: number, some: Partial<AckSample>): void {
  for (let round = 0; round < count; round++)
    for (let i = 0; i < 20; i++)
      controller.handleAck(sample(round * 40 + 2 * i, { isRoundStart: i === 0, ...some }))
}

describe.each(CONGESTION_NAMES)('controller %s', (name) => {
  it('begins with the initial window, grows while it is used, and starts over with a path', () => {
    const controller = controllerOf(name)(options)
    expect(controller.cwnd).toBe(10 * MSS)
    rounds(controller, 5, {})
    const grown = controller.cwnd
    expect(grown).toBeGreaterThan(10 * MSS)
    controller.reset()
    expect(controller.cwnd).toBe(10 * MSS)
  })

  it('shrinks when losses come with a queue, and grants a segment after a timeout', () => {
    const controller = controllerOf(name)(options)
    rounds(controller, 8, { rate: 5000 })
    rounds(controller, 4, { rate: 5000, rttMs: 120, srttMs: 120 })
    const before = controller.cwnd
    controller.handleLoss(before, 500)
    rounds(controller, 6, {
      rttMs: 120,
      srttMs: 120,
      lostBytes: MSS / 2,
      rate: 1000,
      isRecovering: true,
      inFlightBefore: before,
    })
    expect(controller.cwnd).toBeLessThan(before)
    controller.handleTimeout(before, false, 1000)
    expect(controller.cwnd).toBe(MSS)
    controller.handleSpurious()
    expect(controller.cwnd).toBeGreaterThan(MSS)
  })

  it('does not pace what a timer is too coarse for', () => {
    const controller = controllerOf(name)(options)
    expect(controller.pacingRate).toBe(Number.POSITIVE_INFINITY)
    rounds(controller, 2, { rttMs: 0.2, srttMs: 0.2, minRttMs: 0.2 })
    expect(controller.pacingRate).toBe(Number.POSITIVE_INFINITY)
    controller.reset()
    rounds(controller, 2, {})
    expect(controller.pacingRate).toBeLessThan(Number.POSITIVE_INFINITY)
  })
})

it('an unknown name is misuse', () => {
  expect(() => controllerOf('vegas' as 'auto')).toThrow(/auto, cubic, bbr, got vegas/)
})

describe('Adaptive', () => {
  it('keeps its window when losses come without a queue, where CUBIC does not', () => {
    const pair = [new Adaptive(options), new Cubic(options)]
    for (const controller of pair) rounds(controller, 6, {})
    const [before] = pair.map(({ cwnd }) => cwnd)
    for (const controller of pair) controller.handleLoss(before!, 300)
    expect(pair[0]!.cwnd).toBe(before)
    expect(pair[1]!.cwnd).toBeLessThan(before!)
  })

  it('takes losses beyond what such links have for congestion all the same', () => {
    const controller = new Adaptive(options)
    rounds(controller, 6, {})
    const before = controller.cwnd
    controller.handleLoss(before, 300)
    rounds(controller, 12, { lostBytes: MSS / 2, isRecovering: true, inFlightBefore: before })
    expect(controller.cwnd).toBeLessThan(before)
  })
})

describe('HyStart', () => {
  it('ends slow start some rounds after round trips grew, unless they shrink again', () => {
    const play = (rtts: readonly number[]): boolean => {
      const hystart = new HyStart()
      let isDone = false
      for (const rtt of rtts)
        for (let i = 0; i < 10; i++) isDone = hystart.handleAck(rtt, i === 0) || isDone
      return isDone
    }
    expect(play([40, 40, 40, 40, 40, 40, 40, 40, 40, 40])).toBe(false)
    expect(play([40, 40, 60, 60, 60, 60, 60, 60])).toBe(true)
    expect(play([40, 40, 60, 40, 40, 40, 40, 40])).toBe(false)
  })
})

describe('Pacer', () => {
  it('lets the rate pass, in batches of a millisecond', () => {
    const pacer = new Pacer(1)
    let now = 0
    let bytes = 0
    const gaps: number[] = []
    while (now < 1000) {
      while (pacer.allows(1000, now)) {
        pacer.count(MSS, 5000, 10 * MSS, now)
        bytes += MSS
      }
      gaps.push(pacer.nextAt - now)
      now = pacer.nextAt
    }
    expect(bytes / 1000).toBeGreaterThan(4900)
    expect(bytes / 1000).toBeLessThan(5100)
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(1)
  })

  it('makes up for a late timer, not for a long pause', () => {
    const pacer = new Pacer(1)
    const burst = (now: number): number => {
      let count = 0
      for (; pacer.allows(1000, now); count++) pacer.count(MSS, 5000, 10 * MSS, now)
      return count
    }
    burst(0)
    expect(burst(3)).toBe(15)
    expect(Math.abs(burst(1000) - 20)).toBeLessThanOrEqual(1)
  })
})

describe('LossBound', () => {
  it('learns what a path always loses, and bounds by what is lost beyond it in a queue', () => {
    const bound = new LossBound()
    const round = (lostBytes: number, rttMs: number): boolean => {
      bound.handleAck(sample(0, { deliveredBytes: 97 * MSS, lostBytes, rttMs }), MSS, 4 * MSS)
      return bound.handleAck(sample(0, { rttMs, isRoundStart: true }), MSS, 4 * MSS)
    }
    for (let i = 0; i < 40; i++) expect(round(3 * MSS, 40)).toBe(false)
    expect(round(3 * MSS, 90)).toBe(false)
    expect(bound.bytes).toBe(Number.POSITIVE_INFINITY)
    expect(round(10 * MSS, 90)).toBe(true)
    expect(bound.bytes).toBe(7 * MSS)
  })
})

it('the largest of a window of time is forgotten in time', () => {
  const max = new WindowedMax(10)
  for (let time = 0; time < 100; time++) {
    max.update(time, time === 20 ? 9 : 1 + (time % 3))
    if (time >= 20 && time <= 30) expect(max.value).toBe(9)
    if (time > 42) expect(max.value).toBe(3)
  }
})

describe('delivery rate', () => {
  it('is what arrived over the longer of sending and acknowledging', () => {
    const board = new InFlight()
    for (let i = 0; i < 10; i++) board.push(i * MSS, MSS, i)
    board.beginAck(0, 40)
    board.acknowledge(5 * MSS)
    board.rate.endAck(0)
    expect(board.rate.rate).toBe(125) // 5000 bytes in the 40 ms since the first left
    expect(board.rate.isRoundStart).toBe(true)
    board.beginAck(40, 41)
    board.acknowledge(6 * MSS)
    board.rate.endAck(40)
    expect(board.rate.rate).toBeCloseTo(6000 / 41)
    expect(board.rate.isRoundStart).toBe(false)
  })

  it('is marked when there was less to send than allowed', () => {
    const board = new InFlight()
    board.push(0, MSS, 0)
    board.rate.handleAppLimited(board.pipe)
    board.push(MSS, MSS, 1)
    board.beginAck(0, 40)
    board.acknowledge(2 * MSS)
    board.rate.endAck(0)
    expect(board.rate.isAppLimited).toBe(true)
    board.push(2 * MSS, MSS, 50)
    board.beginAck(40, 90)
    board.acknowledge(3 * MSS)
    board.rate.endAck(40)
    expect(board.rate.isAppLimited).toBe(false)
  })
})
