/**
 * `node --expose-gc test/bench/stream.ts`: what the stream engine alone costs, two connections in one process with
 * nothing between them: microseconds per segment, both ends and the acknowledgements included, and heap per idle
 * connection. With `--cpu-prof` it says where the time goes.
 */
import { crc32 } from 'node:zlib'
import { Connection } from '../../core/stream/connection.ts'
import { accelerateCrc32 } from '../../core/wire/crc32.ts'
import { PacketReader } from '../../core/wire/packet.ts'

const A = { address: { network: 0, node: 1 }, port: 49152 }
const B = { address: { network: 0, node: 2 }, port: 1000 }
const chunk = new Uint8Array(65_536)
const out = new Uint8Array(66_000)
const reader = new PacketReader()
let now = 0
accelerateCrc32(crc32)

interface Pair {
  readonly a: Connection
  readonly b: Connection
}

function pair(segmentBytes: number | undefined): Pair {
  const path = segmentBytes === undefined ? {} : { segmentBytes }
  const a = Connection.dial({ id: 1, local: A, remote: B, isn: 1, now, ...path })
  const length = a.pollTransmit(out, 0, now)
  reader.read(out.subarray(0, length))
  const from = { id: 2, local: B, remote: A, isn: 2, now, ...path }
  const b = Connection.accept(from, reader.seq, reader.window)
  const both = { a, b }
  for (let i = 0; i < 4; i++) carry(both)
  return both
}

/** All that may leave now arrives at once, as batches of datagrams do. */
function carry({ a, b }: Pair): number {
  let packets = 0
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const)
    for (let length = 1, count = 0; length > 0 && count < 64; count++) {
      length = from.pollTransmit(out, 0, now)
      if (length === 0) break
      packets++
      // The receiver keeps payloads without a copy: as from a socket, each comes in memory of its own.
      reader.read(out.slice(0, length))
      const { flags, seq, ack, window, payload } = reader
      to.handleSegment(flags, seq, ack, window, payload, now)
    }
  return packets
}

function bulk(segmentBytes: number | undefined, total: number): number {
  const both = pair(segmentBytes)
  const { a, b } = both
  const segment = segmentBytes ?? 1152
  const started = performance.now()
  for (let received = 0; received < total; ) {
    while (a.write(chunk, now) === chunk.length);
    a.pollEvent()
    const packets = carry(both)
    for (let part = b.read(now); part !== undefined; part = b.read(now)) received += part.length
    b.pollEvent()
    // Two microseconds a packet; never less than the timers that are due.
    now += 0.01 + packets * 0.002
    for (const one of [a, b]) if ((one.pollTimeout() ?? now + 1) <= now) one.handleTimeout(now)
  }
  return ((performance.now() - started) * 1000) / (total / segment)
}

function heapPerIdle(count: number, isUsed: boolean): number {
  const kept: Pair[] = []
  const collect = globalThis.gc ?? (() => {})
  collect()
  const before = process.memoryUsage()
  for (let i = 0; i < count; i++) {
    const both = pair(undefined)
    if (isUsed) {
      both.a.write(chunk.subarray(0, 1000), now)
      for (let turn = 0; turn < 4; turn++) {
        carry(both)
        while (both.b.read(now) !== undefined);
        now += 10
        for (const one of [both.a, both.b]) one.handleTimeout(now)
      }
    }
    kept.push(both)
  }
  collect()
  const after = process.memoryUsage()
  const bytes = (of: NodeJS.MemoryUsage): number => of.heapUsed + of.arrayBuffers
  return (bytes(after) - bytes(before)) / (2 * kept.length)
}

for (const isUsed of [false, true])
  console.log(
    `idle connection, ${isUsed ? 'after 1 KB' : 'unused'}: ${(heapPerIdle(2000, isUsed) / 1024).toFixed(1)} KB`,
  )

for (const [name, segmentBytes, total] of [
  ['1152 B', undefined, 200e6],
  ['16 KiB', 16_384, 1600e6],
] as const) {
  bulk(segmentBytes, total / 10)
  console.log(`${name}: ${bulk(segmentBytes, total).toFixed(2)} µs per segment`)
}
