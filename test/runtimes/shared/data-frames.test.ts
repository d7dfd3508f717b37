import { expect, it } from 'vitest'
import { AsyncStream } from '../../../runtimes/shared/services/async-stream.ts'
import { dataFrames } from '../../../runtimes/shared/services/data-frames.ts'
import { FakeNetwork } from '../node/fake-node.ts'

it('gives every frame, also the first and one that was begun, its time and no more', async () => {
  const network = new FakeNetwork()
  const [near, far] = [network.add(1), network.add(2)]
  const accepted: Parameters<NonNullable<ReturnType<typeof far.listen>['onconnection']>>[0][] = []
  far.listen(1001).onconnection = (connection) => accepted.push(connection)
  const client = await near.dial({ address: far.address, port: 1001 })
  const connection = accepted[0]!
  const timers: { work: () => void; ms: number; isStopped: boolean }[] = []
  const frames = dataFrames({
    connection,
    stream: new AsyncStream(connection),
    frameMs: 60_000,
    setTimer: (work, ms) => {
      const timer = { work, ms, isStopped: false }
      timers.push(timer)
      return () => {
        timer.isStopped = true
      }
    },
  })
  const text = Buffer.from('000000010000000568656c6c6f', 'hex')
  client.write(text)
  expect((await frames.next()).done).toBe(false)
  expect(timers).toMatchObject([{ ms: 60_000, isStopped: true }])
  client.write(text.subarray(0, 9)) // and the rest never comes
  const next = frames.next()
  await new Promise((resolve) => setImmediate(resolve))
  expect(timers).toMatchObject([{}, { ms: 60_000, isStopped: false }])
  timers[1]!.work()
  expect(await next).toMatchObject({ done: true })
  await expect(client.closed).rejects.toThrow('reset')
})
