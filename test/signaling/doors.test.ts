/**
 * Every door of a rendezvous at once, on real sockets, and what comes through them that nobody wants: a typed error or
 * a closed connection, the state as it was, and the next client served.
 */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { encodeBeaconMessage } from '../../core/wire/beacon-message.ts'
import {
  encodeRegistryFrame,
  RegistryFrameDecoder,
  type RegistryMessage,
} from '../../core/wire/registry-message.ts'
import { createRendezvous, type Rendezvous } from '../../signaling/index.ts'
import { selfSignedCertificate } from '../../signaling/serve-certificate.ts'
import { identity } from './registry-bench.ts'
import { RegistrySocket } from './registry-socket.ts'

const FRAME_MS = 400
const HALF_OPEN = 100

let rendezvous: Rendezvous
const [alice, bob] = [identity('alice'), identity('bob')]
/** What alice sent, byte for byte: her own signature over her own heartbeat. */
let heartbeat: RegistryMessage

beforeAll(async () => {
  rendezvous = await createRendezvous({
    registryAddress: '127.0.0.1:0',
    beaconAddress: '127.0.0.1:0',
    httpAddress: '127.0.0.1:0',
    tls: selfSignedCertificate(Date.now()),
    plainToo: true,
    limits: { requestBurst: 1e6, registrationsPerMinute: 1000 },
    compatLimits: { upgradeBurst: 1000 },
    connectionLimits: { frameMs: FRAME_MS },
  })
  const node = await RegistrySocket.open(rendezvous.registryEndpoint.port)
  expect(await node.register(alice)).toMatchObject({ node_id: 1 })
  expect(await node.register(bob)).toMatchObject({ node_id: 2 })
  expect((await node.signed(alice, 'set_hostname', 1, { hostname: 'alice' }))?.type).toBe(
    'set_hostname_ok',
  )
  heartbeat = { type: 'heartbeat', node_id: 1, signature: alice.signBase64('heartbeat:1') }
  expect((await node.request(heartbeat))?.type).toBe('heartbeat_ok')
  node.close()
})
afterAll(() => rendezvous.close())

/** What the registry says of the nodes there are, and of those that there must not be. */
async function state(): Promise<unknown> {
  const socket = await RegistrySocket.open(rendezvous.registryEndpoint.port)
  const said: unknown[] = []
  for (const node_id of [1, 2, 3, 4]) said.push(await socket.request({ type: 'lookup', node_id }))
  said.push(await socket.request({ type: 'check_trust', node_id: 1, peer_id: 2 }))
  said.push(await socket.request({ type: 'list_networks' }))
  socket.close()
  return said
}

/** A registry client at some door, by bytes. */
interface Visitor {
  write(bytes: Uint8Array): void
  /** `undefined` when the connection ended instead. */
  receive(): Promise<RegistryMessage | undefined>
  close(): void
}

async function visitTcp(tls: boolean): Promise<Visitor> {
  const socket = await RegistrySocket.open(rendezvous.registryEndpoint.port, { tls })
  return {
    write: (bytes) => socket.socket.write(bytes),
    receive: () => socket.receive(),
    close: () => socket.close(),
  }
}

async function visitWebSocket(): Promise<Visitor> {
  const socket = new WebSocket(url('/v1/registry'), 'pilot.registry.v1')
  const decoder = new RegistryFrameDecoder()
  const replies: RegistryMessage[] = []
  let isClosed = false
  socket.on('error', () => {})
  socket.on('message', (data) => {
    decoder.push(Uint8Array.from(data as Buffer))
    for (let one = decoder.next(); one !== undefined; one = decoder.next()) replies.push(one)
    socket.emit('news')
  })
  socket.on('close', () => {
    isClosed = true
    socket.emit('news')
  })
  await once(socket, 'open')
  return {
    write: (bytes) => socket.send(bytes),
    receive: async () => {
      while (replies.length === 0 && !isClosed) await once(socket, 'news')
      return replies.shift()
    },
    close: () => socket.terminate(),
  }
}

function url(path: string): string {
  return `${rendezvous.httpUrl!.replace('http', 'ws')}${path}`
}

const DOORS: Readonly<Record<string, () => Promise<Visitor>>> = {
  TCP: () => visitTcp(false),
  TLS: () => visitTcp(true),
  WebSocket: visitWebSocket,
}

function frame(length: number, body: string | Uint8Array): Uint8Array {
  const head = Buffer.alloc(4)
  head.writeUInt32BE(length)
  return Buffer.concat([head, Buffer.from(body as string)])
}

const signedBy = (who: typeof alice, text: string, message: RegistryMessage): Uint8Array =>
  encodeRegistryFrame({ ...message, signature: who.signBase64(text) })

/** `closed`: without an answer; else the answer is an error, and the connection goes on. */
const JUNK: Readonly<Record<string, { bytes: () => Uint8Array; isClosed: boolean }>> = {
  'a frame longer than any': { bytes: () => frame(2 ** 20 + 1, 'x'), isClosed: true },
  'a length of 4 GiB': { bytes: () => frame(0xffffffff, 'x'), isClosed: true },
  'a frame that does not end': { bytes: () => frame(500, '{"type":"look'), isClosed: true },
  'bytes that are no JSON': { bytes: () => frame(9, 'not JSON!'), isClosed: true },
  'JSON cut short': { bytes: () => frame(8, '{"type":'), isClosed: true },
  'an unknown type': { bytes: () => encodeRegistryFrame({ type: 'teapot' }), isClosed: false },
  'a type that is no text': { bytes: () => encodeRegistryFrame({ type: 7 }), isClosed: false },
  'no type': { bytes: () => encodeRegistryFrame({}), isClosed: false },
  'a key of the wrong length': {
    bytes: () => encodeRegistryFrame({ type: 'register', public_key: 'AQID', listen_addr: ':1' }),
    isClosed: false,
  },
  'no signature': {
    bytes: () => encodeRegistryFrame({ type: 'deregister', node_id: 1 }),
    isClosed: false,
  },
  'a signature that is none': {
    bytes: () => encodeRegistryFrame({ type: 'deregister', node_id: 1, signature: '!' }),
    isClosed: false,
  },
  'the signature of another': {
    bytes: () => signedBy(bob, 'deregister:1', { type: 'deregister', node_id: 1 }),
    isClosed: false,
  },
  'the signature of another request, seen before': {
    bytes: () =>
      encodeRegistryFrame({ ...heartbeat, type: 'set_hostname', hostname: 'taken-over' }),
    isClosed: false,
  },
  'the signature seen before, in the name of another': {
    bytes: () => encodeRegistryFrame({ ...heartbeat, type: 'deregister', node_id: 2 }),
    isClosed: false,
  },
  'trust with a node, signed by another': {
    bytes: () =>
      signedBy(bob, 'report_trust:1:2', { type: 'report_trust', node_id: 1, peer_id: 2 }),
    isClosed: false,
  },
}

it.each(Object.keys(DOORS))('the registry by %s takes nothing of it', async (door) => {
  const before = await state()
  const ask = encodeRegistryFrame({ type: 'lookup', node_id: 1 })
  for (const [name, { bytes, isClosed }] of Object.entries(JUNK)) {
    const visitor = await DOORS[door]!()
    visitor.write(bytes())
    const answer = await visitor.receive()
    if (answer !== undefined) expect(answer.type, name).toBe('error')
    if (isClosed) {
      // Some say what was wrong before they close.
      if (answer !== undefined) expect(await visitor.receive(), name).toBeUndefined()
    } else {
      expect(answer?.error, name).toBeTypeOf('string')
      visitor.write(ask)
      expect(await visitor.receive(), name).toMatchObject({ type: 'lookup_ok', hostname: 'alice' })
    }
    visitor.close()
  }
  expect(await state()).toEqual(before)
})

it('the binary mode takes nothing of it', async () => {
  const before = await state()
  for (const bytes of [
    '50494c5402',
    '50494c540100000000',
    '50494c5401ffffffff01',
    '50494c54010000000177',
  ]) {
    const socket = connect(rendezvous.registryEndpoint.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(Buffer.from(bytes, 'hex'))
    const [answer] = await Promise.race([once(socket, 'data'), once(socket, 'close')])
    // An Error (0xff) behind its length, or the end.
    if (answer instanceof Uint8Array) expect(answer[4]).toBe(0xff)
    socket.destroy()
  }
  expect(await state()).toEqual(before)
})

it('the relay is for who has proven a key', async () => {
  const before = await state()
  const reply = { type: 'auth_reply', node_id: 1, public_key: '', sig: '' }
  for (const said of [
    'not JSON',
    '{"type":"auth_ok"}',
    JSON.stringify(reply),
    JSON.stringify({ ...reply, sig: bob.signBase64('compat_auth:1:0:00') }),
    JSON.stringify({ ...reply, node_id: 2 ** 40 }),
    Buffer.from('0500000001000000025049', 'hex'),
    Buffer.alloc(65_537),
  ]) {
    const socket = new WebSocket(url('/v1/compat'), 'pilot.v1')
    socket.on('error', () => {})
    await once(socket, 'message') // the challenge
    socket.send(said)
    const [code] = await once(socket, 'close')
    expect([1008, 1009]).toContain(code)
  }
  expect(await state()).toEqual(before)
})

it('the beacon answers what is asked of it, whatever came before', async () => {
  const before = await state()
  const socket = createSocket('udp4')
  const { port } = rendezvous.beaconEndpoint
  const send = (bytes: Uint8Array): void => socket.send(bytes, port, '127.0.0.1')
  for (let type = 0; type < 256; type++)
    for (const length of [1, 4, 9, 1400]) send(Buffer.alloc(length, type))
  send(new Uint8Array(0))
  const answered = new Promise<Uint8Array>((resolve) => {
    socket.on('message', (bytes) => {
      if (bytes[0] === 2) resolve(bytes)
    })
  })
  const again = setInterval(() => send(encodeBeaconMessage({ type: 'discover', nodeId: 0 })), 100)
  expect((await answered).length).toBeGreaterThanOrEqual(8)
  clearInterval(again)
  socket.close()
  expect(await state()).toEqual(before)
})

it(`serves everybody beside ${HALF_OPEN} clients at every door that say half of something`, async () => {
  const sockets: Socket[] = []
  let closed = 0
  const { registryEndpoint, httpEndpoint } = rendezvous
  const half = (port: number, text: string | Uint8Array): void => {
    for (let i = 0; i < HALF_OPEN; i++) {
      const socket = connect(port, '127.0.0.1')
      socket.on('error', () => {})
      if (port === registryEndpoint.port) socket.on('close', () => closed++)
      socket.write(text)
      sockets.push(socket)
    }
  }
  half(registryEndpoint.port, Buffer.from('000001', 'hex')) // of a length
  half(registryEndpoint.port, frame(1000, '{"type"')) // of a frame
  half(registryEndpoint.port, Buffer.from('160301', 'hex')) // of a ClientHello
  half(httpEndpoint!.port, 'GET /v1/registry HTTP/1.1\r\nHost: x\r\nUpgrade: web')
  const silent = Array.from({ length: HALF_OPEN }, () => {
    const socket = new WebSocket(url('/v1/compat'), 'pilot.v1') // never answers the challenge
    socket.on('error', () => {})
    return socket
  })
  try {
    for (const open of Object.values(DOORS)) {
      const visitor = await open()
      visitor.write(encodeRegistryFrame({ type: 'lookup', node_id: 1 }))
      expect(await visitor.receive()).toMatchObject({ hostname: 'alice' })
      visitor.close()
    }
    // What has begun a frame has its time, and no more.
    for (let i = 0; i < 100 && closed < 2 * HALF_OPEN; i++)
      await new Promise((resolve) => setTimeout(resolve, 50))
    expect(closed).toBeGreaterThanOrEqual(2 * HALF_OPEN)
  } finally {
    for (const socket of sockets) socket.destroy()
    for (const socket of silent) socket.terminate()
  }
})
