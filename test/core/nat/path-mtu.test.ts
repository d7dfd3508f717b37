import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Endpoint } from '../../../core/index.ts'
import { BASE_DATAGRAM_BYTES, DATAGRAM_BYTES_MAX, PathMtu } from '../../../core/nat/path-mtu.ts'

const path: Endpoint = { address: '203.0.113.5', port: 4000 }
const other: Endpoint = { address: '203.0.113.6', port: 4000 }

/** Runs a search over a path that carries `carries` bytes until `until`; the sizes probed, in order. */
function search(mtu: PathMtu, carries: number, from: number, until: number): number[] {
  const probed: number[] = []
  for (let at: number | undefined = from; at !== undefined && at <= until; at = mtu.pollTimeout()) {
    const bytes = mtu.pollProbe(20, at)
    if (bytes === undefined) continue
    probed.push(bytes)
    if (bytes <= carries) mtu.handleAnswer(path, bytes, at)
  }
  return probed
}

function follow(largest: number, now = 0): PathMtu {
  const mtu = new PathMtu()
  mtu.follow(path, () => largest, now)
  return mtu
}

describe('a search', () => {
  it('takes what the interface carries at the first answer, and is over', () => {
    const mtu = follow(1472)
    expect(mtu.bytesTo(path)).toBeUndefined()
    expect(search(mtu, 1472, 0, 10_000)).toEqual([1472])
    expect(mtu.bytesTo(path)).toBe(1472)
    expect(mtu.pollTimeout()).toBeUndefined()
  })

  it('goes down by the sizes that networks have, two probes each', () => {
    const mtu = follow(8972)
    expect(search(mtu, 1452, 0, 20_000)).toEqual([
      8972, 8972, 8952, 8952, 4052, 4052, 1472, 1472, 1452,
    ])
    expect(mtu.bytesTo(path)).toBe(1452)
  })

  it('looks again after ten minutes, above what it has', () => {
    const mtu = follow(1472)
    search(mtu, 1392, 0, 20_000)
    expect(mtu.bytesTo(path)).toBe(1392)
    expect(search(mtu, 1472, 20_001, 599_000)).toEqual([])
    expect(search(mtu, 1472, 600_000, 700_000)[0]).toBe(1472)
    expect(mtu.bytesTo(path)).toBe(1472)
  })

  it('ends where nothing larger than the least passes', () => {
    const mtu = follow(1472)
    const probed = search(mtu, 1232, 0, 60_000)
    expect(Math.min(...probed)).toBeGreaterThan(BASE_DATAGRAM_BYTES)
    expect(mtu.bytesTo(path)).toBeUndefined()
  })

  it('does not begin on an interface that carries no more', () => {
    expect(follow(1232).pollTimeout()).toBeUndefined()
    expect(follow(1200).pollTimeout()).toBeUndefined()
  })

  it('asks for no more than is worth having', () => {
    expect(search(follow(65_507), 65_507, 0, 10_000)).toEqual([DATAGRAM_BYTES_MAX])
  })

  it.each([1, 30, 400])(
    'waits three round trips of %i ms for an answer, and half a second',
    (rtt) => {
      const mtu = follow(1472)
      expect(mtu.pollProbe(rtt, 0)).toBe(1472)
      expect(mtu.pollTimeout()).toBe(Math.max(500, 3 * rtt))
      expect(mtu.pollProbe(rtt, 100)).toBeUndefined()
    },
  )

  it('ends with the largest common size that passes, whatever the path, and never above', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1200, max: 65_507 }),
        fc.integer({ min: 1200, max: 65_507 }),
        (largest, carries) => {
          const mtu = follow(largest)
          for (const bytes of search(mtu, carries, 0, 100_000)) {
            expect(bytes).toBeLessThanOrEqual(largest)
            expect(bytes).toBeGreaterThan(BASE_DATAGRAM_BYTES)
          }
          expect(mtu.bytesTo(path) ?? 0).toBeLessThanOrEqual(carries)
          // Its end is an end: no timer that fires again and again.
          expect(mtu.pollTimeout() ?? 600_000).toBeGreaterThanOrEqual(500_000)
        },
      ),
    )
  })
})

describe('what it knows', () => {
  it('is of one path: another begins anew', () => {
    const mtu = follow(1472)
    search(mtu, 1472, 0, 1000)
    expect(mtu.bytesTo(other)).toBeUndefined()
    mtu.follow(other, () => 1472, 1000)
    expect(mtu.bytesTo(other)).toBeUndefined()
    expect(mtu.bytesTo(path)).toBeUndefined()
    expect(mtu.pollProbe(0, 1000)).toBe(1472)
  })

  it('does not change by an answer of another path, or to a smaller probe', () => {
    const mtu = follow(1472)
    expect(mtu.handleAnswer(other, 1472, 0)).toBe(false)
    expect(mtu.handleAnswer(path, 1472, 0)).toBe(true)
    expect(mtu.handleAnswer(path, 1392, 0)).toBe(false)
    expect(mtu.bytesTo(path)).toBe(1472)
  })

  it('is given up when nothing large arrives, and sought again a minute later', () => {
    const mtu = follow(1472)
    expect(mtu.handleBlackHole(0)).toBe(false)
    search(mtu, 1472, 0, 1000)
    expect(mtu.handleBlackHole(5000)).toBe(true)
    expect(mtu.bytesTo(path)).toBeUndefined()
    expect(mtu.handleBlackHole(5000)).toBe(false)
    expect(mtu.pollProbe(0, 64_999)).toBeUndefined()
    expect(search(mtu, 1392, 65_000, 90_000).at(-1)).toBe(1392)
  })

  it('goes with the path', () => {
    const mtu = follow(1472)
    search(mtu, 1400, 0, 10_000)
    mtu.leave()
    expect(mtu.bytesTo(path)).toBeUndefined()
    expect(mtu.pollTimeout()).toBeUndefined()
  })
})
