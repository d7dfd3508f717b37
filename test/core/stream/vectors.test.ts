/** The reference's recorded behaviour against ours; where ours differs on purpose the test says how. */
import { describe, expect, it } from 'vitest'
import { Connection } from '../../../core/stream/connection.ts'
import { serialAfter, serialAtOrAfter, serialDistance } from '../../../core/wire/serial.ts'
import { generated, hex, sha256Hex, vectors } from '../../support.ts'
import { ACK, bytes, drain, established, NONE, readAll, sackPayload, show } from './pair.ts'

describe('seqarith.json', () => {
  it('compares sequence numbers as the reference does', () => {
    for (const { a, b, after, after_or_equal, diff_uint32 } of vectors('seqarith', 'compare')) {
      expect(serialAfter(a, b)).toBe(after)
      expect(serialAtOrAfter(a, b)).toBe(after_or_equal)
      expect(serialDistance(a, b) >>> 0).toBe(diff_uint32)
    }
  })

  const cases = vectors('seqarith', 'process_ack').filter(({ unacked }) => unacked !== null)
  it.each(cases)('acknowledges as the reference does: $name', (one) => {
    const first: number = one.unacked[0][0]
    const c = established({ segmentBytes: 5000 }, { isn: (first - 1) >>> 0 })
    for (const [, length] of one.unacked) {
      c.write(bytes(length), 0)
      drain(c, 0)
    }
    const end = one.unacked.at(-1)
    const nextSeq = (end[0] + end[1]) >>> 0
    for (const step of one.steps) {
      c.handleSegment(ACK, 1, step.ack, 512, step.pure ? NONE : bytes(1), 10)
      const before = drain(c, 10)
      // Deviation: an ack beyond what was sent is ignored; the reference believes it. So are 0, which
      // the reference takes on the wrap, and what lies exactly 2^31 away.
      const isBeyond =
        ((step.last_ack - nextSeq) | 0) > 0 || ((step.ack - nextSeq) | 0) === -0x80000000
      const wasBeyond = one.steps.some(
        (other: { last_ack: number }) => ((other.last_ack - nextSeq) | 0) > 0,
      )
      if (isBeyond || wasBeyond || step.ack === 0 || step.last_ack === 2147483649) continue
      expect(c.info().unackedSegments).toBe(step.unacked.length)
      // Deviation: a segment acknowledged in part counts only with what is left of it.
      expect(c.info().inFlight).toBeLessThanOrEqual(step.bytes_in_flight)
      if (step.retransmitted_seqs.length > 0)
        expect(before.map((packet) => packet.seq)).toEqual(step.retransmitted_seqs)
    }
  })
})

describe('sack.json', () => {
  it.each(vectors('sack', 'blocks'))('reports what the reference reports: $name', (one) => {
    const c = established({}, { peerIsn: (one.expected_seq - 1) >>> 0 })
    let last: ReturnType<typeof drain> = []
    for (const { seq, len, ack } of one.segments) {
      c.handleSegment(ACK, seq, 1001, 512, bytes(len), 10)
      const packets = drain(c, 10)
      if (packets.length > 0) last = packets
      const deviates = DEVIATES[one.name as string]
      if (deviates === undefined && packets.length > 0) expect(packets.at(-1)!.ack).toBe(ack)
    }
    const payload = last.at(-1)?.payload ?? NONE
    const deviates = DEVIATES[one.name as string]
    if (deviates !== undefined) expect(last.map(show)).toEqual(deviates)
    else expect(payload).toEqual(hex(one.payload_hex))
  })

  it.each(vectors('sack', 'receive'))('delivers as data what is no SACK of ours: $name', (one) => {
    const c = established({}, { peerIsn: one.expected_seq - 1 })
    const payload = hex(one.payload_hex)
    c.handleSegment(ACK, one.seq, 1001, 512, payload, 10)
    // Deviation: the reference eats everything with the pattern. Here nothing was sent, so no block can
    // be meant for us, and all of it is user data.
    expect(readAll(c, 10)).toEqual(payload)
  })

  it.each(vectors('sack', 'mark'))('marks what the reference marks: $name', (one) => {
    const first: number = one.unacked[0].seq
    const c = established({ segmentBytes: 5000 }, { isn: (first - 1) >>> 0 })
    for (const { len } of one.unacked) {
      c.write(bytes(len), 0)
      drain(c, 0)
    }
    c.handleSegment(ACK, 1, first, 512, sackPayload(...one.blocks), 10)
    c.handlePathChange(10) // everything that is not sacked leaves again
    const resent = drain(c, 10).map((packet) => packet.seq)
    const deviates = MARK_DEVIATES[one.name as string]
    const missing = one.unacked
      .filter(({ sacked }: { sacked: boolean }) => !sacked)
      .map(({ seq }: { seq: number }) => seq)
    // The oldest being sacked without being acknowledged is taken back: all leave again.
    expect(resent).toEqual(deviates ?? missing)
  })
})

/** By case name: what our receiver sends last instead. */
const DEVIATES: Record<string, string[]> = {
  // Nothing new arrived: a block covers it, so that the sender stops (spec/03 §7.7).
  'old segment': [],
  // The new bytes are taken. The reference ignores the segment as a whole.
  'partly old segment': [],
  // The held segment continues where the first one ends; the reference keeps it for ever.
  'overlapping buffered segment is not drained when the expected seq falls inside it': [
    'ACK 1001 ack 151',
  ],
  // The longer of two segments with one number adds its rest; the reference keeps the first only.
  'same seq, other length: the first one is kept': ['ACK 1001 ack 1 sack 101-301'],
  // Ranges beyond the fourth are not always left out: the fourth block is the one that changed last.
  'five holes: the four lowest blocks': [
    'ACK 1001 ack 1 sack 101-111 sack 201-211 sack 301-311 sack 501-511',
  ],
  // Ranges are merged across 2^32.
  'across 2^32, merged': ['ACK 1001 ack 4294967040 sack 4294967168-0'],
  'across 2^32, second segment starts before the wrap end': [
    'ACK 1001 ack 4294967040 sack 4294967264-64',
  ],
  // A segment without bytes is a pure ACK; the reference holds it.
  'empty segment ahead': [],
}

/** Blocks that are not all within what was sent make the payload data: nothing is marked. */
const MARK_DEVIATES: Record<string, number[]> = {
  'whole range': [1, 101, 201, 301],
  // The mark at 2^32 holds on both sides of the wrap, and the oldest being sacked is taken back.
  'segment across 2^32': [4294967232, 0, 64],
}

describe('segmentation.json', () => {
  it.each(vectors('segmentation', 'send'))('cuts writes into segments: $name', (one) => {
    const c = established(
      { segmentBytes: 4096, legacyBurstSegments: 100, initialWindowSegments: 100 },
      { isn: (one.start_seq - 1) >>> 0 },
    )
    const total = one.writes.reduce((sum: number, length: number) => sum + length, 0)
    const data = generated(total)
    let at = 0
    const packets = []
    for (const length of one.writes) {
      c.write(data.subarray(at, at + length), 0)
      at += length
      packets.push(...drain(c, 0)) // without Nagle every write leaves at once, with the same cuts
    }
    expect(packets.map(({ seq, payload, flags }) => [seq, payload.length, flags])).toEqual(
      one.segments,
    )
    expect(sha256Hex(Buffer.concat(packets.map(({ payload }) => payload)))).toBe(one.bytes_sha256)
  })

  it.each(vectors('segmentation', 'receive'))('puts segments together: $name', (one) => {
    const c = established({}, { peerIsn: (one.expected_seq - 1) >>> 0, isn: 0 })
    const extra = PARTLY_OLD.has(one.name as string)
    for (const step of one.steps) {
      const from = (step.seq - one.expected_seq) | 0
      c.handleSegment(ACK, step.seq, 1, 512, bytes(step.len, from), 10)
      const read = readAll(c, 10)
      const sent = drain(c, 10)
      if (extra) continue
      expect(read.length).toBe(step.delivered_len)
      if (step.delivered_first_byte !== null && read.length > 0)
        expect(read[0]).toBe(step.delivered_first_byte)
      for (const reply of step.sent_at_once) {
        expect(sent.at(-1)).toMatchObject({ flags: reply.flags, seq: reply.seq, ack: reply.ack })
        if (one.name !== 'duplicate') expect(sent.at(-1)!.payload).toEqual(hex(reply.payload_hex))
      }
      // Deviation: a filled gap and a duplicate are acknowledged at once, the window counts bytes.
      if (step.sent_at_once.length === 0 && sent.length > 0)
        expect(sent[0]!.ack).toBe(step.next_expected_seq)
    }
    if (!extra && one.sent_by_ack_timer.length > 0) {
      const at = c.pollTimeout()!
      c.handleTimeout(at)
      for (const packet of drain(c, at)) expect(packet.ack).toBe(one.sent_by_ack_timer[0].ack)
    }
  })

  it.each(vectors('segmentation', 'dial'))('dials: $name', (one) => {
    const [dial, synAck, again, rst] = one.steps
    const c = Connection.dial({
      id: 1,
      local: { address: { network: 0, node: 1 }, port: 49152 },
      remote: { address: { network: 0, node: 2 }, port: 7 },
      isn: 0,
      now: 0,
      tuning: { receiveBufferBytes: 512 * 4096 },
    })
    const out = new Uint8Array(1300)
    const next = (): Uint8Array => out.slice(0, c.pollTransmit(out, 0, 0))
    expect(next()).toEqual(hex(dial.replies_hex[0]))
    c.handleSegment(3, 0, 1, 512, NONE, 0)
    expect(next()).toEqual(hex(synAck.replies_hex[0]))
    c.handleSegment(3, 0, 1, 512, NONE, 0)
    // Deviation: a second SYN-ACK is answered once more, for acceptors that wait for the third packet.
    expect(again.replies_hex).toEqual([])
    expect(next()).toEqual(hex(synAck.replies_hex[0]))
    expect(rst.connections).toEqual([])
    c.handleSegment(8, 0, 0, 0, NONE, 0)
    expect(c.state).toBe('CLOSED')
  })
})

/** The new bytes of a partly old segment are taken; the reference ignores it. */
const PARTLY_OLD = new Set(['old and partly old'])
