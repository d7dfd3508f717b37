import { randomBytes } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { afterEach, describe, expect, it } from 'vitest'
import type { Endpoint } from '../../../../core/index.ts'
import {
  DatagramBatch,
  type DatagramBatchCalls,
  type SendAlone,
} from '../../../../runtimes/node/native/datagram-batch.ts'
import { loadNativeLibrary } from '../../../../runtimes/node/native/library.ts'
import { UdpSocket } from '../../../../runtimes/node/udp-socket.ts'

const isLinux = process.platform === 'linux'
const library = await loadNativeLibrary()
const open: { close(): unknown }[] = []

afterEach(async () => {
  for (const one of open.splice(0)) await one.close()
})

async function until(isTrue: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !isTrue(); i++) await new Promise((resolve) => setTimeout(resolve, 10))
  expect(isTrue()).toBe(true)
}

async function plainReceiver(
  type: 'udp4' | 'udp6',
  host: string,
): Promise<{ socket: Socket; got: Buffer[]; endpoint: Endpoint }> {
  const socket = createSocket({ type, recvBufferSize: 4 << 20 })
  open.push(socket)
  const got: Buffer[] = []
  socket.on('message', (data) => got.push(data))
  await new Promise<void>((resolve) => socket.bind(0, host, resolve))
  return { socket, got, endpoint: { address: host, port: socket.address().port } }
}

async function bind(listen: string, native = library): Promise<UdpSocket> {
  const socket = await UdpSocket.bind(listen, native)
  open.push(socket)
  return socket
}

function frame(bytes: number, id: number): Buffer {
  const out = randomBytes(bytes)
  out.write('PILS')
  out.writeUInt32BE(0x01020304, 4)
  out.writeUInt32BE(id, 8)
  return out
}

describe.runIf(isLinux)('datagrams in batches', () => {
  it.each([
    ['udp4', '127.0.0.1', '127.0.0.1:0'],
    ['udp6', '::1', '[::1]:0'],
  ] as const)(
    'arrive one by one at a socket that knows nothing of it: %s',
    async (type, host, listen) => {
      const { got, endpoint } = await plainReceiver(type, host)
      const sender = await bind(listen)
      const sizes = [1222, 1222, 1222, 300, 1222, 90, 1400, 1400, 9000, 40, 40, 41]
      const sent = sizes.map((size, i) => frame(size, i))
      for (const datagram of sent) sender.send(datagram, endpoint)
      await until(() => got.length === sent.length)
      expect(got).toEqual(sent)
    },
  )

  it('go to several endpoints, each its own', async () => {
    const receivers = await Promise.all([1, 2, 3].map(() => plainReceiver('udp4', '127.0.0.1')))
    const sender = await bind('127.0.0.1:0')
    const sent = Array.from({ length: 60 }, (_, i) => frame(500, i))
    for (const [i, datagram] of sent.entries()) sender.send(datagram, receivers[i % 3]!.endpoint)
    await until(() => receivers.every(({ got }) => got.length === 20))
    for (const [n, { got }] of receivers.entries())
      expect(got).toEqual(sent.filter((_, i) => i % 3 === n))
  })

  it('arrive one by one at a socket that takes batches, in order, with who sent them', async () => {
    const [a, b] = [await bind('127.0.0.1:0'), await bind('127.0.0.1:0')]
    const got: Uint8Array[] = []
    b.ondatagram = (datagram, from) => {
      expect(from).toEqual(a.localEndpoint)
      got.push(datagram)
    }
    const sent = Array.from({ length: 1000 }, (_, i) => frame(i % 100 === 99 ? 200 : 1222, i))
    for (let at = 0; at < sent.length; at += 100) {
      for (const datagram of sent.slice(at, at + 100)) a.send(datagram, b.localEndpoint)
      await until(() => got.length === at + 100)
    }
    expect(got.map((datagram) => Buffer.from(datagram))).toEqual(sent)
  })

  it('may be changed by the caller where it is told so, and are sent before the socket closes', async () => {
    const { got, endpoint } = await plainReceiver('udp4', '127.0.0.1')
    const sender = await UdpSocket.bind('127.0.0.1:0', library)
    const datagram = frame(100, 1)
    const before = Buffer.from(datagram)
    expect(sender.send(datagram, endpoint)).toBe(true)
    datagram.fill(0)
    await sender.close()
    sender.send(frame(100, 2), endpoint)
    await until(() => got.length === 1)
    expect(got).toEqual([before])
  })

  it('go alone where the kernel refuses them, with their own bytes', () => {
    const alone: Uint8Array[] = []
    const sendAlone: SendAlone = (datagram) => {
      alone.push(datagram)
      return false
    }
    const memory = new Uint8Array(70_000)
    const calls: DatagramBatchCalls = {
      allocate: () => ({ pointer: memory, address: 4096n, bytes: memory, free: () => {} }),
      sendmsg: () => -1,
      sendto: () => -1,
      setsockopt: () => 0,
    }
    const batch = DatagramBatch.open(calls, 3)!
    const to = { address: '127.0.0.1', port: 9 }
    const sent = [frame(500, 1), frame(500, 2), frame(80, 3), frame(9000, 4)]
    for (const datagram of sent) batch.send(datagram, to, sendAlone)
    batch.flush(sendAlone)
    memory.fill(0)
    expect(alone.map((one) => Buffer.from(one))).toEqual(sent)
  })

  it('are not made where the kernel does not know them', () => {
    const calls = { setsockopt: () => -1 } as unknown as DatagramBatchCalls
    expect(DatagramBatch.open(calls, 3)).toBeUndefined()
  })
})

it('without the library datagrams go as ever', async () => {
  const { got, endpoint } = await plainReceiver('udp4', '127.0.0.1')
  const sender = await bind('127.0.0.1:0', undefined)
  sender.send(frame(100, 1), endpoint)
  await until(() => got.length === 1)
})
