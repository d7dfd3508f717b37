/**
 * One process of a measurement: `node worker.ts <role> <json>`. Servers print `{"ready":...}`; clients print
 * one JSON line with what they measured. Two processes, so that neither shares the other's event loop.
 */
import { createCipheriv, createDecipheriv, createSecretKey, randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { connect, createServer } from 'node:net'
import { createNode } from '../../runtimes/node/index.ts'

interface Setup {
  readonly registry: string
  readonly beacon: string
  /** What the server said it is ready with: its port, or for our node its id. */
  readonly port: number
  readonly bytes: number
  readonly rounds: number
}

const [role = '', json = '{}'] = process.argv.slice(2)
const setup = JSON.parse(json) as Setup
const print = (value: object): void => void process.stdout.write(`${JSON.stringify(value)}\n`)
const SEGMENT = 1152

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await work()
  return performance.now() - started
}

async function pilotServer(): Promise<void> {
  const { registry, beacon } = setup
  const node = await createNode({ registry, beacon, listen: '127.0.0.1:0', isPublic: true })
  node.listen(7).onconnection = (connection) => {
    connection.onreadable = () => {
      for (let data = connection.read(); data !== undefined; data = connection.read())
        connection.write(data)
      if (connection.ended) connection.close()
    }
  }
  node.listen(9).onconnection = (connection) => {
    connection.onreadable = () => {
      while (connection.read() !== undefined);
      if (connection.ended) connection.close()
    }
  }
  print({ ready: node.nodeId })
}

async function pilotClient(): Promise<void> {
  const { registry, beacon, port: peer, bytes, rounds } = setup
  const node = await createNode({ registry, beacon, listen: '127.0.0.1:0', isPublic: true })
  const address = { network: 0, node: peer }
  const firstContactMs = await timed(async () => {
    const connection = await node.dial({ address, port: 7 })
    await echoOnce(connection, Buffer.from('x'))
  })
  const pings: number[] = []
  for (let i = 0; i < rounds; i++) pings.push(await node.ping(address))
  const dials: number[] = []
  // A stranger may open ten streams a second: stay below.
  for (let i = 0; i < 8; i++) {
    dials.push(
      await timed(async () => {
        const connection = await node.dial({ address, port: 7 })
        dialed.push(connection)
      }),
    )
    await new Promise((resolve) => setTimeout(resolve, 120))
  }
  const echo = dialed[0]!
  const message = randomBytes(1024)
  const roundTrips: number[] = []
  for (let i = 0; i < rounds; i++) roundTrips.push(await timed(() => echoOnce(echo, message)))
  for (const connection of dialed) connection.reset()
  const bulk = await node.dial({ address, port: 9 })
  const bulkMs = await timed(async () => {
    const writer = bulk.writable.getWriter()
    const chunk = new Uint8Array(1 << 16)
    for (let sent = 0; sent < bytes; sent += chunk.length) await writer.write(chunk)
    await writer.close()
  })
  print({
    firstContactMs,
    pingMs: median(pings),
    dialMs: median(dials),
    echoMs: median(roundTrips),
    bulkMbits: (bytes * 8) / 1000 / bulkMs,
  })
  await node.close()
}

type Connection = Awaited<ReturnType<Awaited<ReturnType<typeof createNode>>['dial']>>
const dialed: Connection[] = []

function echoOnce(connection: Connection, message: Uint8Array): Promise<void> {
  let missing = message.length
  return new Promise((resolve) => {
    connection.onreadable = () => {
      for (let data = connection.read(); data !== undefined; data = connection.read())
        missing -= data.length
      if (missing <= 0) resolve()
    }
    connection.write(message)
  })
}

function tcpServer(): void {
  const server = createServer((socket) => {
    socket.setNoDelay(true)
    socket.once('data', (first: Buffer) => {
      // The first byte says what for: 7 echoes, 9 swallows and says when all is there.
      if (first[0] === 7) {
        socket.on('data', (data: Buffer) => socket.write(data))
        socket.write(first.subarray(1))
      } else {
        let left = setup.bytes + 1 - first.length
        socket.on('data', (data: Buffer) => {
          left -= data.length
          if (left <= 0) socket.end('.')
        })
      }
    })
  })
  server.listen(0, '127.0.0.1', () => print({ ready: (server.address() as { port: number }).port }))
}

async function tcpClient(): Promise<void> {
  const { port, bytes, rounds } = setup
  const open = (): Promise<ReturnType<typeof connect>> =>
    new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(socket))
      socket.setNoDelay(true)
    })
  const dials: number[] = []
  for (let i = 0; i < 8; i++) dials.push(await timed(async () => (await open()).destroy()))
  const echo = await open()
  echo.write(Buffer.from([7]))
  const message = randomBytes(1024)
  const roundTrips: number[] = []
  for (let i = 0; i < rounds; i++)
    roundTrips.push(
      await timed(
        () =>
          new Promise<void>((resolve) => {
            let missing = message.length
            const onData = (data: Buffer): void => {
              missing -= data.length
              if (missing > 0) return
              echo.off('data', onData)
              resolve()
            }
            echo.on('data', onData)
            echo.write(message)
          }),
      ),
    )
  const bulk = await open()
  const bulkMs = await timed(async () => {
    bulk.write(Buffer.from([9]))
    const chunk = Buffer.alloc(1 << 16)
    for (let sent = 0; sent < bytes; sent += chunk.length)
      if (!bulk.write(chunk)) await new Promise((resolve) => bulk.once('drain', resolve))
    await new Promise((resolve) => bulk.once('data', resolve))
  })
  print({
    dialMs: median(dials),
    echoMs: median(roundTrips),
    bulkMbits: (bytes * 8) / 1000 / bulkMs,
  })
  process.exit(0)
}

const key = createSecretKey(Buffer.alloc(32, 7))

function seal(counter: number, data: Buffer): Buffer {
  const nonce = Buffer.alloc(12)
  nonce.writeUInt32BE(counter, 8)
  const cipher = createCipheriv('aes-256-gcm', key, nonce)
  return Buffer.concat([nonce, cipher.update(data), cipher.final(), cipher.getAuthTag()])
}

function open(datagram: Buffer): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, datagram.subarray(0, 12))
  decipher.setAuthTag(datagram.subarray(-16))
  const data = decipher.update(datagram.subarray(12, -16))
  decipher.final()
  return data
}

/** The ceiling: sealed datagrams of our segment size, a window of 2 MiB, nothing else. */
function udpServer(): void {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20, sendBufferSize: 4 << 20 })
  let count = 0
  socket.on('message', (datagram, from) => {
    const data = open(datagram)
    if (data[0] === 1) socket.send(seal(count, data), from.port, from.address)
    else if (++count % 64 === 0) socket.send(seal(count, Buffer.from([2])), from.port, from.address)
  })
  socket.bind(0, '127.0.0.1', () => print({ ready: socket.address().port }))
}

async function udpClient(): Promise<void> {
  const { port, bytes, rounds } = setup
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20, sendBufferSize: 4 << 20 })
  let counter = 0
  let acknowledged = 0
  let wake: (() => void) | undefined
  socket.on('message', (datagram) => {
    if (open(datagram)[0] === 2) acknowledged += 64
    wake?.()
  })
  await new Promise<void>((resolve) => socket.connect(port, '127.0.0.1', resolve))
  const ping = Buffer.alloc(1024)
  ping[0] = 1
  const roundTrips: number[] = []
  for (let i = 0; i < rounds; i++)
    roundTrips.push(
      await timed(
        () =>
          new Promise<void>((resolve) => {
            wake = resolve
            socket.send(seal(++counter, ping))
          }),
      ),
    )
  const total = Math.ceil(bytes / SEGMENT / 64) * 64
  const data = Buffer.alloc(SEGMENT)
  const bulkMs = await timed(async () => {
    for (let sent = 0; sent < total || acknowledged < total; ) {
      let burst = 32
      while (sent < total && sent - acknowledged < 1700 && burst-- > 0) {
        socket.send(seal(++counter, data))
        sent++
      }
      if (sent < total && sent - acknowledged < 1700)
        await new Promise((resolve) => setImmediate(resolve))
      else
        await new Promise<void>((resolve) => {
          wake = resolve
          // A lost datagram must not hang the measurement.
          setTimeout(() => {
            if (sent >= total) acknowledged = total
            resolve()
          }, 500)
        })
    }
  })
  print({ pingMs: median(roundTrips), bulkMbits: (total * SEGMENT * 8) / 1000 / bulkMs })
  process.exit(0)
}

const roles: Record<string, () => unknown> = {
  'pilot-server': pilotServer,
  'pilot-client': pilotClient,
  'tcp-server': tcpServer,
  'tcp-client': tcpClient,
  'udp-server': udpServer,
  'udp-client': udpClient,
}
process.on('SIGTERM', () => process.exit(0))
await roles[role]?.()
