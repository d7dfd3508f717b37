/** The end of a connection, with peers of every kind. */
import { describe, expect, it } from 'vitest'
import { Connection } from '../../../core/stream/connection.ts'
import type { Packet } from '../../../core/wire/packet.ts'
import {
  ACK,
  bytes,
  drain,
  established,
  events,
  FIN,
  NONE,
  options,
  RST,
  readAll,
  run,
  SYN,
  shown,
} from './pair.ts'

describe('our close', () => {
  it('drains before FIN, and ends with the answer of a G1 peer', () => {
    const c = established()
    c.write(bytes(10), 1)
    c.close(1)
    expect(shown(c, 1)).toEqual(['ACK 1001+10 ack 1'])
    expect(c.state).toBe('ESTABLISHED')
    c.handleSegment(ACK, 1, 1011, 512, NONE, 20)
    expect(shown(c, 20)).toEqual(['FIN 1011'])
    expect(c.state).toBe('FIN_WAIT')
    c.handleSegment(FIN | ACK, 1, 1012, 0, NONE, 40)
    expect(c.state).toBe('TIME_WAIT')
    expect(events(c)).toEqual(['ended', 'closed'])
    expect(c.failure).toBeUndefined()
    // One pure ACK, which a G2 peer waits for, and nothing with FIN.
    expect(shown(c, 40)).toEqual(['ACK 1011 ack 2'])
    expect(c.pollTimeout()).toBe(10_040)
    c.handleTimeout(10_040)
    expect(c.state).toBe('CLOSED')
    expect(c.pollTimeout()).toBeUndefined()
    expect(events(c)).toEqual([])
  })

  it('repeats FIN at most five times', () => {
    const c = established()
    c.close(0)
    const log = run(c, 0, 120_000)
    expect(log).toEqual([
      [0, 'FIN 1001'],
      [1000, 'FIN 1001'],
      [3000, 'FIN 1001'],
      [7000, 'FIN 1001'],
      [15_000, 'FIN 1001'],
      [25_000, 'RST 1001'],
    ])
    expect(c.failure).toBe('timeout')
  })

  it('goes on reading until the peer closes too', () => {
    const c = established({}, { window: 1024 })
    c.close(0)
    drain(c, 0)
    c.handleSegment(ACK, 1, 1002, 1024, NONE, 20) // FIN acknowledged
    c.handleSegment(ACK, 1, 1002, 1024, bytes(100), 50)
    expect(readAll(c, 50)).toEqual(bytes(100))
    c.handleSegment(FIN, 101, 0, 0, NONE, 60)
    expect(c.state).toBe('TIME_WAIT')
    expect(c.ended).toBe(true)
    expect(shown(c, 60)).toEqual(['ACK 1001 ack 102'])
  })

  it('resets a peer that neither sends nor closes for a minute after our FIN', () => {
    const c = established()
    c.close(0)
    drain(c, 0)
    c.handleSegment(ACK, 1, 1002, 512, NONE, 20)
    const log = run(c, 20, 200_000)
    expect(log.at(-1)).toEqual([60_020, 'RST 1001'])
    expect(c.failure).toBe('timeout')
  })

  it('gives up undelivered bytes after their last transmission', () => {
    const c = established({ transmissionsMax: 4 })
    c.write(bytes(10), 0)
    c.close(0)
    expect(run(c, 0, 60_000).at(-1)).toEqual([15_000, 'RST 1011'])
    expect(c.failure).toBe('timeout')
  })

  it('waits for a peer that is slow but answers', () => {
    const c = established({}, { window: 1 })
    c.write(bytes(20 * 1152), 0)
    c.close(0)
    let now = 0
    for (let i = 1; i <= 20; i++) {
      expect(drain(c, now).length).toBe(1)
      now += 900
      c.handleTimeout(now)
      c.handleSegment(ACK, 1, 1001 + i * 1152, 1, NONE, now)
    }
    expect(shown(c, now)).toEqual([`FIN ${1001 + 20 * 1152}`])
  })

  it('takes no more writes', () => {
    const c = established()
    c.close(0)
    expect(c.write(bytes(3), 0)).toBe(0)
    expect(c.writableBytes).toBe(0)
  })

  it('sends FIN again at once when the path changes', () => {
    const c = established()
    c.close(0)
    drain(c, 0)
    c.handlePathChange(300)
    expect(shown(c, 300)).toEqual(['FIN 1001'])
  })
})

describe("the peer's close", () => {
  it('is answered by a pure ACK, and lets us deliver and close', () => {
    const c = established()
    c.handleSegment(ACK, 1, 1001, 512, bytes(10), 1)
    c.handleSegment(FIN, 11, 0, 0, NONE, 1)
    expect(c.state).toBe('CLOSE_WAIT')
    expect(events(c)).toEqual(['readable', 'ended'])
    expect(c.ended).toBe(false)
    expect(shown(c, 1)).toEqual(['ACK 1001 ack 12'])
    expect(readAll(c, 2)).toEqual(bytes(10))
    expect(c.ended).toBe(true)
    c.write(bytes(5), 3)
    c.close(3)
    expect(shown(c, 3)).toEqual(['ACK 1001+5 ack 12'])
    c.handleSegment(ACK, 11, 1006, 512, NONE, 20)
    expect(shown(c, 20)).toEqual(['FIN 1006'])
    c.handleSegment(ACK, 11, 1007, 512, NONE, 40)
    expect(c.state).toBe('TIME_WAIT')
    expect(events(c)).toEqual(['closed'])
    expect(c.failure).toBeUndefined()
  })

  it('waits for bytes before its FIN that are late', () => {
    const c = established()
    c.handleSegment(ACK, 11, 1001, 512, bytes(10, 10), 1)
    c.handleSegment(FIN, 21, 0, 0, NONE, 2)
    expect(events(c)).toEqual([])
    expect(shown(c, 2)).toEqual(['ACK 1001 ack 1 sack 11-21'])
    c.handleSegment(ACK, 1, 1001, 512, bytes(10), 500)
    expect(events(c)).toEqual(['readable', 'ended'])
    expect(readAll(c, 500)).toEqual(bytes(20))
    expect(shown(c, 500)).toEqual(['ACK 1001 ack 22'])
  })

  it('with bytes before its FIN that never come is a truncated stream', () => {
    const c = established()
    c.handleSegment(ACK, 1, 1001, 512, bytes(10), 1)
    c.handleSegment(FIN, 21, 0, 0, NONE, 2)
    run(c, 2, 5000)
    expect(c.failure).toBe('truncated')
    expect(events(c)).toEqual(['readable', 'closed'])
    expect(readAll(c, 5000)).toEqual(bytes(10))
    expect(c.ended).toBe(false)
  })

  it('with a FIN number below what was received cuts nothing (G2)', () => {
    const c = established()
    c.handleSegment(ACK, 1, 1001, 512, bytes(10), 1)
    c.handleSegment(ACK, 21, 1001, 512, bytes(10, 20), 1)
    c.handleSegment(FIN, 11, 0, 0, NONE, 2)
    expect(events(c)).toEqual(['readable'])
    c.handleSegment(ACK, 11, 1001, 512, bytes(10, 10), 100)
    expect(events(c)).toEqual(['ended'])
    expect(readAll(c, 100)).toEqual(bytes(30))
  })

  it('takes data that G2 sends again as FIN', () => {
    const c = established()
    c.handleSegment(ACK, 1, 1001, 512, bytes(10), 1)
    c.handleSegment(ACK, 21, 1001, 512, bytes(10, 20), 1)
    c.handleSegment(FIN, 11, 0, 0, bytes(10, 10), 2)
    expect(events(c)).toEqual(['readable'])
    c.handleSegment(FIN, 31, 0, 0, NONE, 300)
    expect(events(c)).toEqual(['ended'])
    expect(readAll(c, 300)).toEqual(bytes(30))
  })

  it('ends where FINs with data left it when the true FIN never comes', () => {
    const c = established()
    c.handleSegment(FIN, 1, 0, 0, bytes(10), 2)
    run(c, 2, 4000)
    expect(events(c)).toEqual(['readable', 'ended'])
    expect(c.failure).toBeUndefined()
  })

  it('ignores a FIN far outside the stream', () => {
    const c = established()
    c.handleSegment(FIN, 0x40000000, 0, 0, NONE, 2)
    c.handleSegment(FIN, 0xfffff000, 0, 0, NONE, 2)
    expect(c.state).toBe('ESTABLISHED')
  })

  it('delivers no data after FIN', () => {
    const c = established()
    c.handleSegment(FIN, 1, 0, 0, NONE, 1)
    c.handleSegment(ACK, 1, 1001, 512, bytes(5), 2)
    expect(c.readableBytes).toBe(0)
  })

  it('answers repeated FINs rarely', () => {
    const c = established()
    let answers = 0
    for (let now = 0; now < 2000; now++) {
      c.handleSegment(FIN | ACK, 1, 1001, 0, NONE, now)
      answers += drain(c, now).length
    }
    expect(answers).toBeLessThanOrEqual(11)
  })

  it('gives up what a G1 peer, which reads nothing after its FIN, will never acknowledge', () => {
    const c = established()
    c.handleSegment(FIN, 1, 0, 0, NONE, 0)
    c.write(bytes(10), 0)
    c.close(0)
    const log = run(c, 0, 60_000)
    expect(log.at(-1)).toEqual([10_000, 'RST 1011'])
    expect(c.failure).toBe('timeout')
  })
})

describe('FIN storm', () => {
  /** G1 answers every FIN, FIN+ACK too, with FIN+ACK, for as long as it knows the connection. */
  const g1 = (packet: Packet): Packet | undefined =>
    (packet.flags & FIN) === 0
      ? undefined
      : { ...packet, flags: FIN | ACK, seq: 1, ack: (packet.seq + 1) >>> 0, window: 0 }

  it.each([
    ['we close first', true],
    ['the peer closes first', false],
  ])('does not begin when %s', (_, weFirst) => {
    const c = established()
    let sent = 0
    let now = 1
    const wire: { at: number; packet: Packet }[] = []
    const flush = (): void => {
      for (const packet of drain(c, now)) {
        sent++
        const answer = g1(packet)
        if (answer !== undefined) wire.push({ at: now + 1, packet: answer })
      }
    }
    if (weFirst) c.close(now)
    else {
      c.handleSegment(FIN, 1, 0, 0, NONE, now)
      c.close(now)
    }
    flush()
    while (now < 20_000) {
      const at = Math.min(wire[0]?.at ?? 1e9, c.pollTimeout() ?? 1e9)
      if (at === 1e9) break
      now = at
      const next = wire[0]?.at === now ? wire.shift() : undefined
      if (next !== undefined)
        c.handleSegment(next.packet.flags, next.packet.seq, next.packet.ack, 0, NONE, now)
      c.handleTimeout(now)
      flush()
    }
    expect(c.state).toBe('CLOSED')
    expect(c.failure).toBeUndefined()
    expect(sent).toBeLessThanOrEqual(4)
  })

  it('does not begin in TIME_WAIT, which is not prolonged either', () => {
    const c = established()
    c.close(0)
    drain(c, 0)
    c.handleSegment(FIN | ACK, 1, 1002, 0, NONE, 10)
    let sent = 0
    for (let now = 10; now < 10_010; now += 5) {
      c.handleSegment(FIN | ACK, 1, 1002, 0, NONE, now)
      for (const packet of drain(c, now)) {
        sent++
        expect(packet.flags & FIN).toBe(0)
      }
    }
    expect(sent).toBeLessThanOrEqual(11)
    c.handleTimeout(10_010)
    expect(c.state).toBe('CLOSED')
  })
})

describe('RST', () => {
  it('closes at once, whatever its numbers, and is not answered', () => {
    const c = established()
    c.handleSegment(ACK, 1, 1001, 512, bytes(4), 1)
    c.write(bytes(4), 1)
    c.handleSegment(RST, 0, 0, 0, NONE, 2)
    expect(c.state).toBe('CLOSED')
    expect(c.failure).toBe('reset')
    expect(drain(c, 2)).toEqual([])
    expect(c.pollTimeout()).toBeUndefined()
    expect(events(c)).toEqual(['readable', 'closed'])
    expect(readAll(c, 3)).toEqual(bytes(4)) // what arrived stays readable
  })

  it('instead of the last ACK is a clean end when both streams are whole', () => {
    const c = established()
    c.handleSegment(FIN, 1, 0, 0, NONE, 1)
    c.close(1)
    drain(c, 1)
    c.handleSegment(RST, 0, 0, 0, NONE, 2)
    expect(c.failure).toBeUndefined()
  })

  it('in TIME_WAIT ends it without a second closed', () => {
    const c = established()
    c.close(0)
    drain(c, 0)
    c.handleSegment(FIN | ACK, 1, 1002, 0, NONE, 1)
    expect(events(c)).toEqual(['ended', 'closed'])
    c.handleSegment(RST, 0, 0, 0, NONE, 2)
    expect(c.state).toBe('CLOSED')
    expect(events(c)).toEqual([])
  })

  it('is what reset sends, dropping everything', () => {
    const c = established()
    c.handleSegment(ACK, 1, 1001, 512, bytes(4), 1)
    c.write(bytes(4), 1)
    c.reset(1)
    expect(shown(c, 1)).toEqual(['RST 1001'])
    expect(c.state).toBe('CLOSED')
    expect(c.read(1)).toBeUndefined()
    expect(c.failure).toBe('reset')
    expect(events(c)).toContain('closed')
  })

  it('is not sent when the tunnel is gone', () => {
    const c = established()
    c.abort('timeout', 1)
    expect(c.wantsTransmit).toBe(false)
    expect(drain(c, 1)).toEqual([])
    expect(c.failure).toBe('timeout')
    expect(events(c)).toEqual(['closed'])
  })

  it('is not sent by a dial whose SYN never left', () => {
    const c = Connection.dial(options())
    c.reset(0)
    expect(drain(c, 0)).toEqual([])
  })
})

describe('a SYN in TIME_WAIT', () => {
  it('belongs to a new connection', () => {
    const c = Connection.accept(options(5000), 0, 512)
    drain(c, 0)
    c.handleSegment(ACK, 1, 5001, 512, NONE, 1)
    c.close(1)
    drain(c, 1)
    c.handleSegment(FIN | ACK, 1, 5002, 0, NONE, 2)
    expect(c.state).toBe('TIME_WAIT')
    expect(c.isSupersededBy(0, 3)).toBe(true)
    c.handleSegment(SYN, 0, 0, 512, NONE, 3)
    expect(shown(c, 3)).toEqual(['ACK 5001 ack 2'])
  })
})
