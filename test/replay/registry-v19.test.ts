/**
 * Recorded conversations of a probing client with a v1.9 registry, replayed against ours: networks, roles,
 * invites, policies, keys and the audit log.
 */
import { afterAll, expect, it } from 'vitest'
import type { RegistryMessage } from '../../core/wire/registry-message.ts'
import { type BenchConnection, RegistryBench } from '../signaling/registry-bench.ts'
import { Mask } from './masks.ts'
import { type Line, registryLines } from './registry-lines.ts'

interface Deviation {
  readonly why: string
  /** What ours answers instead; members left out are as recorded. */
  readonly ours: RegistryMessage | 'refused' | ((recorded: RegistryMessage) => RegistryMessage)
}

const L1 =
  '05 §24 L1: by role only with a signature; the stock tool sends the token, and so it is repeated'
const L13 = '05 §24 L13: only the admin token revives an expired key; so it is repeated'
const EMPTY = '05 §25.4: an empty listen_addr without version or relay_only is the TCP source'
const NO_4 = 'network 4 was refused'
const NO_11 = 'network 11 was refused'
const OWN: RegistryMessage = { observed_addr: '127.0.0.1:51372' }

const ZED = { node_id: 5, address: '0:0000.0000.0005', public: false, hostname: 'zed' }
const REGISTERED: RegistryMessage = {
  type: 'register_ok',
  node_id: 46,
  network_id: 0,
  address: '0:0000.0000.002E',
  public_key: '/ZA6YoZgecuZzPAW/T1qy8p+RwHO5hgn+NdvHADnyXQ=',
  observed_addr: '127.0.0.1:7003',
  protocol_version: 1,
}

function withoutFour(recorded: RegistryMessage): RegistryMessage {
  const networks = recorded.networks as RegistryMessage[]
  return { ...recorded, networks: networks.filter(({ name }) => name !== 'weird') }
}

function withEndpoint(recorded: RegistryMessage): RegistryMessage {
  const own = { real_addr: OWN.observed_addr }
  const nodes = recorded.nodes as RegistryMessage[]
  return {
    ...recorded,
    nodes: nodes.map((node) => (node.node_id === 4 ? { ...node, ...own } : node)),
  }
}

/** By the number of the answer's line in the file, from 0. */
const DEVIATIONS: Readonly<Record<number, Deviation>> = {
  93: { why: EMPTY, ours: OWN },
  97: { why: EMPTY, ours: OWN },
  109: { why: EMPTY, ours: { real_addr: '127.0.0.1:51372' } },
  115: { why: '05 §24 L2: heartbeats are always verified', ours: 'refused' },
  121: {
    why: '04 §8.2: the short text counts, and then moves nothing',
    ours: { type: 'heartbeat_ok', time: 1 },
  },
  123: { why: '04 §22 W6: punch does not reveal a private endpoint', ours: 'refused' },
  127: {
    why: '05 §24 L3: private names are answered, as in 04 §8.7',
    ours: { type: 'resolve_hostname_ok', ...ZED },
  },
  143: { why: '05 §24 L8: a join rule that nobody knows', ours: 'refused' },
  155: { why: NO_4, ours: withoutFour },
  157: { why: EMPTY, ours: withEndpoint },
  159: { why: EMPTY, ours: withEndpoint },
  163: { why: L1, ours: {} },
  165: { why: L1, ours: {} },
  169: { why: L1, ours: {} },
  173: { why: L1, ours: {} },
  177: { why: L1, ours: {} },
  193: { why: L1, ours: {} },
  195: { why: L1, ours: {} },
  197: { why: L1, ours: {} },
  217: { why: NO_4, ours: withoutFour },
  219: { why: 'no external identities, so no roles for them', ours: 'refused' },
  229: {
    why: `${NO_4}; no external identities`,
    ours: { networks: [0, 2, 3], hostname: undefined, external_id: undefined },
  },
  239: { why: '04 §8.9: duplicates stay', ours: { tags: ['x', 'x', 'x'] } },
  241: {
    why: '04 §22 W15: a long justification is cut, not refused',
    ours: { type: 'request_handshake_ok', status: 'delivered' },
  },
  267: { why: '05 §24 L9: rule token without a token', ours: 'refused' },
  275: { why: '05 §24 L5: nobody has proven a key on this connection', ours: 'refused' },
  343: { why: '04 §22 W8: accepting what nobody asked', ours: 'refused' },
  345: { why: '05 §24 L4: so there is no trust', ours: { trusted: false } },
  353: { why: 'no external identities', ours: { external_id: undefined } },
  393: { why: '04 §22 W4: a key of another node, and expired', ours: 'refused' },
  397: { why: 'so it was not rotated', ours: { rotate_count: 0, rotated_at: undefined } },
  411: { why: '04 §22 W12: no ip:port', ours: 'refused' },
  413: { why: 'so it is not listed', ours: { beacons: [] } },
  431: { why: '05 §24 L13: of an expired key', ours: 'refused' },
  433: { why: '05 §24 L13: by an expired key', ours: 'refused' },
  441: { why: L13, ours: {} },
  451: {
    why: '05 §25.9: memberships wait for a node that deregistered',
    ours: { networks: [0, 10] },
  },
  465: { why: 'no external identities', ours: { external_id: undefined } },
  471: { why: 'no external identities', ours: REGISTERED },
  475: { why: 'no external identities', ours: REGISTERED },
  487: { why: '05 §24 L9: rule token without a token', ours: 'refused' },
  489: { why: NO_11, ours: 'refused' },
  497: { why: NO_11, ours: 'refused' },
  501: { why: NO_11, ours: 'refused' },
  503: { why: NO_11, ours: 'refused' },
}

/** Operations on outside services and external identities, which ours does not have. */
const NOT_SERVED: ReadonlySet<unknown> = new Set([
  'get_webhook',
  'set_webhook',
  'get_webhook_dlq',
  'set_identity_webhook',
  'get_idp_config',
  'set_idp_config',
  'get_audit_export',
  'set_audit_export',
  'set_external_id',
  'get_identity',
  'directory_sync',
  'directory_status',
  'validate_token',
])

const lines = registryLines('registry-session-v19')
const mask = new Mask('registry of v1.9')

/** The registry began with network 0, as `list_networks` says. */
const STARTED = 1_795_161_351

const REFUSED: RegistryMessage = { type: 'error', error: 'a text' }

/** Nodes and networks that the recording leaves out, so that ids are the recorded ones. */
function fillUp(bench: RegistryBench, request: RegistryMessage, answer: RegistryMessage): void {
  const { nodes, networks } = bench.registry.desk
  const id = Number(answer.node_id)
  while (request.type === 'register' && nodes.size < id - 1)
    bench.node(`left out ${nodes.size}`, { address: `192.0.2.${nodes.size}` }).signed('deregister')
  if (answer.type === 'create_network_ok') networks.skipTo(Number(answer.network_id))
}

/** Begin of each session in Unix time: by the first answer that says the time. */
function beganAt(session: string): number | undefined {
  const line = lines.find((one) => one.session === session && typeof one.msg.time === 'number')
  return line === undefined ? undefined : Number(line.msg.time) + 0.999 - line.t_ms / 1000
}

function expected(line: Line, request: RegistryMessage, number: number): unknown {
  const recorded = line.msg
  const deviation = DEVIATIONS[number]
  if (deviation === undefined) return NOT_SERVED.has(request.type) ? REFUSED : recorded
  if (deviation.ours === 'refused') return REFUSED
  if (typeof deviation.ours === 'function') return deviation.ours(recorded)
  const { type } = deviation.ours
  return JSON.parse(
    JSON.stringify(type === undefined ? { ...recorded, ...deviation.ours } : deviation.ours),
  )
}

it('answers the probing client as v1.9 did', () => {
  const bench = new RegistryBench({ adminToken: 'adm' }, STARTED)
  const connections = new Map<string, BenchConnection>()
  let answers = 0
  lines.forEach((line, number) => {
    if (!line.session.startsWith('v19-probe') || line.dir !== 's2c') return
    const { msg: request, note } = lines[number - 1]!
    const began = beganAt(line.session)
    if (began !== undefined) bench.at = (began - STARTED) * 1000 + line.t_ms
    let connection = connections.get(line.conn)
    if (connection === undefined) {
      connection = bench.connect('127.0.0.1', 51_372)
      connections.set(line.conn, connection)
    }
    fillUp(bench, request, line.msg)
    const context = `line ${number} ${note ?? ''} ${JSON.stringify(request).slice(0, 300)}`
    let reply = connection.send(request)
    if ([L1, L13].includes(DEVIATIONS[number]?.why ?? '')) {
      expect(mask.over(reply, REFUSED), context).toEqual(REFUSED)
      reply = connection.send({ ...request, admin_token: 'adm' })
    }
    const wanted = expected(line, request, number)
    expect(mask.over(reply, wanted), context).toEqual(wanted)
    answers++
  })
  expect(answers).toBe(207)
})

afterAll(() => mask.expectAllUsed())
