/** Recorded daemons of both generations on the other end of our driver: it asks as was recorded, and takes the replies. */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { formatSocketAddress } from '../../core/index.ts'
import { DaemonClient } from '../../runtimes/node/ipc/client.ts'
import type { DaemonConnection } from '../../runtimes/node/ipc/client-connection.ts'
import type { DaemonListener } from '../../runtimes/node/ipc/client-listener.ts'
import {
  type DriverMessage,
  decodeDriverMessage,
  encodeDriverMessage,
} from '../../runtimes/node/ipc/driver-message.ts'
import { hex, type VectorCase, vectors } from '../support.ts'
import { type Frame, readRecorded } from './ipc-frames.ts'

let directory: string
let server: Server
let daemon: Socket
let client: DaemonClient
/** Bytes of our driver that were not looked at yet. */
let asked: Buffer
let wake: () => void

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'pilot-replay-'))
  server = createServer()
  server.listen(join(directory, 's'))
  await once(server, 'listening')
  const connected = once(server, 'connection')
  client = await DaemonClient.connect(join(directory, 's'))
  daemon = (await connected)[0] as Socket
  asked = Buffer.alloc(0)
  daemon.on('error', () => {})
  daemon.on('data', (chunk) => {
    asked = Buffer.concat([asked, chunk])
    wake?.()
  })
})
afterEach(async () => {
  daemon.destroy()
  listeners.clear()
  connections.clear()
  await client.close()
  server.close()
  rmSync(directory, { recursive: true })
})

/** The next request of our driver, in hex. */
async function request(bytes: number): Promise<string> {
  while (asked.length < bytes)
    await new Promise<void>((resolve) => {
      wake = resolve
    })
  const taken = asked.subarray(0, bytes)
  asked = asked.subarray(bytes)
  return taken.toString('hex')
}

/** Our driver has no use for them. */
const NEVER: ReadonlySet<DriverMessage['type']> = new Set([
  'subscribe',
  'unsubscribe',
  'send-tracked',
])

/** What our driver would say, if it can say this at all: not what is malformed, or says nothing. */
function messageOf(one: VectorCase): DriverMessage | undefined {
  const frame = hex(one.request_hex ?? '')
  if (frame.length < 5) return undefined
  try {
    const message = decodeDriverMessage(frame.subarray(4))
    if (NEVER.has(message.type)) return undefined
    if (message.type === 'send' && message.data.length === 0) return undefined
    if (message.type === 'unbind' && !listeners.has(message.port)) return undefined
    return Buffer.from(encodeDriverMessage(message)).equals(frame) ? message : undefined
  } catch {
    return undefined
  }
}

const listeners = new Map<number, DaemonListener>()
const connections = new Map<number, DaemonConnection>()
/** Nothing comes of them at the caller. */
const PLAIN: ReadonlySet<DriverMessage['type']> = new Set(['send', 'close', 'send-to', 'unbind'])

/** Through the method for it; what came of it as a frame. */
async function call(message: DriverMessage, reply: Frame | undefined): Promise<unknown> {
  switch (message.type) {
    case 'bind': {
      const listener = await client.listen(message.port)
      listeners.set(message.port, listener)
      return { name: 'BIND_OK', body: message.port.toString(16).padStart(4, '0') }
    }
    case 'dial': {
      const connection = await client.dial(message.to)
      connections.set(connection.id, connection)
      return { name: 'DIAL_OK', body: connection.id.toString(16).padStart(8, '0') }
    }
    case 'unbind':
      listeners.get(message.port)!.close()
      listeners.delete(message.port)
      return
    case 'send':
      return client.send(message.id, message.data)
    case 'close':
      return client.closeConnection(message.id)
    case 'send-to':
      return client.sendTo(message.to, message.data)
    default:
      return { name: reply?.name, body: await client.requestJson(message) }
  }
}

it.each([
  { file: 'ipc', calls: 44, others: 32 },
  { file: 'ipc-v19', calls: 64, others: 32 },
])('$file', async ({ file, calls, others }) => {
  let [made, left] = [0, 0]
  if (file === 'ipc-v19') {
    // What came before, in the other recording.
    await before(BIND)
    await before(DIAL)
  }
  for (const one of vectors(file) as VectorCase[]) {
    if (one.kind === 'push') {
      daemon.write(hex(one.hex))
      await expectPush(readRecorded(one.hex))
    }
    if (one.kind !== 'exchange') continue
    const message = messageOf(one)
    if (message === undefined) {
      left++
      continue
    }
    made++
    const frames: Frame[] = one.replies.map((reply: { hex: string }) => readRecorded(reply.hex))
    const reply = frames.at(-1)
    const outcome = call(message, reply).catch((error) => ({ name: 'ERROR', body: error.message }))
    expect(await request(one.request_hex.length / 2), one.name).toBe(one.request_hex)
    for (const { hex: text } of one.replies) daemon.write(hex(text))
    const isPlain = PLAIN.has(message.type)
    const got = await outcome
    if (!isPlain) expect(got, one.name).toEqual(reply)
    // What was said to nobody changes nothing for who asks next.
    const info = client.info()
    await request(5)
    daemon.write(INFO)
    expect(await info, `after ${one.name}`).toEqual({ node_id: 1 })
  }
  expect([made, left]).toEqual([calls, others])
})

const BIND: VectorCase = vectors('ipc').find((one) => one.name === 'BIND 5000')
const DIAL: VectorCase = vectors('ipc').find((one) => one.name === 'DIAL node 2 port 4000')

async function before(one: VectorCase): Promise<void> {
  const outcome = call(messageOf(one)!, undefined)
  await request(one.request_hex.length / 2)
  daemon.write(hex(one.replies[0].hex))
  await outcome
}

const INFO = ((): Buffer => {
  const body = Buffer.concat([Buffer.from([0x0e]), Buffer.from('{"node_id":1}')])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(body.length)
  return Buffer.concat([length, body])
})()

/** What our driver makes of a message that it did not ask for. */
async function expectPush({ name, body }: Frame): Promise<void> {
  const text = `${body}`
  const connection = connections.get(4)!
  if (name === 'RECV')
    expect(Buffer.from((await connection.read())!).toString('hex')).toBe(text.slice(8))
  else if (name === 'CLOSE_OK') expect(await connection.read()).toBeUndefined()
  else if (name === 'ACCEPT') {
    const accepted = (await listeners.get(5000)!.accept())!
    expect(formatSocketAddress(accepted.remote)).toBe(`0:0000.0000.0002:${0xc001}`)
    expect([accepted.localPort, accepted.id]).toEqual([5000, Number(`0x${text.slice(4, 12)}`)])
  } else if (name === 'RECVFROM') {
    // It has gone by already: nobody listened. Once more, with somebody.
    const datagram = new Promise<string>((resolve) => {
      const stop = client.onDatagram(({ source, destinationPort, data }) => {
        stop()
        resolve(`${formatSocketAddress(source)} ${destinationPort} ${Buffer.from(data)}`)
      })
    })
    daemon.write(Buffer.concat([frameHead(text), Buffer.from(text, 'hex')]))
    expect(await datagram).toBe(`0:0000.0000.0002:${0xc002} 6001 hi from 2`)
  } else expect(name).toBe('NOTIFY') // nothing of ours subscribes
}

function frameHead(payload: string): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(payload.length / 2 + 1)
  head[4] = 0x0c
  return head
}
