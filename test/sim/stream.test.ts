/**
 * Streams over links, in virtual time: how long a transfer takes, and at what price. The table is kept
 * here, so that a change of congestion control shows in review.
 */
import { expect, it } from 'vitest'
import type { Connection } from '../../core/stream/connection.ts'
import { NewReno } from '../../core/stream/new-reno.ts'
import type { ConnectionTuning } from '../../core/stream/tuning.ts'
import type { LinkOptions } from './link.ts'
import { StreamHost } from './stream-host.ts'
import { World } from './world.ts'

const A = { address: '10.0.0.1', port: 4000 }
const B = { address: '10.0.0.2', port: 4000 }

interface Transfer {
  readonly link: LinkOptions
  readonly bytes: number
  readonly seed?: number
  readonly tuning?: Partial<ConnectionTuning>
  /** Bytes flow both ways, as with the echo service. */
  readonly echo?: boolean
}

interface Result {
  readonly seconds: number
  readonly megabytesPerSecond: number
  readonly retransmits: number
  readonly dropped: number
  readonly world: World
  readonly intact: boolean
}

function transfer({ link, bytes, seed = 1, tuning = {}, echo = false }: Transfer): Result {
  const world = new World({ seed })
  // The whole link stands before B in each direction; A's own adds nothing.
  let written = 0
  let received = 0
  let doneAt = Number.POSITIVE_INFINITY
  let intact = true
  const chunk = Uint8Array.from({ length: 65_536 }, (_, i) => i & 255)
  const push = (connection: Connection, now: number): void => {
    while (written < bytes) {
      const start = written % 256
      const size = Math.min(bytes - written, 60_000)
      const taken = connection.write(chunk.subarray(start, start + size), now)
      written += taken
      if (taken < size) return
    }
    if (!echo) connection.close(now)
  }
  const take = (connection: Connection, now: number): void => {
    for (let part = connection.read(now); part !== undefined; part = connection.read(now)) {
      if (part[0] !== (received & 255)) intact = false
      received += part.length
    }
    if (received === bytes && doneAt === Number.POSITIVE_INFINITY) doneAt = now
  }
  let pending: Uint8Array | undefined
  const mirror = (connection: Connection, now: number): void => {
    for (;;) {
      pending ??= connection.read(now)
      if (pending === undefined) return
      const taken = connection.write(pending, now)
      pending = taken === pending.length ? undefined : pending.subarray(taken)
      if (pending !== undefined) return
    }
  }
  const a: StreamHost = new StreamHost({
    node: 1,
    endpoint: A,
    peer: { node: 2, endpoint: B },
    random: world.random('a'),
    tuning,
    onActivity: (connection, now) => {
      push(connection, now)
      if (echo) take(connection, now)
    },
  })
  const b = new StreamHost({
    node: 2,
    endpoint: B,
    peer: { node: 1, endpoint: A },
    random: world.random('b'),
    tuning,
    onActivity: (connection, now) => {
      if (echo) mirror(connection, now)
      else take(connection, now)
      if (connection.ended) connection.close(now)
    },
  })
  world.add(a)
  const site = world.add(b, { up: link, down: link })
  push(a.dial(0), 0)
  world.touch(a)
  world.runUntilTrue(() => doneAt < Number.POSITIVE_INFINITY, 600_000)
  world.check(() => expect(received).toBe(bytes))
  const seconds = doneAt / 1000
  return {
    seconds,
    megabytesPerSecond: bytes / seconds / 1e6,
    retransmits: (a.connection?.stats.retransmits ?? 0) + (b.connection?.stats.retransmits ?? 0),
    dropped: site.down.lost + site.down.overflowed + site.up.lost + site.up.overflowed,
    world,
    intact,
  }
}

const row = (name: string, result: Result): string =>
  [
    name.padEnd(34),
    `${result.seconds.toFixed(2)} s`.padStart(9),
    `${result.megabytesPerSecond.toFixed(2)} MB/s`.padStart(11),
    `${result.retransmits} resent`.padStart(12),
    `${result.dropped} dropped`.padStart(13),
  ].join('')

const MB = 1_000_000

it('moves 4 MB at these rates', { timeout: 120_000 }, () => {
  const links: [string, LinkOptions][] = [
    ['10 ms', { latencyMs: 5 }],
    ['40 ms', { latencyMs: 20 }],
    ['40 ms, 0.1 % loss', { latencyMs: 20, loss: 0.001 }],
    ['40 ms, 1 % loss', { latencyMs: 20, loss: 0.01 }],
    ['40 ms, 3 % loss', { latencyMs: 20, loss: 0.03 }],
    ['40 ms, 10 % loss', { latencyMs: 20, loss: 0.1 }],
    ['40 ms, bursts of 20', { latencyMs: 20, burst: { enter: 0.001, leave: 0.05, loss: 0.9 } }],
    ['40 ms, jitter 20 ms', { latencyMs: 20, jitterMs: 20 }],
    ['40 ms, 2 % reordered', { latencyMs: 20, reorder: 0.02, reorderMs: 10 }],
    ['40 ms, 5 % duplicated', { latencyMs: 20, duplicate: 0.05 }],
    ['40 ms, 1 MB/s, 64 KB buffer', { latencyMs: 20, rateBytesPerMs: 1000, bufferBytes: 65_536 }],
    ['40 ms, 5 MB/s, 256 KB buffer', { latencyMs: 20, rateBytesPerMs: 5000 }],
    ['200 ms', { latencyMs: 100 }],
    ['200 ms, 1 % loss', { latencyMs: 100, loss: 0.01 }],
    ['200 ms, 5 MB/s, 256 KB buffer', { latencyMs: 100, rateBytesPerMs: 5000 }],
  ]
  const table = links.map(([name, link]) => {
    const result = transfer({ link, bytes: 4 * MB })
    result.world.check(() => expect(result.intact).toBe(true))
    return row(name, result)
  })
  expect(`\n${table.join('\n')}\n`).toMatchInlineSnapshot(`
    "
    10 ms                                0.12 s 33.06 MB/s    0 resent    0 dropped
    40 ms                                0.39 s 10.15 MB/s    0 resent    0 dropped
    40 ms, 0.1 % loss                    0.43 s  9.35 MB/s    3 resent    7 dropped
    40 ms, 1 % loss                      0.43 s  9.32 MB/s   33 resent   68 dropped
    40 ms, 3 % loss                      0.47 s  8.42 MB/s  116 resent  212 dropped
    40 ms, 10 % loss                    33.21 s  0.12 MB/s  445 resent  700 dropped
    40 ms, bursts of 20                  0.43 s  9.26 MB/s   38 resent  112 dropped
    40 ms, jitter 20 ms                  0.77 s  5.20 MB/s    0 resent    0 dropped
    40 ms, 2 % reordered                 0.40 s  9.92 MB/s   55 resent    0 dropped
    40 ms, 5 % duplicated                0.39 s 10.15 MB/s    0 resent    0 dropped
    40 ms, 1 MB/s, 64 KB buffer          4.33 s  0.92 MB/s   67 resent   67 dropped
    40 ms, 5 MB/s, 256 KB buffer         1.04 s  3.86 MB/s   97 resent   97 dropped
    200 ms                               1.96 s  2.04 MB/s    0 resent    0 dropped
    200 ms, 1 % loss                     2.14 s  1.87 MB/s   33 resent   68 dropped
    200 ms, 5 MB/s, 256 KB buffer        2.28 s  1.76 MB/s  557 resent  557 dropped
    "
  `)
})

it('echoes 2 MB through full windows in both directions', { timeout: 120_000 }, () => {
  const links: [string, LinkOptions][] = [
    ['10 ms', { latencyMs: 5 }],
    ['40 ms, 1 % loss', { latencyMs: 20, loss: 0.01 }],
    ['40 ms, 1 MB/s, 64 KB buffer', { latencyMs: 20, rateBytesPerMs: 1000, bufferBytes: 65_536 }],
  ]
  const table = links.map(([name, link]) =>
    row(name, transfer({ link, bytes: 2 * MB, echo: true })),
  )
  expect(`\n${table.join('\n')}\n`).toMatchInlineSnapshot(`
    "
    10 ms                                0.10 s 20.41 MB/s    0 resent    0 dropped
    40 ms, 1 % loss                      0.65 s  3.10 MB/s   34 resent   68 dropped
    40 ms, 1 MB/s, 64 KB buffer          2.41 s  0.83 MB/s   40 resent   40 dropped
    "
  `)
})

it('stays within what a reference holds when the window is at most 512', () => {
  const link = { latencyMs: 20, loss: 0.01 }
  const tuning = { receiveBufferBytes: 512 * 4096 }
  const result = transfer({ link, bytes: 2 * MB, tuning })
  expect(`\n${row('40 ms, 1 % loss, 512 slots', result)}\n`).toMatchInlineSnapshot(`
    "
    40 ms, 1 % loss, 512 slots           0.93 s  2.16 MB/s   20 resent   34 dropped
    "
  `)
})

it('works with another congestion controller', () => {
  const link = { latencyMs: 20, loss: 0.001 }
  const result = transfer({
    link,
    bytes: 4 * MB,
    tuning: { congestion: (options) => new NewReno(options) },
  })
  expect(`\n${row('NewReno, 40 ms, 0.1 % loss', result)}\n`).toMatchInlineSnapshot(`
    "
    NewReno, 40 ms, 0.1 % loss           0.65 s  6.18 MB/s    3 resent    7 dropped
    "
  `)
})

it('gives the same transcript for the same seed, and another for another', () => {
  const link = { latencyMs: 20, loss: 0.02, jitterMs: 5, duplicate: 0.01, reorder: 0.01 }
  const [one, same, other] = [7, 7, 8].map((seed) => transfer({ link, bytes: 200_000, seed }))
  expect(one!.world.transcript).toEqual(same!.world.transcript)
  expect(one!.world.transcript).not.toEqual(other!.world.transcript)
})
