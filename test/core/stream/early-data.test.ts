/** Data that goes with a SYN, and its answer with the SYN-ACK (spec/10 §20). */
import { describe, expect, it } from 'vitest'
import { Connection } from '../../../core/stream/connection.ts'
import type { Packet } from '../../../core/wire/packet.ts'
import {
  ACK,
  bytes,
  drain,
  events,
  FIN,
  NONE,
  options,
  readAll,
  run,
  SYN,
  show,
  shown,
} from './pair.ts'

const EARLY = { ...options(1000), earlyDataMax: 1152 }

function dialer(data: Uint8Array): Connection {
  const connection = Connection.dial(EARLY)
  connection.write(data, 0)
  return connection
}

function give(connection: Connection, packets: readonly Packet[], now: number): void {
  for (const { flags, seq, ack, window, payload } of packets)
    connection.handleSegment(flags, seq, ack, window, payload, now)
}

/** What a listener makes of a SYN. */
function accepted({ seq, window, payload }: Packet, now: number): Connection {
  return Connection.accept({ ...options(7000), now }, seq, window, payload)
}

describe('data with a SYN', () => {
  it('is there with the connection, and the answer with the SYN-ACK: one packet each way', () => {
    const a = dialer(bytes(100))
    const syns = drain(a, 0)
    expect(syns.map(show)).toEqual(['SYN 1000+100'])
    const b = accepted(syns[0]!, 10)
    expect(b.state).toBe('ESTABLISHED')
    expect(events(b)).toEqual(['connected', 'readable'])
    expect(shown(b, 10)).toEqual([]) // waits for what the application says
    expect(readAll(b, 10)).toEqual(bytes(100))
    b.write(bytes(50), 10)
    const answers = drain(b, 10)
    expect(answers.map(show)).toEqual(['SYN+ACK 7000+50 ack 1101'])
    give(a, answers, 20)
    expect(events(a)).toEqual(['connected', 'readable'])
    expect(readAll(a, 20)).toEqual(bytes(50))
    expect(a.isDrained).toBe(true)
    expect(a.stats).toMatchObject({ bytesSent: 100, bytesReceived: 50 })
    // The third packet takes data along, or leaves at the end of the turn.
    expect(shown(a, 20)).toEqual([])
    expect(a.pollTimeout()).toBe(20)
    a.handleTimeout(20)
    expect(shown(a, 20)).toEqual(['ACK 1101 ack 7051'])
  })

  it('is answered at the end of the turn when the application says nothing', () => {
    const b = accepted(drain(dialer(bytes(9)), 0)[0]!, 10)
    expect(b.pollTimeout()).toBe(10)
    b.handleTimeout(10)
    expect(shown(b, 10)).toEqual(['SYN+ACK 7000 ack 1010'])
    b.write(bytes(5), 11)
    expect(shown(b, 11)).toEqual(['ACK 7001+5 ack 1010'])
  })

  it('is followed by an end at once, in the right order', () => {
    const b = accepted(drain(dialer(bytes(9)), 0)[0]!, 10)
    readAll(b, 10)
    b.close(10)
    expect(shown(b, 10)).toEqual(['SYN+ACK 7000 ack 1010', 'FIN 7001'])
  })

  it('is only what fits, and the rest follows the SYN-ACK', () => {
    const data = bytes(3000)
    const a = dialer(data)
    const b = accepted(drain(a, 0)[0]!, 0)
    b.handleTimeout(0)
    give(a, drain(b, 0), 1)
    give(b, drain(a, 1), 2)
    expect(readAll(b, 2)).toEqual(data)
  })

  it('is sent again as data where the listener took none of it, or less', () => {
    for (const taken of [0, 40, 100]) {
      const a = dialer(bytes(100))
      drain(a, 0)
      a.handleSegment(SYN | ACK, 0, 1001 + taken, 512, NONE, 10)
      expect(a.state).toBe('ESTABLISHED')
      const rest = 100 - taken
      expect(shown(a, 10)).toEqual(rest === 0 ? [] : [`ACK ${1001 + taken}+${rest} ack 1`])
    }
  })

  it('that an answer acknowledges and was never sent is another life of the port', () => {
    const a = dialer(bytes(100))
    drain(a, 0)
    a.handleSegment(SYN | ACK, 0, 1102, 512, NONE, 10)
    expect(a.state).toBe('SYN_SENT')
    expect(shown(a, 10)[0]).toBe('RST 1102')
  })

  it('goes with every SYN, is taken once, and answered each time', () => {
    const a = dialer(bytes(100))
    const b = accepted(drain(a, 0)[0]!, 5)
    expect(readAll(b, 5)).toEqual(bytes(100))
    b.write(bytes(50), 5)
    drain(b, 5) // lost
    const again = run(a, 6, 250)
    expect(again).toEqual([[250, 'SYN 1000+100']])
    const copy = dialer(bytes(100))
    give(b, drain(copy, 0), 260)
    const answers = drain(b, 260)
    expect(answers.map(show)).toContain('SYN+ACK 7000 ack 1101')
    expect(readAll(b, 260)).toEqual(NONE)
    give(a, answers, 270)
    expect(a.state).toBe('ESTABLISHED')
    // Its data comes again by the timers of data.
    for (const [, packets] of retransmissions(b, 260, 3000)) give(a, packets, 3000)
    expect(readAll(a, 3000)).toEqual(bytes(50))
  })

  it('is not read twice when answered data overtakes the SYN-ACK', () => {
    const a = dialer(bytes(100))
    const b = accepted(drain(a, 0)[0]!, 5)
    b.handleTimeout(5)
    const answer = drain(b, 5)
    b.write(bytes(50), 6)
    const data = drain(b, 6)
    give(a, data, 10)
    expect(a.state).toBe('SYN_SENT')
    give(a, answer, 11)
    expect(readAll(a, 11)).toEqual(bytes(50))
  })

  it('of a peer that is not of our kind is ignored', () => {
    const b = Connection.accept(options(7000), 0, 512, bytes(10))
    expect(b.state).toBe('SYN_RECEIVED')
    expect(shown(b, 0)).toEqual(['SYN+ACK 7000 ack 1'])
    expect(readAll(b, 0)).toEqual(NONE)
  })

  it('is not sent to a peer that is not known to be of our kind', () => {
    const a = Connection.dial(options())
    a.write(bytes(10), 0)
    expect(shown(a, 0)).toEqual(['SYN 1000'])
    a.handleSegment(SYN | ACK, 0, 1001, 512, NONE, 1)
    expect(shown(a, 1)).toEqual(['ACK 1001+10 ack 1'])
  })

  it('is delivered when the dialer closes at once', () => {
    const a = dialer(bytes(10))
    a.close(0)
    const b = accepted(drain(a, 0)[0]!, 1)
    expect(readAll(b, 1)).toEqual(bytes(10))
    b.handleTimeout(1)
    give(a, drain(b, 1), 2)
    const last = drain(a, 2)
    expect(last.some(({ flags }) => (flags & FIN) !== 0)).toBe(true)
    give(b, last, 3)
    expect(b.ended).toBe(true)
  })
})

function retransmissions(
  connection: Connection,
  from: number,
  until: number,
): [number, Packet[]][] {
  const list: [number, Packet[]][] = []
  for (let now = from; now <= until; ) {
    const packets = drain(connection, now)
    if (packets.length > 0) list.push([now, packets])
    const at = connection.pollTimeout()
    if (at === undefined) break
    now = Math.max(at, now + 1)
    connection.handleTimeout(now)
  }
  return list
}
