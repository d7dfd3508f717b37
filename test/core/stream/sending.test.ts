/** What leaves, and when: segment by segment at chosen times. */
import { describe, expect, it } from 'vitest'
import type { Connection } from '../../../core/stream/connection.ts'
import { NewReno } from '../../../core/stream/new-reno.ts'
import {
  ACK,
  bytes,
  drain,
  established,
  events,
  NONE,
  run,
  sackPayload,
  show,
  shown,
} from './pair.ts'

const MSS = 1152
const reno = { congestion: (o: ConstructorParameters<typeof NewReno>[0]) => new NewReno(o) }
/** A peer of our own kind: its window is larger than any reference's. */
const MODERN = 1024

describe('segments', () => {
  it('cuts a write into full segments and a rest, each carrying the ACK', () => {
    const connection = established()
    expect(connection.write(bytes(2 * MSS + 5), 1)).toBe(2 * MSS + 5)
    expect(shown(connection, 1)).toEqual([
      'ACK 1001+1152 ack 1',
      'ACK 2153+1152 ack 1',
      'ACK 3305+5 ack 1',
    ])
  })

  it('sends a small write at once', () => {
    const connection = established()
    connection.write(bytes(3), 1)
    drain(connection, 1)
    connection.write(bytes(4), 1)
    expect(shown(connection, 1)).toEqual(['ACK 1004+4 ack 1'])
  })

  it('joins small writes while the window is full', () => {
    const connection = established({}, { window: 1 })
    for (let i = 0; i < 10; i++) {
      connection.write(bytes(10), 1)
      expect(drain(connection, 1).length).toBe(i === 0 ? 1 : 0)
    }
    connection.handleSegment(ACK, 1, 1011, 1, NONE, 20)
    expect(shown(connection, 20)).toEqual(['ACK 1011+90 ack 1'])
  })

  it('with Nagle, holds a rest for 40 ms or until all is acknowledged', () => {
    const connection = established({ nagle: true })
    connection.write(bytes(3), 1)
    expect(shown(connection, 1)).toEqual(['ACK 1001+3 ack 1'])
    connection.write(bytes(4), 1)
    expect(shown(connection, 1)).toEqual([])
    expect(run(connection, 1, 41)).toEqual([[41, 'ACK 1004+4 ack 1']])
    connection.write(bytes(5), 42)
    expect(shown(connection, 42)).toEqual([])
    connection.handleSegment(ACK, 1, 1008, 512, NONE, 50)
    expect(shown(connection, 50)).toEqual(['ACK 1008+5 ack 1'])
  })

  it('cuts user data that a peer would take for a SACK', () => {
    const connection = established()
    const text = sackPayload([1952999795, 543781664])
    connection.write(text, 1)
    const packets = drain(connection, 1)
    expect(packets.map((packet) => packet.payload.length)).toEqual([4, 9])
    expect(Buffer.concat(packets.map((packet) => packet.payload))).toEqual(Buffer.from(text))
    // Sent again they keep these boundaries.
    expect(run(connection, 1, 1001)).toEqual([
      [1001, 'ACK 1001+4 ack 1'],
      [1001, 'ACK 1005+9 ack 1'],
    ])
  })

  it('takes what fits into the send buffer and tells when there is room', () => {
    const connection = established({ sendBufferBytes: 4000 })
    expect(connection.write(bytes(5000), 1)).toBe(4000)
    expect(connection.writableBytes).toBe(0)
    drain(connection, 1)
    connection.handleSegment(ACK, 1, 1001 + 500, 512, NONE, 20)
    expect(events(connection)).toEqual([])
    connection.handleSegment(ACK, 1, 1001 + MSS, 512, NONE, 21)
    expect(events(connection)).toEqual(['writable'])
    expect(connection.writableBytes).toBe(MSS)
  })

  it('begins with ten segments', () => {
    const connection = established({}, { window: MODERN })
    connection.write(bytes(100_000), 1)
    expect(drain(connection, 1).length).toBe(10)
  })

  it('sends at most 20 segments at once to a peer that may be a reference', () => {
    const connection = established({ initialWindowSegments: 100 })
    connection.write(bytes(100_000), 1)
    expect(drain(connection, 1).length).toBe(20)
    expect(connection.pollTimeout()).toBe(2)
    expect(run(connection, 1, 5).length).toBe(87 - 20)
  })

  it('has at most 128 segments outstanding until the peer once advertised more than 512', () => {
    const connection = established({ initialWindowSegments: 1000 })
    connection.write(bytes(400_000), 1)
    run(connection, 1, 20)
    expect(connection.info().unackedSegments).toBe(128)
    connection.handleSegment(ACK, 1, 1001 + MSS, 513, NONE, 21)
    run(connection, 21, 40)
    expect(connection.info().unackedSegments).toBe(Math.ceil(400_000 / MSS) - 1)
  })

  it('never has more segments outstanding than the peer has slots', () => {
    const connection = established({}, { window: 3 })
    connection.write(bytes(100_000), 1)
    expect(drain(connection, 1).length).toBe(3)
    connection.handleSegment(ACK, 1, 1001 + MSS, 4, NONE, 20)
    expect(drain(connection, 20).length).toBe(2)
  })

  it('sends one segment at a time into a window of 1', () => {
    const connection = established({}, { window: 1 })
    connection.write(bytes(5000), 1)
    expect(shown(connection, 1)).toEqual(['ACK 1001+1152 ack 1'])
    connection.handleSegment(ACK, 1, 2153, 1, NONE, 20)
    expect(shown(connection, 20)).toEqual(['ACK 2153+1152 ack 1'])
  })

  it('reads window 0 of a SYN-ACK as unknown', () => {
    const connection = established({}, { window: 0 })
    connection.write(bytes(5000), 1)
    expect(drain(connection, 1).length).toBe(5)
  })
})

describe('a closed window', () => {
  it('is probed by small segments, backing off, as long as the peer answers', () => {
    const connection = established()
    connection.write(bytes(MSS), 1)
    drain(connection, 1)
    connection.handleSegment(ACK, 1, 1001 + MSS, 0, NONE, 10)
    connection.write(bytes(5000), 10)
    let now = 10
    let acked = 1001 + MSS
    const times: number[] = []
    while (times.length < 8) {
      expect(drain(connection, now)).toEqual([])
      now = connection.pollTimeout()!
      connection.handleTimeout(now)
      const [probe] = drain(connection, now)
      expect(probe?.payload.length).toBe(64)
      times.push(now)
      now += 5
      acked += 64
      connection.handleSegment(ACK, 1, acked, 0, NONE, now)
    }
    const gaps = times.map((at, i) => at - (times[i - 1] ?? 5))
    expect(gaps).toEqual([305, 605, 1205, 2405, 4805, 5005, 5005, 5005])
    connection.handleSegment(ACK, 1, acked, 100, NONE, now + 1)
    expect(drain(connection, now + 1).length).toBe(4)
  })

  it('is not closed by a keepalive', () => {
    const connection = established()
    connection.handleSegment(ACK, 1, 1001, 0, NONE, 45_000)
    connection.write(bytes(10), 45_001)
    expect(shown(connection, 45_001)).toEqual(['ACK 1001+10 ack 1'])
  })

  it('is given up after two minutes of silence', () => {
    const connection = established()
    connection.write(bytes(5000), 1)
    drain(connection, 1)
    connection.handleSegment(ACK, 1, 2153, 0, NONE, 10)
    const log = run(connection, 10, 400_000)
    expect(log.at(-1)![1]).toMatch(/^RST/)
    expect(log.at(-1)![0]).toBeGreaterThan(120_000)
    expect(connection.failure).toBe('timeout')
  })
})

describe('loss', () => {
  it('retransmits by timer with the boundaries of the first time and gives up after ten', () => {
    const connection = established()
    connection.write(bytes(10), 0)
    const log = run(connection, 0, 200_000)
    expect(log).toEqual([
      [0, 'ACK 1001+10 ack 1'],
      [1000, 'ACK 1001+10 ack 1'],
      [3000, 'ACK 1001+10 ack 1'],
      [7000, 'ACK 1001+10 ack 1'],
      [15_000, 'ACK 1001+10 ack 1'],
      [25_000, 'ACK 1001+10 ack 1'],
      [35_000, 'ACK 1001+10 ack 1'],
      [45_000, 'ACK 1001+10 ack 1'],
      [55_000, 'ACK 1001+10 ack 1'],
      [65_000, 'ACK 1001+10 ack 1'],
      [75_000, 'RST 1011'],
    ])
    expect(connection.failure).toBe('timeout')
    expect(events(connection)).toEqual(['closed'])
  })

  it('retransmits a hole as soon as three segments above it are sacked', () => {
    const connection = established()
    connection.write(bytes(8 * 100), 1)
    const c = established({ segmentBytes: 100 })
    c.write(bytes(800), 1)
    expect(drain(c, 1).length).toBe(8)
    c.handleSegment(ACK, 1, 1001, 512, sackPayload([1101, 1201]), 20)
    c.handleSegment(ACK, 1, 1001, 512, sackPayload([1101, 1301]), 20)
    expect(shown(c, 20)).toEqual([])
    c.handleSegment(ACK, 1, 1001, 512, sackPayload([1101, 1401]), 20)
    expect(shown(c, 20)).toEqual(['ACK 1001+100 ack 1'])
    expect(c.info().inRecovery).toBe(true)
    expect(c.stats.fastRetransmits).toBe(1)
    c.handleSegment(ACK, 1, 1801, 512, NONE, 40)
    expect(c.info().inRecovery).toBe(false)
  })

  it('retransmits every hole, not one per timer', () => {
    const c = established({ segmentBytes: 100 })
    c.write(bytes(1000), 1)
    expect(drain(c, 1).length).toBe(10)
    c.handleSegment(
      ACK,
      1,
      1001,
      512,
      sackPayload([1101, 1201], [1301, 1401], [1501, 1601], [1701, 2001]),
      20,
    )
    expect(shown(c, 20)).toEqual([
      'ACK 1001+100 ack 1',
      'ACK 1201+100 ack 1',
      'ACK 1401+100 ack 1',
      'ACK 1601+100 ack 1',
    ])
  })

  it('gives a segment that may be late a quarter of a round trip when fewer than three came after it', () => {
    const c = established({ segmentBytes: 100 })
    c.write(bytes(100), 0)
    drain(c, 0)
    c.handleSegment(ACK, 1, 1101, 512, NONE, 40)
    c.write(bytes(200), 100)
    drain(c, 100)
    c.handleSegment(ACK, 1, 1101, 512, sackPayload([1201, 1301]), 140)
    expect(run(c, 140, 160)).toEqual([[160, 'ACK 1101+100 ack 1']])
    expect(c.stats.retransmits).toBe(1)
  })

  it('retransmits a retransmission that was lost too', () => {
    const c = established({ segmentBytes: 100, ...reno })
    c.write(bytes(100), 0)
    drain(c, 0)
    c.handleSegment(ACK, 1, 1101, 512, NONE, 20)
    c.write(bytes(900), 100)
    drain(c, 100)
    c.handleSegment(ACK, 1, 1101, 512, sackPayload([1201, 1501]), 120)
    expect(shown(c, 120)).toEqual(['ACK 1101+100 ack 1'])
    c.handleSegment(ACK, 1, 1101, 512, sackPayload([1201, 2001]), 125)
    c.write(bytes(300), 130)
    expect(drain(c, 130).map(show)).toEqual([
      'ACK 2001+100 ack 1',
      'ACK 2101+100 ack 1',
      'ACK 2201+100 ack 1',
    ])
    c.handleSegment(ACK, 1, 1101, 512, sackPayload([1201, 2301]), 150)
    expect(shown(c, 150)).toEqual(['ACK 1101+100 ack 1'])
  })

  it('waits longer for late segments once some were seen to overtake each other', () => {
    const c = established({ segmentBytes: 100 }, { window: MODERN })
    c.write(bytes(1000), 0)
    drain(c, 0)
    // The first came late, but it came: after three others.
    c.handleSegment(ACK, 1, 1001, MODERN, sackPayload([1101, 1301]), 40)
    c.handleSegment(ACK, 1, 1301, MODERN, NONE, 44)
    c.handleSegment(ACK, 1, 2001, MODERN, NONE, 45)
    c.write(bytes(500), 100)
    drain(c, 100)
    c.handleSegment(ACK, 1, 2001, MODERN, sackPayload([2101, 2501]), 140)
    expect(shown(c, 140)).toEqual([])
    c.handleSegment(ACK, 1, 2501, MODERN, NONE, 145)
    expect(run(c, 145, 3000)).toEqual([])
    expect(c.stats.retransmits).toBe(0)
  })

  it('takes a timeout back when what it gave up was only late', () => {
    const c = established({ segmentBytes: 100 }, { window: MODERN })
    c.write(bytes(100), 0)
    drain(c, 0)
    c.handleSegment(ACK, 1, 1101, MODERN, NONE, 20)
    c.write(bytes(900), 100)
    drain(c, 100)
    const before = c.info().cwnd
    const log = run(c, 100, 400).filter(([at]) => at > 200)
    expect(log.length).toBeGreaterThan(0)
    expect(c.info().cwnd).toBeLessThan(before)
    const { retransmits } = c.stats
    // All arrive after all: what was sent once is waited for, and the window is what it was.
    c.handleSegment(ACK, 1, 1501, MODERN, NONE, 401)
    expect(c.info()).toMatchObject({ inRecovery: false })
    expect(c.info().cwnd).toBeGreaterThanOrEqual(before)
    // The last was a probe too, and that is lost with the first.
    expect(shown(c, 401)).toEqual(['ACK 1901+100 ack 1'])
    c.handleSegment(ACK, 1, 2001, MODERN, NONE, 410)
    expect(c.stats.retransmits).toBe(retransmits + 1)
    expect(c.isDrained).toBe(true)
  })

  it('probes a lost tail after two round trips instead of waiting for the timer', () => {
    const c = established({ segmentBytes: 100 })
    c.write(bytes(100), 0)
    drain(c, 0)
    c.handleSegment(ACK, 1, 1101, 512, NONE, 10)
    c.write(bytes(300), 100)
    drain(c, 100)
    expect(run(c, 100, 180)).toEqual([[170, 'ACK 1301+100 ack 1']])
    // The probe shows the holes before it.
    c.handleSegment(ACK, 1, 1101, 512, sackPayload([1301, 1401]), 181)
    expect(run(c, 181, 200).map(([, text]) => text)).toEqual([
      'ACK 1101+100 ack 1',
      'ACK 1201+100 ack 1',
    ])
  })

  it('counts three plain duplicates only while no SACK was ever seen', () => {
    const c = established({ segmentBytes: 100 })
    c.write(bytes(500), 1)
    drain(c, 1)
    for (let i = 0; i < 2; i++) c.handleSegment(ACK, 1, 1001, 512, NONE, 20)
    expect(shown(c, 20)).toEqual([])
    c.handleSegment(ACK, 1, 1001, 512, NONE, 20)
    expect(shown(c, 20)).toEqual(['ACK 1001+100 ack 1'])
    expect(c.stats.duplicateAcks).toBe(3)
  })

  it('takes its reduction back when every retransmission was needless', () => {
    const c = established({ segmentBytes: 100, ...reno }, { window: MODERN })
    c.write(bytes(1000), 0)
    drain(c, 0)
    const before = c.info().cwnd
    c.handleSegment(ACK, 1, 1001, MODERN, sackPayload([1101, 1401]), 20)
    drain(c, 20)
    expect(c.info().cwnd).toBeLessThan(before)
    c.handleSegment(ACK, 1, 2001, MODERN, NONE, 21)
    c.handleSegment(ACK, 1, 2001, MODERN, sackPayload([1001, 1101]), 40)
    expect(c.info().cwnd).toBeGreaterThanOrEqual(before)
  })

  it('forgets the SACK marks of a peer that takes them back', () => {
    const c = established({ segmentBytes: 100 })
    c.write(bytes(300), 0)
    drain(c, 0)
    // Sacked from the oldest on, and never acknowledged.
    c.handleSegment(ACK, 1, 1001, 512, sackPayload([1001, 1301]), 20)
    const log = run(c, 20, 3000)
    expect(log.map(([, text]) => text)).toContain('ACK 1001+100 ack 1')
  })

  it('retransmits what remains of a segment acknowledged in part from where the peer stands', () => {
    const c = established()
    c.write(bytes(100), 0)
    drain(c, 0)
    c.handleSegment(ACK, 1, 1041, 512, NONE, 10)
    expect(run(c, 10, 1010)).toEqual([[1010, 'ACK 1041+60 ack 1']])
  })

  it('sends the oldest again at once when the path changes, with the first timeout', () => {
    const c = established()
    c.write(bytes(10), 0)
    run(c, 0, 5000)
    c.handlePathChange(5000)
    expect(shown(c, 5000)).toEqual(['ACK 1001+10 ack 1'])
    expect(c.pollTimeout()).toBe(6000)
  })
})

describe('on a path that carries more', () => {
  function changed(segmentBytes: number | undefined, window = MODERN): Connection {
    const c = established({ sendBufferBytes: 1 << 20 }, { window })
    c.handlePathChange(5, { segmentBytes })
    return c
  }

  it('segments are as large as fit it', () => {
    const c = changed(16_000)
    c.write(bytes(40_000), 5)
    expect(shown(c, 5)).toEqual([
      'ACK 1001+16000 ack 1',
      'ACK 17001+16000 ack 1',
      'ACK 33001+8000 ack 1',
    ])
  })

  it('toward a reference they stay small', () => {
    const c = changed(16_000, 512)
    c.write(bytes(3000), 5)
    expect(shown(c, 5)[0]).toBe('ACK 1001+1152 ack 1')
  })

  it('what is outstanding is cut when the next path carries less, and nothing is lost or sent needlessly', () => {
    const c = changed(4000)
    c.write(bytes(12_000), 5)
    drain(c, 5)
    c.handleSegment(ACK, 1, 1001, MODERN, sackPayload([5001, 9001]), 20)
    c.handlePathChange(30)
    const sent: string[] = []
    for (let now = 30, ack = 1001; sent.length < 30 && ack < 13_001; now += 10) {
      for (const line of shown(c, now)) {
        sent.push(line)
        const [, seq, length] = /ACK (\d+)\+(\d+)/.exec(line) ?? []
        expect(Number(length)).toBeLessThanOrEqual(1152)
        if (Number(seq) === ack) ack += Number(length)
        if (ack === 5001) ack = 9001 // was sacked
      }
      c.handleSegment(ACK, 1, ack, MODERN, NONE, now + 5)
    }
    expect(c.info()).toMatchObject({ inFlight: 0, unackedSegments: 0 })
    expect(sent).toContain('ACK 1001+1152 ack 1')
    expect(sent).toContain('ACK 9001+1152 ack 1')
    expect(sent.filter((line) => / (5001|6153|7305)\+/.test(line))).toEqual([])
  })

  it('the window of our own kind is bytes: large segments do not overrun it', () => {
    const c = changed(16_000, 600)
    c.write(bytes(1 << 20), 5)
    c.handleSegment(ACK, 1, 1001, 10, NONE, 6)
    const sent = shown(c, 6)
    expect(sent.length).toBeGreaterThan(1)
    expect(c.info().inFlight).toBeLessThanOrEqual(10 * 4096)
  })
})

describe('when packets leave a path that is well for a better one', () => {
  function upgraded(): Connection {
    const c = established({}, { window: MODERN })
    c.write(bytes(10 * 1152), 0)
    drain(c, 0)
    c.handlePathChange(5, { rttMs: 1, isOldAlive: true })
    return c
  }

  it('what is under way there is waited for, and nothing is sent twice', () => {
    const c = upgraded()
    expect(shown(c, 5)).toEqual([])
    // New bytes overtake the old ones.
    c.write(bytes(5 * 1152), 6)
    drain(c, 6)
    c.handleSegment(ACK, 1, 1001, MODERN, sackPayload([12_521, 18_281]), 10)
    expect(shown(c, 10)).toEqual([])
    c.handleSegment(ACK, 1, 18_281, MODERN, NONE, 12)
    expect(run(c, 12, 3000)).toEqual([])
    expect(c.stats.retransmits).toBe(0)
  })

  it('what has not come in its time is sent again, without waiting for the long timer', () => {
    const c = upgraded()
    c.write(bytes(5 * 1152), 6)
    drain(c, 6)
    c.handleSegment(ACK, 1, 1001, MODERN, sackPayload([2153, 18_281]), 10)
    const [first] = run(c, 10, 3000)
    expect(first?.[1]).toBe('ACK 1001+1152 ack 1')
    expect(first?.[0]).toBeGreaterThanOrEqual(55)
    expect(first?.[0]).toBeLessThan(100)
  })

  it('measures the new path only', () => {
    const c = upgraded()
    c.handleSegment(ACK, 1, 1001 + 10 * 1152, MODERN, NONE, 205)
    expect(c.info().srttMs).toBe(1)
    c.write(bytes(10), 206)
    drain(c, 206)
    c.handleSegment(ACK, 1, 1011 + 10 * 1152, MODERN, NONE, 208)
    expect(c.info().srttMs).toBeLessThan(3)
  })
})

describe('acknowledgements', () => {
  it('ignores an ack of what was never sent, and what came with it', () => {
    const c = established()
    c.write(bytes(10), 0)
    drain(c, 0)
    c.handleSegment(ACK, 1, 5000, 512, bytes(4), 10)
    expect(c.info().unackedSegments).toBe(1)
    expect(c.readableBytes).toBe(0)
  })

  it('ignores an ack behind the last one', () => {
    const c = established({ segmentBytes: 100 })
    c.write(bytes(300), 0)
    drain(c, 0)
    c.handleSegment(ACK, 1, 1201, 512, NONE, 10)
    c.handleSegment(ACK, 1, 1101, 1, NONE, 11)
    expect(c.info().unackedSegments).toBe(1)
    expect(c.info().peerWindowBytes).toBe(512 * 100)
  })

  it('measures the round trip of segments sent once (Karn)', () => {
    const c = established()
    c.write(bytes(10), 0)
    drain(c, 0)
    c.handleSegment(ACK, 1, 1011, 512, NONE, 80)
    expect(c.info()).toMatchObject({ srttMs: 80, rttvarMs: 40 })
    c.write(bytes(10), 100)
    run(c, 100, 600)
    c.handleSegment(ACK, 1, 1021, 512, NONE, 601)
    expect(c.info().srttMs).toBe(80)
  })

  it('crosses 2^32', () => {
    const c = established({ segmentBytes: 100 }, { isn: 0xffffffff - 150 })
    c.write(bytes(400), 0)
    expect(drain(c, 0).map((packet) => packet.seq)).toEqual([4294967146, 4294967246, 50, 150])
    c.handleSegment(ACK, 1, 50, 512, NONE, 10)
    expect(c.info().unackedSegments).toBe(2)
    c.handleSegment(ACK, 1, 50, 512, sackPayload([150, 250]), 10)
    c.handleSegment(ACK, 1, 250, 512, NONE, 12)
    expect(c.isDrained).toBe(true)
  })
})

describe('quiet', () => {
  it('sends an empty ACK with its window every 45 s', () => {
    const c = established()
    const log = run(c, 0, 140_000)
    expect(log).toEqual([
      [45_000, 'ACK 1001 ack 1'],
      [90_000, 'ACK 1001 ack 1'],
      [135_000, 'ACK 1001 ack 1'],
    ])
    expect(c.state).toBe('ESTABLISHED')
  })

  it('counts 45 s from what it sent last', () => {
    const c = established()
    run(c, 0, 30_000)
    c.write(bytes(1), 30_000)
    drain(c, 30_000)
    c.handleSegment(ACK, 1, 1002, 512, NONE, 30_010)
    expect(run(c, 30_010, 80_000)).toEqual([[75_000, 'ACK 1002 ack 1']])
  })

  it('closes an idle connection only when told to', () => {
    const c = established({ idleTimeoutMs: 60_000 })
    const log = run(c, 0, 100_000)
    expect(log.at(-1)).toEqual([60_000, 'RST 1001'])
    expect(c.failure).toBe('timeout')
  })
})
