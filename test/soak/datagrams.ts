/** Datagrams nobody should send, made from nothing, from recorded traffic, or with keys of our own. */
import {
  type BeaconMessage,
  type Endpoint,
  encodeAnonymousKeyExchangeFrame,
  encodeBeaconMessage,
  encodeKeyExchangeFrame,
  encodePacket,
  FLAG,
  Identity,
  keyExchangeSigningBytes,
  PLAIN_HEADER_BYTES,
  PROTOCOL,
  utf8,
  writePlainHeader,
  writeSealedHeader,
} from '../../core/index.ts'
import { nodeCrypto } from '../../runtimes/node/crypto.ts'
import type { Random } from '../sim/random.ts'
import type { Recorded } from './middle.ts'

export interface DatagramTarget {
  readonly nodeId: number
  readonly peerId: number
  readonly recorded: readonly Recorded[]
}

const IDENTITIES = Array.from({ length: 16 }, () => Identity.generate(nodeCrypto))
const MAGICS = ['PILS', 'PILA', 'PILK', 'PILT', 'PILP', 'PILX', 'PIL', '\x01', '\x06', '\x09']

type Maker = (random: Random, target: DatagramTarget) => Uint8Array

/** By name, so that the summary can say how much of what was thrown. */
export const DATAGRAMS: Readonly<Record<string, Maker>> = {
  junk: (random) => random.bytes(lengthOf(random)),
  'junk with a magic': (random) =>
    Uint8Array.from([...utf8(pick(random, MAGICS)), ...random.bytes(lengthOf(random))]),
  replayed: (random, { recorded }) => pickRecorded(random, recorded),
  truncated: (random, { recorded }) => {
    const datagram = pickRecorded(random, recorded)
    return datagram.slice(0, random.int(0, datagram.length))
  },
  'with wrong bits': (random, { recorded }) => {
    const copy = pickRecorded(random, recorded).slice()
    for (let n = random.int(1, 8); n > 0 && copy.length > 0; n--)
      copy[random.int(0, copy.length - 1)]! ^= 1 << random.int(0, 7)
    return copy
  },
  'forged key exchange': forgedKeyExchange,
  'forged sealed frame': (random, target) => {
    const frame = random.bytes(36 + lengthOf(random))
    writeSealedHeader(frame, 0, nodeIdOf(random, target))
    return frame
  },
  'plain frame': plainFrame,
  'anonymous key exchange': (random, target) =>
    encodeAnonymousKeyExchangeFrame({
      sender: nodeIdOf(random, target),
      publicKey: random.bytes(32),
    }),
  'beacon message': beaconMessage,
  'relayed frame': (random, target) => {
    const inner = pick(random, ['replayed', 'forged key exchange', 'forged sealed frame', 'junk'])
    const message: BeaconMessage = {
      type: 'relay-deliver',
      senderId: nodeIdOf(random, target),
      frame: DATAGRAMS[inner]!(random, target),
      ...(random.chance(0.3) ? { destinationId: nodeIdOf(random, target) } : {}),
    }
    return encodeBeaconMessage(message)
  },
}

/** Signed by a key of ours; for the peer's id that is the wrong key, for others nobody knows it. */
function forgedKeyExchange(random: Random, target: DatagramTarget): Uint8Array {
  const identity = pick(random, IDENTITIES)
  const sender = nodeIdOf(random, target)
  // The zero key has low order: no secret comes of it.
  const publicKey = random.chance(0.1) ? new Uint8Array(32) : random.bytes(32)
  const signature = identity.sign(keyExchangeSigningBytes(sender, publicKey))
  if (random.chance(0.2)) signature[random.int(0, 63)]! ^= 1
  const frame = { sender, publicKey, identityKey: identity.publicKey, signature }
  const isWithTrailer = random.chance(0.3)
  return encodeKeyExchangeFrame(
    isWithTrailer
      ? { ...frame, trailer: { capabilities: random.int(0, 1e9), flags: random.int(0, 255) } }
      : frame,
  )
}

function plainFrame(random: Random, target: DatagramTarget): Uint8Array {
  const packet = encodePacket({
    flags: pick(random, [FLAG.SYN, FLAG.ACK, FLAG.RST, FLAG.FIN | FLAG.ACK, 15]),
    protocol: pick(random, [PROTOCOL.stream, PROTOCOL.datagram, PROTOCOL.control, 9]),
    source: { network: 0, node: target.peerId },
    destination: { network: 0, node: target.nodeId },
    sourcePort: random.int(0, 65535),
    destinationPort: pick(random, [0, 7, 444, 1000, 1001, 1002, random.int(0, 65535)]),
    seq: random.int(0, 0xffffffff),
    ack: random.int(0, 0xffffffff),
    window: random.int(0, 65535),
    payload: random.bytes(random.int(0, 200)),
  })
  const frame = new Uint8Array(PLAIN_HEADER_BYTES + packet.length)
  writePlainHeader(frame, 0)
  frame.set(packet, PLAIN_HEADER_BYTES)
  return frame
}

/** Any message of the beacon's protocol, also the ones only a node, or only a beacon, may send. */
export function beaconMessage(random: Random, target: DatagramTarget): Uint8Array {
  const ids = [nodeIdOf(random, target), nodeIdOf(random, target)] as const
  const messages: BeaconMessage[] = [
    { type: 'discover', nodeId: ids[0], extended: random.chance(0.5) },
    { type: 'discover-reply', endpoint: endpointOf(random) },
    { type: 'punch-request', requesterId: ids[0], targetId: ids[1] },
    { type: 'punch-command', endpoint: endpointOf(random) },
    { type: 'relay', senderId: ids[0], destinationId: ids[1], frame: random.bytes(64) },
    { type: 'sync', beaconId: random.int(0, 9), nodeIds: ids },
  ]
  const datagram = encodeBeaconMessage(pick(random, messages))
  if (random.chance(0.3)) return datagram.slice(0, random.int(0, datagram.length))
  if (random.chance(0.2)) datagram[random.int(0, datagram.length - 1)] = random.int(0, 255)
  return datagram
}

export function pick<T>(random: Random, values: readonly T[]): T {
  return values[random.int(0, values.length - 1)]!
}

function pickRecorded(random: Random, recorded: readonly Recorded[]): Uint8Array {
  return recorded.length === 0 ? random.bytes(40) : pick(random, recorded).datagram
}

/** Mostly the size of what is usual, sometimes as large as UDP takes. */
function lengthOf(random: Random): number {
  return random.chance(0.01) ? random.int(1500, 65_000) : random.int(0, 300)
}

function nodeIdOf(random: Random, { nodeId, peerId }: DatagramTarget): number {
  const draw = random.next()
  if (draw < 0.5) return peerId
  if (draw < 0.6) return nodeId
  return draw < 0.65 ? 0 : random.int(1, 0xffffffff)
}

function endpointOf(random: Random): Endpoint {
  const addresses = [
    '127.0.0.1',
    '10.1.2.3',
    '224.0.0.1',
    '0.0.0.0',
    '203.0.113.9',
    '::1',
    'ff02::1',
  ]
  return { address: pick(random, addresses), port: random.int(0, 65535) }
}
