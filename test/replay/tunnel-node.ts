/** A node of ours in the place of one of two recorded daemons: with its keys, at its time, doing what it did. */
import {
  type CryptoProvider,
  decodeBeaconMessage,
  decodePacket,
  decodeSack,
  decodeSealedFrame,
  type Endpoint,
  Identity,
  type Instant,
  NodeMachine,
  type Packet,
  parseEndpoint,
  type Stream,
  TRANSMIT_BUFFER_BYTES,
  TrustStore,
} from '../../core/index.ts'
import { deriveTunnelKey } from '../../core/tunnel/session.ts'
import { encodeRegistryFrame, RegistryFrameDecoder } from '../../core/wire/registry-message.ts'
import { crypto, hex, type VectorCase } from '../support.ts'
import {
  ACK,
  FIN,
  packetsOf,
  type Recorded,
  type Role,
  Said,
  SYN,
  saidIn,
  streamKey,
} from './tunnel-script.ts'

/** Something this side did, at the time of the first packet that shows it. */
type Deed =
  | { readonly at: Instant; readonly type: 'dial'; readonly own: number; readonly peer: number }
  | {
      readonly at: Instant
      readonly type: 'trust'
      readonly own: number
      readonly json: VectorCase
    }
  | {
      readonly at: Instant
      readonly type: 'write'
      readonly key: string
      readonly data: Uint8Array
    }
  | { readonly at: Instant; readonly type: 'close'; readonly key: string }
  | { readonly at: Instant; readonly type: 'datagram'; readonly packet: Packet }

const TRUST_PORT = 444
/** Our segments, windows and timers are not theirs: so long the peer's next packet waits for what it answers. */
const PATIENCE_MS = 3000

export class TunnelNode {
  readonly machine: NodeMachine
  /** Packets sent, opened with the recorded keys. */
  readonly sent: Packet[] = []
  readonly received = new Map<string, number[]>()
  readonly datagrams: string[] = []
  readonly #capture: VectorCase
  readonly #peer: VectorCase
  readonly #streams = new Map<string, Stream>()
  readonly #endpoints: Readonly<Record<string, Endpoint>>
  readonly #unwritten = new Map<string, Uint8Array[]>()
  #now: Instant = 0

  constructor(capture: VectorCase, role: Role) {
    this.#capture = capture
    const own = capture.nodes[role]
    this.#peer = capture.nodes[role === 'A' ? 'B' : 'A']
    this.#endpoints = Object.fromEntries(
      Object.entries(capture.endpoints).map(([name, text]) => [
        name,
        parseEndpoint(text as string)!,
      ]),
    )
    const identity = Identity.fromSeed(crypto, hex(own.ed25519_seed_hex))
    this.machine = new NodeMachine({
      crypto: fixedCrypto(own.x25519?.[0]?.private_hex),
      identity,
      trustStore: new TrustStore(),
      unixNow: () => Math.floor((capture.t0_unix_ms + this.#now) / 1000),
      now: 0,
      localEndpoint: this.#endpoints[role]!,
      beacon: this.#endpoints.beacon!,
      encrypt: capture.encrypted,
      isPublic: true,
      // The recorded peer acknowledges what six of its own large segments brought, and nothing in between.
      tuning: { initialWindowSegments: 32 },
    })
    this.#nodeId = own.node_id
    for (const port of [7, 443, 1001, 1002, 1003]) this.machine.listen(port)
    this.#run(0)
    this.machine.handleRegistryConnected(0)
    this.#run(0)
  }

  readonly #nodeId: number

  /** Plays the peer's and the beacon's datagrams of the capture, and does what this side did. */
  play(recorded: readonly Recorded[], role: Role): void {
    const deeds = deedsOf(recorded, role)
    let late = 0
    for (const one of recorded) {
      const at = one.at + late
      this.#runUntil(at, deeds, late)
      if (one.to !== role) continue
      if (one.packet !== undefined) late += this.#waitFor(one.packet)
      if (one.packet !== undefined && this.#isSackOfUnsent(one.packet)) continue
      this.machine.handleDatagram(one.bytes, this.#endpoints[one.from]!, this.#now)
      this.#drain()
    }
    this.#runUntil(this.#now + PATIENCE_MS, deeds, late)
  }

  #runUntil(at: Instant, deeds: Deed[], late: number): void {
    while (deeds.length > 0 && deeds[0]!.at + late <= at) {
      this.#run(deeds[0]!.at + late)
      this.#do(deeds.shift()!)
      this.#drain()
    }
    this.#run(at)
  }

  /** Theirs had larger segments under way: such a packet is lost here, as any may be. */
  #isSackOfUnsent(packet: Packet): boolean {
    const end = saidIn(this.sent).get(`${packet.destinationPort}-${packet.sourcePort}`)?.end ?? 0
    return decodeSack(packet.payload)?.some(({ right }) => right > end) === true
  }

  /** Until we have sent what this packet of the peer answers. */
  #waitFor(packet: Packet): number {
    const key = `${packet.destinationPort}-${packet.sourcePort}`
    const isAnswer = packet.protocol === 1 && (packet.flags & ACK) !== 0 && packet.ack > 0
    if (!isAnswer || packet.ack > 1e9) return 0
    const started = this.#now
    const isSent = (): boolean => {
      const said = saidIn(this.sent).get(key)
      return said === undefined ? false : said.end + (said.isFinished ? 1 : 0) >= packet.ack
    }
    // Nothing is done meanwhile: what was done later had other causes.
    while (!isSent() && this.#now < started + PATIENCE_MS) this.#run(this.#now + 5)
    return this.#now - started
  }

  #do(deed: Deed): void {
    const { machine } = this
    const peer = { network: 0, node: this.#peer.node_id as number }
    switch (deed.type) {
      case 'dial':
        this.#skipPorts(deed.own)
        this.#keep(machine.dial(peer, deed.peer, this.#now))
        break
      case 'trust':
        this.#skipPorts(deed.own)
        if (deed.json.type === 'handshake_request')
          machine.requestTrust(peer.node, deed.json.justification, this.#now)
        else machine.approveTrust(peer.node, this.#now)
        break
      case 'datagram':
        machine.sendDatagram(
          { address: peer, port: deed.packet.destinationPort },
          deed.packet.payload,
          this.#now,
        )
        break
      case 'write':
        this.#write(deed.key, deed.data)
        break
      case 'close': {
        const stream = this.#streams.get(deed.key)
        if (stream !== undefined) machine.closeStream(stream, this.#now)
      }
    }
  }

  /** Ports that the recorded daemon used for what ours does otherwise. */
  #skipPorts(own: number): void {
    this.machine.ports.allocate((port) => port === own - 1 || own === 49_152)
    if (own === 49_152) for (let i = 0; i < 16_383; i++) this.machine.ports.allocate(() => true)
  }

  #write(key: string, data: Uint8Array): void {
    const waiting = this.#unwritten.get(key) ?? []
    this.#unwritten.set(key, waiting)
    waiting.push(data)
    this.#flush(key)
  }

  #flush(key: string): void {
    const stream = this.#streams.get(key)
    const waiting = this.#unwritten.get(key)
    if (stream === undefined || waiting === undefined) return
    while (waiting.length > 0) {
      const taken = this.machine.write(stream, waiting[0]!, this.#now)
      if (taken === waiting[0]!.length) waiting.shift()
      else {
        waiting[0] = waiting[0]!.subarray(taken)
        return
      }
    }
  }

  #keep(stream: Stream): void {
    const { local, remote } = stream.connection
    this.#streams.set(`${local.port}-${remote.port}`, stream)
  }

  #run(until: Instant): void {
    this.#drain()
    for (let at = this.machine.pollTimeout(); at !== undefined && at <= until; ) {
      this.#now = Math.max(this.#now, at)
      this.machine.handleTimeout(this.#now)
      this.#drain()
      at = this.machine.pollTimeout()
    }
    this.#now = Math.max(this.#now, until)
  }

  #drain(): void {
    const buffer = new Uint8Array(TRANSMIT_BUFFER_BYTES)
    for (;;) {
      const transmit = this.machine.pollTransmit(buffer, this.#now)
      if (transmit !== undefined) this.#note(buffer.slice(transmit.start, transmit.end))
      const event = this.machine.pollEvent()
      if (event?.type === 'registry-send') this.#answer(event.bytes)
      if (event?.type === 'incoming') this.#keep(event.stream)
      if (event?.type === 'datagram') this.datagrams.push(Buffer.from(event.data).toString('hex'))
      const stream = this.machine.pollStream()
      if (stream !== undefined) this.#serve(stream)
      if (transmit === undefined && event === undefined && stream === undefined) return
    }
  }

  #serve(stream: Stream): void {
    const { local, remote } = stream.connection
    const key = `${local.port}-${remote.port}`
    const got = this.received.get(key) ?? []
    this.received.set(key, got)
    for (
      let data = this.machine.read(stream, this.#now);
      data !== undefined;
      data = this.machine.read(stream, this.#now)
    )
      got.push(...data)
    this.#flush(key)
    Object.assign(stream.news, { isReadable: false, isWritable: false, isEnded: false })
  }

  /** The packet inside of what we sent, under either profile's key. */
  #note(datagram: Uint8Array): void {
    let frame = datagram
    if (frame[0]! < 0x10) {
      const message = decodeBeaconMessage(frame)
      if (!('frame' in message)) return
      frame = message.frame
    }
    const magic = Buffer.from(frame.subarray(0, 4)).toString()
    if (magic === 'PILT') this.sent.push(decodePacket(frame.slice(4)))
    if (magic !== 'PILS') return
    const { nonce, ciphertext } = decodeSealedFrame(frame)
    for (const { shared_hex } of this.#capture.tunnel_keys)
      for (const profile of [1, 2] as const) {
        const aad = profile === 2 ? frame.subarray(4, 8) : new Uint8Array(0)
        const key = deriveTunnelKey(crypto, profile, hex(shared_hex))
        const opened = crypto.aead(key).open(nonce, aad, ciphertext)
        if (opened !== undefined) this.sent.push(decodePacket(opened))
      }
  }

  #answer(bytes: Uint8Array): void {
    const decoder = new RegistryFrameDecoder()
    decoder.push(bytes)
    const { node_id: peerId, ed25519_public_hex } = this.#peer
    const publicKey = Buffer.from(ed25519_public_hex, 'hex').toString('base64')
    const role = this.#nodeId === this.#capture.nodes.A.node_id ? 'B' : 'A'
    for (let message = decoder.next(); message !== undefined; message = decoder.next()) {
      const { type } = message
      const place = { node_id: peerId, public_key: publicKey, public: true }
      const reply =
        type === 'register'
          ? {
              type: 'register_ok',
              node_id: this.#nodeId,
              address: `0:0000.0000.000${this.#nodeId}`,
            }
          : type === 'lookup' || type === 'resolve'
            ? { type: `${type}_ok`, ...place, real_addr: this.#capture.endpoints[role] }
            : { type: `${type}_ok`, requests: [], responses: [] }
      this.machine.handleRegistryData(encodeRegistryFrame(reply), this.#now)
    }
  }
}

/** The X25519 key of the recording, numbers that begin as the recorded ones, and a nonce prefix of its own. */
function fixedCrypto(privateHex: string | undefined): CryptoProvider {
  let isFirst = true
  return {
    ...crypto,
    random: (bytes) => {
      if (bytes === 32 && isFirst && privateHex !== undefined) {
        isFirst = false
        return hex(privateHex)
      }
      return bytes === 4 || bytes === 8 ? new Uint8Array(bytes) : crypto.random(bytes)
    },
  }
}

function deedsOf(recorded: readonly Recorded[], role: Role): Deed[] {
  const deeds: Deed[] = []
  const all = saidIn(packetsOf(recorded, role))
  const seen = new Map<string, { written: number; isClosed: boolean; isTrust: boolean }>()
  for (const { at, from, packet } of recorded) {
    if (from !== role || packet === undefined) continue
    if (packet.protocol === 2) deeds.push({ at, type: 'datagram', packet })
    if (packet.protocol !== 1) continue
    const key = streamKey(packet)
    let stream = seen.get(key)
    if (stream === undefined) {
      const isTrust = packet.destinationPort === TRUST_PORT || packet.sourcePort === TRUST_PORT
      stream = { written: 1, isClosed: false, isTrust }
      seen.set(key, stream)
      const own = packet.sourcePort
      const isDial = (packet.flags & (SYN | ACK)) === SYN
      if (isDial && packet.destinationPort === TRUST_PORT) {
        const text = Buffer.from(all.get(key)!.bytes, 'hex').toString()
        deeds.push({ at, type: 'trust', own, json: JSON.parse(text) })
      } else if (isDial) deeds.push({ at, type: 'dial', own, peer: packet.destinationPort })
    }
    if (stream.isTrust) continue
    const piece = new Said()
    piece.add(packet)
    if (piece.end > stream.written) {
      // From the whole, as what was lost at first is known from what came later.
      const data = hex(all.get(key)!.bytes).subarray(stream.written - 1, piece.end - 1)
      deeds.push({ at, type: 'write', key, data })
      stream.written = piece.end
    }
    if ((packet.flags & FIN) !== 0 && !stream.isClosed) {
      stream.isClosed = true
      deeds.push({ at, type: 'close', key })
    }
  }
  return deeds
}
