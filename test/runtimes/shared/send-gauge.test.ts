/** Outlets that queue: who sends is told in time, and told again when there is room. */
import { describe, expect, it } from 'vitest'
import type { Endpoint } from '../../../core/index.ts'
import { type PathOutlet, PathSocket } from '../../../runtimes/shared/path-socket.ts'
import { SendGauge } from '../../../runtimes/shared/send-gauge.ts'
import type { DatagramSocket } from '../../../runtimes/shared/transport.ts'

const tick = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

function gauge() {
  const state = { buffered: 0, asked: 0, changes: [] as boolean[] }
  const made = new SendGauge({
    highBytes: 1000,
    lowBytes: 400,
    buffered: () => {
      state.asked++
      return state.buffered
    },
    onchange: (isFull) => state.changes.push(isFull),
  })
  return { state, made }
}

describe('SendGauge', () => {
  it('is full above its high mark, and has room again from the low one down, without being told', async () => {
    const { state, made } = gauge()
    state.buffered = 1001
    made.sent(1001)
    expect(state.changes).toEqual([true])
    state.buffered = 500
    await tick(20)
    expect(state.changes).toEqual([true])
    state.buffered = 400
    await expect.poll(() => state.changes).toEqual([true, false])
  })

  it('counts what is on its way to the outlet', () => {
    const { state, made } = gauge()
    made.announce(900)
    made.announce(200)
    expect(state.changes).toEqual([true])
    made.announce(-900)
    made.announce(-200)
    expect(state.changes).toEqual([true, false])
  })

  it('does not ask the outlet while it cannot be full', () => {
    const { state, made } = gauge()
    for (let i = 0; i < 10; i++) made.sent(100)
    expect(state.asked).toBe(0)
    made.sent(100)
    expect(state.asked).toBe(1)
    expect(state.changes).toEqual([]) // it had drained
  })

  it('of an outlet that is gone is not full any more', () => {
    const { state, made } = gauge()
    state.buffered = 5000
    made.sent(5000)
    made.reset()
    expect(state.changes).toEqual([true, false])
  })
})

describe('PathSocket', () => {
  it('tells of each path by its endpoint, and when it is removed', () => {
    const base: DatagramSocket = {
      localEndpoint: { address: '127.0.0.1', port: 1 },
      ondatagram: undefined,
      send: () => true,
      close: async () => {},
    }
    const socket = new PathSocket(base)
    const told: [Endpoint, boolean][] = []
    socket.onpressure = (endpoint, isFull) => told.push([endpoint, isFull])
    let buffered = 0
    const outlet: PathOutlet = {
      get bufferedAmount() {
        return buffered
      },
      send(datagram) {
        buffered += datagram.length
        return true
      },
    }
    const endpoint = socket.addPath('websocket', outlet)
    const datagram = new Uint8Array(60_000)
    for (let i = 0; i < 34; i++) socket.send(datagram, endpoint)
    expect(told).toEqual([])
    socket.send(datagram, endpoint)
    expect(told).toEqual([[endpoint, true]])
    buffered = 0
    outlet.ondrained?.()
    expect(told).toEqual([
      [endpoint, true],
      [endpoint, false],
    ])
    socket.announce(endpoint, 3 << 20)
    socket.removePath(endpoint)
    expect(told.map(([, isFull]) => isFull)).toEqual([true, false, true, false])
  })
})
