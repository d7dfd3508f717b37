/** Sleep as a page or worker sees it: a clock that jumped between two ticks. */
import { expect, it } from 'vitest'
import { WakeWatch } from '../../../runtimes/browser/wake-watch.ts'

it('tells of a clock that jumped, once, and not of one that is merely late', async () => {
  let at = 1_000_000
  let step = 5
  const slept: number[] = []
  const ticks = { count: 0 }
  const watch = new WakeWatch({
    toleranceMs: 4000,
    intervalMs: 5,
    onwake: (ms) => slept.push(ms),
    now: () => {
      ticks.count++
      at += step
      return at
    },
  })
  const after = async (count: number): Promise<void> => {
    const until = ticks.count + count
    while (ticks.count < until) await new Promise((resolve) => setTimeout(resolve, 1))
  }
  await after(3)
  step = 4005 // as late as browsers may be
  await after(2)
  expect(slept).toEqual([])
  at += 600_000
  step = 5
  await after(3)
  expect(slept).toEqual([600_000])
  watch.stop()
  const { count } = ticks
  await new Promise((resolve) => setTimeout(resolve, 30))
  expect(ticks.count).toBe(count)
})
