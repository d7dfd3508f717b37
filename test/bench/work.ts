/**
 * The work that every system does. A request begins with 9 bytes: what is wanted, and how many bytes the request has
 * in all; the server answers when the last one is there, with as many bytes or with a single one.
 */
import type { Amount, Channel, Client, Figures, Meter } from './channel.ts'
import { quantile } from './report/statistics.ts'

const HEADER_BYTES = 9
const ECHO = 1
const SWALLOW = 2
export const MESSAGE_BYTES = 65_536
const BLOCK_BYTES = 1 << 20
/** Before what counts: code is compiled, windows and datagrams have grown. */
const WARM_UP = { bytes: 0.5, rounds: 0.5 } as const

/** Connections opened at the same time while memory is measured. */
const TOGETHER = 10

const bytes = new Uint8Array(BLOCK_BYTES)
for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 31) & 0xff

/** Serves one channel. */
export function answer(channel: Channel): void {
  const header = Buffer.alloc(HEADER_BYTES)
  let have = 0
  let left = 0
  channel.ondata = (data) => {
    for (let at = 0; at < data.length; ) {
      if (have < HEADER_BYTES) {
        const part = data.subarray(at, at + HEADER_BYTES - have)
        header.set(part, have)
        have += part.length
        at += part.length
        if (have < HEADER_BYTES) return
        left = header.readDoubleBE(1) - HEADER_BYTES
      }
      const part = Math.min(left, data.length - at)
      left -= part
      at += part
      if (left > 0) continue
      have = 0
      channel.write(bytes.subarray(0, header[0] === ECHO ? header.readDoubleBE(1) : 1))
    }
  }
}

function request(kind: number, size: number, length: number): Uint8Array {
  const message = Buffer.from(bytes.subarray(0, length))
  message[0] = kind
  message.writeDoubleBE(size, 1)
  return message
}

/** Resolves when `size` bytes have come to what is handed to `take`. */
function arrival(size: number, take: (ondata: Channel['ondata']) => void): Promise<void> {
  return new Promise((resolve) => {
    let missing = size
    take((data) => {
      missing -= data.length
      if (missing <= 0) resolve()
    })
  })
}

function arrivalOn(channel: Channel, size: number): Promise<void> {
  return arrival(size, (ondata) => {
    channel.ondata = ondata
  })
}

/** A further connection and its first answer: the time of each since the call, in ms. */
async function first(client: Client): Promise<{ channel: Channel; connectMs: number; ms: number }> {
  const message = small()
  const started = performance.now()
  let channel: Channel
  let connectMs: number
  if (client.connectWith === undefined) {
    channel = await client.connect()
    connectMs = performance.now() - started
    await echo(channel, message)
  } else {
    let ondata: Channel['ondata'] = () => {}
    const arrived = arrival(message.length, (taken) => {
      ondata = taken
    })
    channel = await client.connectWith(message, ondata)
    connectMs = performance.now() - started
    await arrived
  }
  return { channel, connectMs, ms: performance.now() - started }
}

async function echo(channel: Channel, message: Uint8Array): Promise<void> {
  if (channel.request !== undefined) return channel.request(message)
  const arrived = arrivalOn(channel, message.length)
  channel.write(message)
  return arrived
}

async function oneWay(channel: Channel, total: number, block: number): Promise<number> {
  const count = Math.ceil(total / block)
  const arrived = arrivalOn(channel, 1)
  const started = performance.now()
  for (let i = 0; i < count; i++) {
    const data = i === 0 ? request(SWALLOW, count * block, block) : bytes.subarray(0, block)
    const room = channel.write(data)
    if (room !== undefined) await room
  }
  await arrived
  return (count * block * 8) / 1000 / (performance.now() - started)
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await work()
  return performance.now() - started
}

const small = (): Uint8Array => request(ECHO, HEADER_BYTES, HEADER_BYTES)

export async function measureSpeed(client: Client, amount: Amount, meter: Meter): Promise<Figures> {
  const figures: Figures = {}
  let channel: Channel | undefined
  figures.firstContactMs = await timed(async () => {
    channel = await client.connect()
    await echo(channel, small())
  })
  await client.befriend?.()
  const connects: number[] = []
  const firstBytes: number[] = []
  for (let i = -amount.connects * WARM_UP.rounds; i < amount.connects; i++) {
    const { channel: another, connectMs, ms } = await first(client)
    if (i >= 0) {
      connects.push(connectMs)
      firstBytes.push(ms)
    }
    another.close()
    await pause(5)
  }
  figures.connectMs = quantile(connects, 0.5)
  figures.firstByteMs = quantile(firstBytes, 0.5)
  for (const [size, rounds] of Object.entries(amount.rounds)) {
    const message = request(ECHO, Number(size), Number(size))
    const times: number[] = []
    for (let i = 0; i < rounds * WARM_UP.rounds; i++) await echo(channel!, message)
    for (let i = 0; i < rounds; i++) times.push(await timed(() => echo(channel!, message)))
    figures[`echo${size}P50Us`] = quantile(times, 0.5) * 1000
    figures[`echo${size}P99Us`] = quantile(times, 0.99) * 1000
  }
  await oneWay(channel!, amount.bulkBytes * WARM_UP.bytes, BLOCK_BYTES)
  const before = await meter.sample()
  figures.bulkMbits = await oneWay(channel!, amount.bulkBytes, BLOCK_BYTES)
  const after = await meter.sample()
  const gigabytes = (Math.ceil(amount.bulkBytes / BLOCK_BYTES) * BLOCK_BYTES) / 1e9
  figures.senderCpuSPerGb = (after.senderCpuUs - before.senderCpuUs) / 1e6 / gigabytes
  figures.receiverCpuSPerGb = (after.receiverCpuUs - before.receiverCpuUs) / 1e6 / gigabytes
  figures.cpuSPerGb = figures.senderCpuSPerGb + figures.receiverCpuSPerGb
  await oneWay(channel!, (amount.bulkBytes * WARM_UP.bytes) / 4, MESSAGE_BYTES)
  figures.messagesMbits = await oneWay(channel!, amount.bulkBytes, MESSAGE_BYTES)
  return figures
}

/** In processes that do nothing else before it. The heap needs `--expose-gc`. */
export async function measureMemory(
  client: Client,
  amount: Amount,
  meter: Meter,
): Promise<Figures> {
  const open: Channel[] = []
  const another = async (): Promise<void> => {
    const channel = await client.connect()
    await echo(channel, request(ECHO, 1024, 1024))
    open.push(channel)
  }
  // A few at a time: some systems take a second for each.
  const grow = async (count: number): Promise<void> => {
    while (open.length < count)
      await Promise.all(
        Array.from({ length: Math.min(TOGETHER, count - open.length) }, () => another()),
      )
    await pause(300)
  }
  await grow(1)
  await client.befriend?.()
  const one = await meter.sample()
  await grow(amount.idle)
  const many = await meter.sample()
  const before = await heap()
  await grow(2 * amount.idle)
  const after = await heap()
  const mb = (value: number): number => value / 2 ** 20
  return {
    rss1Mb: mb(one.receiverRss),
    rssManyMb: mb(many.receiverRss),
    clientRss1Mb: mb(one.senderRss),
    clientRssManyMb: mb(many.senderRss),
    heapPerConnectionKb: (after - before) / amount.idle / 1024,
  }
}

/** Live bytes of this process: objects, and buffers outside of V8's heap. */
async function heap(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.()
    await pause(20)
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
