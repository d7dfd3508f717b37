/**
 * The ceiling: datagrams of `datagramBytes` plaintext, sealed with AES-256-GCM and opened, in a window of 2 MiB, and
 * nothing else: no retransmission, no congestion control, no order. Connected sockets, no callbacks, key objects.
 */
import { createCipheriv, createDecipheriv, createSecretKey } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import type { Ceiling, Figures, Meter, Setup } from '../channel.ts'
import { quantile } from '../report/statistics.ts'

const key = createSecretKey(Buffer.alloc(32, 7))
const BUFFER_BYTES = 4 << 20
const WINDOW_BYTES = 2 << 20
const [NONCE_BYTES, TAG_BYTES] = [12, 16]
const [PING, DATA, REPORT] = [1, 2, 3]

/** One buffer for every datagram: the kernel has copied it when `send` returns. */
class Sealer {
  readonly #nonce = Buffer.alloc(NONCE_BYTES)
  readonly #out: Buffer
  #counter = 0

  constructor(bytesMax: number) {
    this.#out = Buffer.alloc(bytesMax + NONCE_BYTES + TAG_BYTES)
  }

  seal(data: Uint8Array): Buffer {
    this.#nonce.writeUInt32BE(++this.#counter, 8)
    const cipher = createCipheriv('aes-256-gcm', key, this.#nonce)
    this.#out.set(this.#nonce)
    this.#out.set(cipher.update(data), NONCE_BYTES)
    cipher.final()
    this.#out.set(cipher.getAuthTag(), NONCE_BYTES + data.length)
    return this.#out.subarray(0, NONCE_BYTES + data.length + TAG_BYTES)
  }
}

function open(datagram: Buffer): Buffer {
  const end = datagram.length - TAG_BYTES
  const decipher = createDecipheriv('aes-256-gcm', key, datagram.subarray(0, NONCE_BYTES))
  decipher.setAuthTag(datagram.subarray(end))
  const data = decipher.update(datagram.subarray(NONCE_BYTES, end))
  decipher.final()
  return data
}

function udp(): Socket {
  return createSocket({
    type: 'udp4',
    recvBufferSize: BUFFER_BYTES,
    sendBufferSize: BUFFER_BYTES,
  })
}

const windowOf = (datagramBytes: number): number =>
  Math.max(64, Math.floor(WINDOW_BYTES / (datagramBytes + 64)))
const reportEvery = (datagramBytes: number): number => windowOf(datagramBytes) >> 3

/** Counts on the connection of whoever speaks first. */
async function serveCeiling({ options }: Setup): Promise<unknown> {
  const datagramBytes = options.datagramBytes as number
  const socket = udp()
  const sealer = new Sealer(datagramBytes)
  const every = reportEvery(datagramBytes)
  const report = Buffer.alloc(9)
  let count = 0
  let isConnected = false
  socket.on('message', (datagram) => {
    if (!isConnected) return
    const data = open(datagram)
    if (data[0] === PING) socket.send(sealer.seal(data))
    else {
      count++
      if (count % every !== 0) return
      report[0] = REPORT
      report.writeDoubleBE(count, 1)
      socket.send(sealer.seal(report))
    }
  })
  socket.once('message', (_datagram, { port, address }) =>
    socket.connect(port, address, () => {
      isConnected = true
    }),
  )
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  return socket.address().port
}

async function measureCeiling(setup: Setup, meter: Meter): Promise<Figures> {
  const datagramBytes = setup.options.datagramBytes as number
  const socket = udp()
  const sealer = new Sealer(datagramBytes)
  await new Promise<void>((resolve) => socket.connect(setup.ready as number, '127.0.0.1', resolve))
  await sayHello(socket, sealer)
  const figures: Figures = {}
  const rounds = setup.amount.rounds[1024] ?? 1000
  const times: number[] = []
  const ping = Buffer.alloc(1024)
  ping[0] = PING
  for (let i = 0; i < rounds * 1.5; i++) {
    const started = performance.now()
    await pingOnce(socket, sealer, ping)
    if (i >= rounds / 2) times.push(performance.now() - started)
  }
  figures.echo1024P50Us = quantile(times, 0.5) * 1000
  figures.echo1024P99Us = quantile(times, 0.99) * 1000
  const sender = new WindowedSender(socket, sealer, datagramBytes)
  await sender.send(setup.amount.bulkBytes / 2)
  const before = await meter.sample()
  figures.bulkMbits = await sender.send(setup.amount.bulkBytes)
  const after = await meter.sample()
  const gigabytes = setup.amount.bulkBytes / 1e9
  figures.senderCpuSPerGb = (after.senderCpuUs - before.senderCpuUs) / 1e6 / gigabytes
  figures.receiverCpuSPerGb = (after.receiverCpuUs - before.receiverCpuUs) / 1e6 / gigabytes
  figures.cpuSPerGb = figures.senderCpuSPerGb + figures.receiverCpuSPerGb
  return figures
}

/** The server connects its socket on the first datagram and answers the ones after it. */
async function sayHello(socket: Socket, sealer: Sealer): Promise<void> {
  const hello = Buffer.from([PING])
  const answered = new Promise<void>((resolve) => socket.once('message', () => resolve()))
  const timer = setInterval(() => socket.send(sealer.seal(hello)), 20)
  await answered
  clearInterval(timer)
  await new Promise((resolve) => setTimeout(resolve, 50))
}

function pingOnce(socket: Socket, sealer: Sealer, ping: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, 1000) // lost
    socket.once('message', (datagram) => {
      open(datagram)
      clearTimeout(timer)
      resolve()
    })
    socket.send(sealer.seal(ping))
  })
}

class WindowedSender {
  readonly #socket: Socket
  readonly #sealer: Sealer
  readonly #data: Buffer
  readonly #window: number
  #sent = 0
  #arrived = 0
  #lost = 0
  #until = 0
  #done: (() => void) | undefined

  constructor(socket: Socket, sealer: Sealer, datagramBytes: number) {
    this.#socket = socket
    this.#sealer = sealer
    this.#data = Buffer.alloc(datagramBytes, DATA)
    this.#window = windowOf(datagramBytes)
    socket.on('message', (datagram) => {
      const report = open(datagram)
      if (report[0] !== REPORT) return
      this.#arrived = Math.max(this.#arrived, report.readDoubleBE(1))
      this.#push()
    })
  }

  /** Mbit/s of plaintext until the last is reported; what is lost on the way is not counted. */
  async send(bytes: number): Promise<number> {
    const every = reportEvery(this.#data.length)
    const begun = this.#arrived
    this.#until = this.#sent + Math.ceil(bytes / this.#data.length / every) * every
    const started = performance.now()
    // A datagram that is lost is never reported: the window moves on without it, or nothing would end.
    let before = -1
    const timer = setInterval(() => {
      if (before === this.#arrived) this.#lost = this.#sent - this.#arrived
      before = this.#arrived
      this.#push()
    }, 200)
    await new Promise<void>((resolve) => {
      this.#done = resolve
      this.#push()
    })
    clearInterval(timer)
    const ms = performance.now() - started
    return ((this.#arrived - begun) * this.#data.length * 8) / 1000 / ms
  }

  #push(): void {
    while (this.#sent < this.#until && this.#sent - this.#arrived - this.#lost < this.#window) {
      this.#socket.send(this.#sealer.seal(this.#data))
      this.#sent++
    }
    if (this.#arrived + this.#lost >= this.#until) this.#done?.()
  }
}

const ceiling: Ceiling = { serveCeiling, measureCeiling }
export default ceiling
