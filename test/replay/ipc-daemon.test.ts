/** Recorded requests of drivers to daemons of both generations, answered by our daemon's socket. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, expect, it } from 'vitest'
import { IpcServer } from '../../runtimes/node/ipc/server.ts'
import { parseWebhookUrl } from '../../runtimes/node/webhook/webhook-url.ts'
import { RawClient } from '../runtimes/node/ipc/raw-client.ts'
import { hex, type VectorCase, vectors } from '../support.ts'
import { type Frame, readFrame, readRecorded } from './ipc-frames.ts'
import { IpcWorld } from './ipc-world.ts'
import { Mask } from './masks.ts'

const mask = new Mask('daemon socket')
let directory: string
let world: IpcWorld
let server: IpcServer
let raw: RawClient

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'pilot-replay-'))
  world = new IpcWorld()
  world.near.listen(7)
  server = await IpcServer.listen({
    node: world.near,
    facts: {
      version: '0',
      owner: 'alice@example.com',
      hasIdentity: true,
      beacon: '',
      transport: 'udp',
    },
    socketPath: join(directory, 's'),
    setWebhook: async (url) => {
      if (url !== '') parseWebhookUrl(url)
    },
    sign: async (message) => world.identity.sign(message),
    rotateKey: async () => ({}),
  })
  raw = new RawClient(join(directory, 's'))
})
afterEach(async () => {
  raw.socket.destroy()
  await server.close()
  rmSync(directory, { recursive: true })
})
afterAll(() => mask.expectAllUsed())

/** No opcode of anybody: its Error stands behind all replies to what was asked before. */
const BARRIER = hex('00000001fd')
/** Notifications come when they come: compared as a list of their own. */
let notices: Frame[]

async function next(): Promise<Frame> {
  await raw.until(() => raw.bodies.length > 0)
  return readFrame(raw.bodies.shift()!)
}

/** Everything said until now. */
async function heard(): Promise<Frame[]> {
  raw.socket.write(BARRIER)
  const frames: Frame[] = []
  for (let frame = await next(); ; frame = await next()) {
    if (frame.body === 'unknown command: 0xFD') return frames
    if (frame.name === 'NOTIFY') notices.push(frame)
    else frames.push(frame)
  }
}

/** What makes the daemon say something unasked. */
const CAUSES: Readonly<Record<string, () => Promise<void>>> = {
  "RECV: 'from b' on connection 4": async () => {
    world.accepted[0]!.write(Buffer.from('from b'))
  },
  'CLOSE_OK: the other side closed connection 4': async () => world.accepted[0]!.close(),
  'ACCEPT: node 2 connects to port 5000': async () => {
    world.far.ephemeralPort = 0xc001
    await world.far.dial({ address: world.near.address, port: 5000 })
  },
  'RECVFROM: datagram from node 2 to port 6001': async () => {
    world.far.ephemeralPort = 0xc002
    world.far.sendDatagram({ address: world.near.address, port: 6001 }, Buffer.from('hi from 2'))
  },
  'NOTIFY handshake_pending: node 2 asks': async () => {
    const one = vectors('ipc-v19', 'exchange').find(({ name }) => name === 'HANDSHAKE pending, one')
    world.setPending(JSON.parse(one.replies[0].json))
  },
}

interface Deviation {
  readonly why: string
  readonly ours: readonly Frame[]
}

const error = (body: string): Frame => ({ name: 'ERROR', body })
const closed = (id: string): Frame => ({ name: 'CLOSE_OK', body: id })
const R4 = 'R4: Send and SendTo are never answered with an Error (spec/06 §3)'
const GO_TEXT = 'the rest of the text is that of the JSON parser'
const URL_TEXT = 'the daemon prints its own sentence about the address'

const DEVIATIONS: Readonly<Record<string, Readonly<Record<string, Deviation>>>> = {
  ipc: {
    'unknown command 0x1F': {
      why: 'a command of v1.9, which ours serves',
      ours: [{ name: 'NETWORK_OK', body: {} }],
    },
    'BIND 0': {
      why: "port 0 is nobody's: a dial never reaches it (spec/06 §5.1)",
      ours: [error('bind: port 0 cannot be bound')],
    },
    'SET_TAGS not JSON': {
      why: GO_TEXT,
      ours: [error('set_tags: invalid JSON: Unexpected token \'w\', "web" is not valid JSON')],
    },
    'SET_TAGS numbers': {
      why: GO_TEXT,
      ours: [error('set_tags: invalid JSON: expected an array of strings')],
    },
    'SET_TAGS empty body': {
      why: GO_TEXT,
      ours: [error('set_tags: invalid JSON: Unexpected end of JSON input')],
    },
    'HANDSHAKE approve, nothing pending': {
      why: 'nothing was approved, and ours does not say so',
      ours: [error('handshake approve: node 99 is not pending')],
    },
    'SEND on an unknown connection': { why: R4, ours: [closed('ffffffff')] },
    'SEND short': { why: R4, ours: [] },
    'SEND after close': { why: R4, ours: [closed('00000004')] },
    'CLOSE from this side: CLOSE_OK comes twice': {
      why: 'once is enough (spec/06 §5.5)',
      ours: [closed('00000006')],
    },
    'SENDTO broadcast': { why: R4, ours: [] },
    'SENDTO unknown node': { why: R4, ours: [] },
    'SENDTO short': { why: R4, ours: [] },
  },
  'ipc-v19': {
    'unknown command 0x29': {
      why: 'a command of later versions, which ours serves',
      ours: [error('broadcast: missing network, port or token length')],
    },
    'SET_WEBHOOK ftp': {
      why: URL_TEXT,
      ours: [error('set_webhook: the webhook URL must begin with http:// or https://')],
    },
    'SET_WEBHOOK cloud metadata address': {
      why: URL_TEXT,
      ours: [error('set_webhook: the webhook URL names a link-local address')],
    },
    'SET_WEBHOOK not a URL': {
      why: URL_TEXT,
      ours: [error('set_webhook: the webhook URL is no URL')],
    },
    'MANAGED policy set, bad JSON': {
      why: 'without an engine no policy is looked at',
      ours: [error('managed: no engine for network 2')],
    },
    'MANAGED member tags set, not JSON': {
      why: GO_TEXT,
      ours: [
        error(
          'member-tags set: invalid tags JSON: Unexpected token \'o\', "ops" is not valid JSON',
        ),
      ],
    },
    'SET_PEER_ENDPOINTS tcp and turn': {
      why: 'ours has no TCP and TURN paths to install',
      ours: [
        {
          name: 'SET_PEER_ENDPOINTS_OK',
          body: { node_id: 77, installed_tcp: 0, installed_turn: 0 },
        },
      ],
    },
    'SEND after the other side closed': {
      why: 'ours may still be written to: only one direction has ended',
      ours: [{ name: 'SEND_RESULT', body: '000000040000' }],
    },
    'CLOSE from this side': {
      why: 'once is enough (spec/06 §5.5)',
      ours: [closed('00000005')],
    },
    'SENDTO broadcast': { why: R4, ours: [] },
    'SENDTO broadcast in network 9 (no member)': { why: R4, ours: [] },
    'SENDTO unknown node': { why: R4, ours: [] },
  },
}

/** Members of Info that tell of paths ours does not have. */
const NOT_IN_INFO = [
  'bytes_sent_by_tier',
  'pkts_sent_by_tier',
  'no_registry_endpoint',
  'outbound_turn_only',
  'tunnel_encryption_failure',
  'tunnel_encryption_success',
  'turn_endpoint',
]

/** Info and Health may tell more than was recorded (spec/06 §6). */
function comparable(frame: Frame, recorded: Frame | undefined): Frame {
  if (!/^(INFO|HEALTH)_OK$/.test(frame.name) || recorded === undefined) return frame
  const [ours, wanted] = [frame.body, recorded.body] as Record<string, unknown>[]
  return {
    name: frame.name,
    body: Object.fromEntries(Object.entries(ours!).filter(([name]) => name in wanted!)),
  }
}

function withoutPaths(frame: Frame): Frame {
  if (frame.name !== 'INFO_OK') return frame
  const members = Object.entries(frame.body as Record<string, unknown>)
  const kept = members.filter(([name]) => !NOT_IN_INFO.includes(name))
  // No memberships are a list without any.
  return {
    name: frame.name,
    body: Object.fromEntries(
      kept.map(([name, value]) => [name, name === 'networks' && value === null ? [] : value]),
    ),
  }
}

/** Requests that came before, in the other recording. */
const BEFORE: Readonly<Record<string, () => Promise<void>>> = {
  'ipc-v19 UNBIND 5000': () => bind(5000),
  'ipc-v19 SEND on the connection': async () => {
    await world.skipConnections(4)
    raw.write({ type: 'dial', to: { address: world.far.address, port: 4000 } })
    expect((await next()).name).toBe('DIAL_OK')
  },
  'ipc DIAL node 2 port 4000': () => world.skipConnections(4),
}

async function bind(port: number): Promise<void> {
  raw.write({ type: 'bind', port })
  expect((await next()).name).toBe('BIND_OK')
}

it.each(['ipc', 'ipc-v19'])(
  '%s',
  async (file) => {
    notices = []
    const recordedNotices: Frame[] = []
    for (const one of vectors(file) as VectorCase[]) {
      const { kind, name } = one
      if (kind === 'push') {
        await CAUSES[name]!()
        const wanted = readRecorded(one.hex)
        if (wanted.name === 'NOTIFY') recordedNotices.push(wanted)
        else expect.soft(mask.over(await next(), wanted), name).toEqual(wanted)
      }
      if (kind !== 'exchange') continue
      world.sayAs(undefined)
      await BEFORE[`${file} ${name}`]?.()
      world.sayAs(one.replies.at(-1))
      raw.socket.write(hex(one.request_hex ?? one.request_head_hex))
      if (one.request_head_hex !== undefined) raw.socket.write(new Uint8Array(2 ** 20 - 1))
      if (one.closed === true) {
        // Nothing is known of a frame before its first byte: ours takes long ones, if they are Send.
        raw.socket.write(hex('0d'))
        await raw.closed()
        raw = new RawClient(join(directory, 's'))
        continue
      }
      const all: Frame[] = one.replies.map((reply: { hex: string }) => readRecorded(reply.hex))
      recordedNotices.push(...all.filter((frame) => frame.name === 'NOTIFY'))
      const recorded = all.filter((frame) => frame.name !== 'NOTIFY')
      const deviation = DEVIATIONS[file]![name]
      const wanted = deviation?.ours ?? recorded.map(withoutPaths)
      const got = await heard()
      const frames = mask.over(
        got.map((frame, i) => comparable(frame, wanted[i])),
        wanted,
      )
      if (deviation !== undefined) expect(frames, `${name} is as recorded`).not.toEqual(recorded)
      expect.soft(frames, `${name} ${deviation?.why ?? ''}`).toEqual(wanted)
    }
    expect(notices).toEqual(recordedNotices)
  },
  60000,
)
