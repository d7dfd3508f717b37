/** Lanes between tabs, on the BroadcastChannel that Node has too: the whole contract, and what ends a lane. */
import { describe, expect, it } from 'vitest'
import { TabLane } from '../../../runtimes/browser/tabs/tab-lane.ts'
import { NodeHost } from '../../../runtimes/shared/remote/node-host.ts'
import { RemoteNode } from '../../../runtimes/shared/remote/remote-node.ts'
import { nodeContract, until } from '../shared/remote/contract.ts'

let count = 0
const name = (): string => `tab-lane-test-${process.pid}-${count++}`

nodeContract('a node in another tab', async (engine) => {
  const host = new NodeHost(engine, { onclose: (timeoutMs) => engine.close({ timeoutMs }) })
  const channel = name()
  host.serve(new TabLane(channel))
  return RemoteNode.connect(new TabLane(channel))
})

describe('a lane between tabs', () => {
  it('keeps what comes before anybody listens, in order', async () => {
    const channel = name()
    const [a, b] = [new TabLane(channel), new TabLane(channel)]
    for (let i = 0; i < 100; i++) a.post({ i })
    await new Promise((resolve) => setTimeout(resolve, 20))
    const got: unknown[] = []
    b.onmessage = (message) => got.push(message)
    await until(() => got.length === 100)
    expect(got).toEqual(Array.from({ length: 100 }, (_, i) => ({ i })))
    a.close()
    b.close()
  })

  it('ends when a message is missing, and tells the other end', async () => {
    const channel = name()
    const [a, b] = [new TabLane(channel), new TabLane(channel)]
    const ends: string[] = []
    a.onmessage = () => {}
    b.onmessage = () => {}
    a.onclose = (reason) => ends.push(`a: ${reason}`)
    b.onclose = (reason) => ends.push(`b: ${reason}`)
    const stranger = new BroadcastChannel(channel)
    for (const junk of [null, 'text', 7, { number: 'one' }, { taken: -1 }, { taken: 99 }])
      stranger.postMessage(junk)
    await new Promise((resolve) => setTimeout(resolve, 20))
    // Counted messages that nobody sent are as good as lost ones: `{ number: 'one' }` was one.
    expect(ends).toHaveLength(2)
    expect(ends.join()).toContain('a message is missing')
    stranger.close()
  })

  it('ends when the other end takes nothing any more: by count, and by bytes', async () => {
    const frozen = name()
    const a = new TabLane(frozen)
    let reason = ''
    a.onclose = (why) => {
      reason = why
    }
    for (let i = 0; i < 8192; i++) a.post({ i })
    expect(reason).toBe('')
    a.post({})
    expect(reason).toMatch(/takes no messages/)
    const b = new TabLane(frozen)
    reason = ''
    b.onclose = (why) => {
      reason = why
    }
    for (let i = 0; i < 64; i++) {
      const bytes = new Uint8Array(1 << 20)
      b.post({ bytes }, [bytes.buffer])
    }
    expect(reason).toBe('')
    const more = new Uint8Array(1)
    b.post({ more }, [more.buffer])
    expect(reason).toMatch(/takes no messages/)
  })

  it('goes on for ever with one that does', async () => {
    const channel = name()
    const [a, b] = [new TabLane(channel), new TabLane(channel)]
    let got = 0
    b.onmessage = () => got++
    let isOver = false
    a.onclose = () => {
      isOver = true
    }
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 4000; i++) a.post({ i })
      await until(() => got === (round + 1) * 4000)
      await new Promise((resolve) => setTimeout(resolve, 120)) // the last acknowledgement
    }
    expect(isOver).toBe(false)
    a.close()
    await new Promise((resolve) => setTimeout(resolve, 20))
    b.close()
  })
})
