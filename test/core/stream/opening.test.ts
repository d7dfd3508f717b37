import { describe, expect, it } from 'vitest'
import { Connection } from '../../../core/stream/connection.ts'
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
  show,
  shown,
} from './pair.ts'

describe('dialing', () => {
  it('sends SYN at 0, 0.25, 0.75, 1.75, 3.75, 7.75 s and then every 4 s until the dial times out', () => {
    const connection = Connection.dial(options())
    const log = run(connection, 0, 60_000)
    expect(log.filter(([, text]) => text === 'SYN 1000').map(([at]) => at)).toEqual([
      0, 250, 750, 1750, 3750, 7750, 11_750, 15_750, 19_750, 23_750,
    ])
    expect(log.at(-1)).toEqual([25_000, 'RST 1001'])
    expect(events(connection)).toEqual(['closed'])
    expect(connection.failure).toBe('timeout')
    expect(connection.pollTimeout()).toBeUndefined()
  })

  it('answers the SYN-ACK with the third packet', () => {
    const connection = Connection.dial(options())
    expect(shown(connection, 0)).toEqual(['SYN 1000'])
    connection.handleSegment(SYN | ACK, 0, 1001, 512, NONE, 30)
    expect(connection.state).toBe('ESTABLISHED')
    expect(shown(connection, 30)).toEqual(['ACK 1001 ack 1'])
    expect(events(connection)).toEqual(['connected'])
  })

  it('is refused by RST, but only once SYN was sent', () => {
    const connection = Connection.dial(options())
    connection.handleSegment(RST, 0, 0, 0, NONE, 0)
    expect(connection.state).toBe('SYN_SENT')
    drain(connection, 0)
    connection.handleSegment(RST, 0, 0, 0, NONE, 1)
    expect(connection.failure).toBe('refused')
    expect(events(connection)).toEqual(['closed'])
    expect(drain(connection, 1)).toEqual([])
  })

  it('removes a stale connection of the peer by RST and repeats the SYN', () => {
    const connection = Connection.dial(options())
    drain(connection, 0)
    connection.handleSegment(SYN | ACK, 4711, 815, 512, NONE, 10)
    expect(shown(connection, 10)).toEqual(['RST 815', 'SYN 1000'])
    expect(connection.state).toBe('SYN_SENT')
    connection.handleSegment(SYN | ACK, 0, 1001, 512, NONE, 20)
    expect(connection.state).toBe('ESTABLISHED')
  })

  it('does not answer stale SYN-ACKs without end', () => {
    const connection = Connection.dial(options())
    drain(connection, 0)
    let answers = 0
    for (let i = 0; i < 100; i++) {
      connection.handleSegment(SYN | ACK, 4711, 815, 512, NONE, 10)
      answers += drain(connection, 10).filter((packet) => packet.flags === RST).length
    }
    expect(answers).toBe(8)
  })

  it('is not disturbed by a second SYN-ACK', () => {
    const connection = established()
    connection.write(bytes(10), 5)
    drain(connection, 5)
    connection.handleSegment(SYN | ACK, 0, 1001, 512, NONE, 10)
    expect(connection.state).toBe('ESTABLISHED')
    connection.handleSegment(ACK, 1, 1011, 512, bytes(3), 20)
    expect(readAll(connection, 20)).toEqual(bytes(3))
  })

  it('keeps data that overtook the SYN-ACK', () => {
    const connection = Connection.dial(options())
    drain(connection, 0)
    connection.handleSegment(ACK, 1, 1001, 512, bytes(20), 10)
    connection.handleSegment(SYN | ACK, 0, 1001, 512, NONE, 11)
    expect(events(connection)).toEqual(['connected', 'readable'])
    expect(readAll(connection, 11)).toEqual(bytes(20))
  })

  it('ignores data of a stale connection while dialing', () => {
    const connection = Connection.dial(options())
    drain(connection, 0)
    connection.handleSegment(ACK, 900, 77, 512, bytes(20), 10)
    connection.handleSegment(SYN | ACK, 0, 1001, 512, NONE, 11)
    expect(connection.readableBytes).toBe(0)
  })

  it('sends what was written and closed before the connection opened', () => {
    const connection = Connection.dial(options())
    drain(connection, 0)
    expect(connection.write(bytes(5), 0)).toBe(5)
    connection.close(0)
    connection.handleSegment(SYN | ACK, 0, 1001, 512, NONE, 10)
    expect(shown(connection, 10)).toEqual(['ACK 1001+5 ack 1'])
    connection.handleSegment(ACK, 1, 1006, 512, NONE, 20)
    expect(shown(connection, 20)).toEqual(['FIN 1006'])
  })

  it('closes at once when nothing was written', () => {
    const connection = Connection.dial(options())
    drain(connection, 0)
    connection.close(5)
    expect(connection.state).toBe('CLOSED')
    expect(connection.failure).toBeUndefined()
    expect(shown(connection, 5)).toEqual(['RST 1001'])
  })

  it('repeats the SYN at once when the path changes', () => {
    const connection = Connection.dial(options())
    drain(connection, 0)
    run(connection, 0, 3000)
    connection.handlePathChange(3000)
    expect(shown(connection, 3000)).toEqual(['SYN 1000'])
    expect(connection.pollTimeout()).toBe(3250)
  })
})

describe('accepting', () => {
  it('answers with SYN-ACK and is established by the third packet', () => {
    const connection = Connection.accept(options(5000), 77, 512)
    expect(shown(connection, 0)).toEqual(['SYN+ACK 5000 ack 78'])
    expect(connection.state).toBe('SYN_RECEIVED')
    expect(events(connection)).toEqual([])
    connection.handleSegment(ACK, 78, 5001, 512, NONE, 40)
    expect(connection.state).toBe('ESTABLISHED')
    expect(events(connection)).toEqual(['connected'])
  })

  it('takes data for the third packet', () => {
    const connection = Connection.accept(options(5000), 77, 512)
    drain(connection, 0)
    connection.handleSegment(ACK, 78, 5001, 512, bytes(10), 40)
    expect(events(connection)).toEqual(['connected', 'readable'])
    expect(readAll(connection, 40)).toEqual(bytes(10))
  })

  it('ignores an ACK that does not cover its SYN', () => {
    const connection = Connection.accept(options(5000), 77, 512)
    drain(connection, 0)
    connection.handleSegment(ACK, 78, 1, 512, bytes(10), 40)
    expect(connection.state).toBe('SYN_RECEIVED')
  })

  it('repeats the SYN-ACK for a repeated SYN', () => {
    const connection = Connection.accept(options(5000), 77, 512)
    drain(connection, 0)
    connection.handleSegment(SYN, 77, 0, 512, NONE, 250)
    expect(shown(connection, 250)).toEqual(['SYN+ACK 5000 ack 78'])
  })

  it('is established although the third packet was lost, so that a server may speak first', () => {
    const connection = Connection.accept(options(5000), 77, 512)
    expect(run(connection, 0, 1500).map(([, text]) => text)).toEqual(['SYN+ACK 5000 ack 78'])
    expect(connection.state).toBe('ESTABLISHED')
    connection.write(bytes(4), 1500)
    expect(shown(connection, 1500)).toEqual(['ACK 5001+4 ack 78'])
  })

  it('drops a half-open connection in silence 10 s after the last of several SYNs', () => {
    const connection = Connection.accept(options(5000), 77, 512)
    drain(connection, 0)
    connection.handleSegment(SYN, 77, 0, 512, NONE, 1000)
    expect(run(connection, 1000, 20_000)).toEqual([[1000, 'SYN+ACK 5000 ack 78']])
    expect(connection.state).toBe('CLOSED')
    expect(connection.failure).toBe('timeout')
  })

  it('ends half-open by RST without ever having been connected', () => {
    const connection = Connection.accept(options(5000), 77, 512)
    drain(connection, 0)
    connection.handleSegment(RST, 0, 0, 0, NONE, 1)
    expect(events(connection)).toEqual(['closed'])
    expect(connection.failure).toBe('reset')
  })

  it('knows a new dial on a connection the peer forgot', () => {
    const connection = Connection.accept(options(5000), 0, 512)
    drain(connection, 0)
    connection.handleSegment(ACK, 1, 5001, 512, bytes(10), 40)
    expect(connection.isSupersededBy(0, 41)).toBe(false) // a late copy of the first SYN
    expect(connection.isSupersededBy(0, 6000)).toBe(true) // references always begin at 0
    expect(connection.isSupersededBy(99, 41)).toBe(true)
    connection.handleSegment(SYN, 0, 0, 512, NONE, 41)
    expect(connection.state).toBe('ESTABLISHED')
    connection.handleSegment(SYN, 0, 0, 512, NONE, 6000)
    expect(connection.state).toBe('CLOSED')
    expect(connection.failure).toBe('reset')
  })

  it('survives FIN as the first packet after the SYN', () => {
    const connection = Connection.accept(options(5000), 77, 512)
    drain(connection, 0)
    connection.handleSegment(FIN, 78, 0, 0, NONE, 5)
    expect(events(connection)).toEqual(['connected', 'ended'])
    expect(drain(connection, 5).map(show)).toEqual(['ACK 5001 ack 79'])
  })
})

describe('between two of our own', () => {
  it('opens from both ends', () => {
    const dialer = Connection.dial(options(10))
    const [syn] = drain(dialer, 0)
    const acceptor = Connection.accept(options(20), syn!.seq, syn!.window)
    const [synAck] = drain(acceptor, 1)
    dialer.handleSegment(synAck!.flags, synAck!.seq, synAck!.ack, synAck!.window, NONE, 2)
    const [third] = drain(dialer, 2)
    acceptor.handleSegment(third!.flags, third!.seq, third!.ack, third!.window, NONE, 3)
    expect([dialer.state, acceptor.state]).toEqual(['ESTABLISHED', 'ESTABLISHED'])
  })
})
