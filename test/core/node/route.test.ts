/**
 * Single packets to a node and its answers, as recorded from the reference (`segmentation.json`, kind route).
 * The tunnel is plain, so that the packets stand on the wire as they are. Ours differs where a note says so.
 */
import { describe, expect, it } from 'vitest'
import {
  type Address,
  decodePacket,
  decodePlainFrame,
  type Endpoint,
  Identity,
  NodeMachine,
  type Packet,
  TRANSMIT_BUFFER_BYTES,
  TrustStore,
} from '../../../core/index.ts'
import { encodeRegistryFrame, RegistryFrameDecoder } from '../../../core/wire/registry-message.ts'
import { crypto, hex, vectors } from '../../support.ts'

const peer: Endpoint = { address: '127.0.0.1', port: 4001 }
const ECHO = 7

/** Verdict per step: flags of what is sent back, in order. `undefined`: as the reference. */
const deviations: Record<
  string,
  { readonly flags: readonly (readonly number[])[]; readonly because: string }
> = {
  'ACK without a connection: silence': {
    flags: [[8]],
    because: 'RST is kinder than silence (spec/03 §3.2)',
  },
  'SYN, ACK, FIN: FIN-ACK and TIME_WAIT; FIN again is answered again': {
    flags: [[3], [], [2], [2]],
    because: 'a FIN is answered with a pure ACK, which nobody answers (spec/03 §3.1)',
  },
  'FIN-ACK to an established connection is treated as FIN and answered with FIN-ACK': {
    flags: [[3], [2], [2]],
    because: 'never answer FIN+ACK with FIN (spec/03 §3.1)',
  },
  'data after FIN is not delivered': {
    flags: [[3], [2], []],
    because: 'a FIN is answered with a pure ACK (spec/03 §3.1)',
  },
  'ping from port 0': {
    flags: [[2], []],
    because:
      'an empty packet from port 0 is a keepalive, and answering it may never end (spec/03 §C)',
  },
  'version 9 is not looked at': { flags: [[]], because: 'other versions are dropped (spec/01 §2)' },
}

class Bench {
  readonly node: NodeMachine
  #now = 0

  constructor() {
    this.node = new NodeMachine({
      crypto,
      identity: Identity.generate(crypto),
      trustStore: new TrustStore(),
      unixNow: () => 1_772_200_000,
      now: 0,
      localEndpoint: { address: '127.0.0.1', port: 4002 },
      encrypt: false,
      isPublic: true,
    })
    this.node.listen(ECHO)
    this.node.handleTimeout(0)
    this.node.handleRegistryConnected(0)
    this.send()
  }

  /** What leaves after this packet came in. */
  send(packet?: Uint8Array): Packet[] {
    this.#now += 1
    if (packet !== undefined)
      this.node.handleDatagram(
        Uint8Array.from([...Buffer.from('PILT'), ...packet]),
        peer,
        this.#now,
      )
    const sent: Packet[] = []
    const buffer = new Uint8Array(TRANSMIT_BUFFER_BYTES)
    for (;;) {
      const transmit = this.node.pollTransmit(buffer, this.#now)
      if (transmit !== undefined) {
        const datagram = buffer.slice(transmit.start, transmit.end)
        expect(transmit.to).toEqual(peer)
        sent.push(decodePacket(decodePlainFrame(datagram)))
      }
      const event = this.node.pollEvent()
      if (event?.type === 'registry-send') this.#answer(event.bytes)
      if (transmit === undefined && event === undefined && this.node.pollStream() === undefined)
        return sent
    }
  }

  #answer(bytes: Uint8Array): void {
    const decoder = new RegistryFrameDecoder()
    decoder.push(bytes)
    for (let message = decoder.next(); message !== undefined; message = decoder.next()) {
      const isRegister = message.type === 'register'
      const reply = isRegister
        ? { type: 'register_ok', node_id: 2, address: '0:0000.0000.0002' }
        : { type: 'error', error: 'request failed' }
      this.node.handleRegistryData(encodeRegistryFrame(reply), this.#now)
    }
  }
}

interface Step {
  readonly packet_hex: string
  readonly replies: readonly {
    readonly flags: number
    readonly protocol: number
    readonly src_port: number
    readonly dst_port: number
    readonly seq: number
    readonly ack: number
    readonly dst_network: number
    readonly dst_node: number
  }[]
}

describe('packets to a node', () => {
  it.each(vectors('segmentation', 'route'))('$name', (one) => {
    const bench = new Bench()
    const deviation = deviations[one.name]
    const steps = one.steps as Step[]
    steps.forEach((step, i) => {
      const sent = bench.send(hex(step.packet_hex))
      const expected = deviation?.flags[i] ?? step.replies.map((reply) => reply.flags)
      expect(
        sent.map((packet) => packet.flags),
        `step ${i + 1}`,
      ).toEqual(expected)
      if (deviation !== undefined) return
      sent.forEach((packet, k) => {
        const reply = step.replies[k]!
        const to: Address = { network: reply.dst_network, node: reply.dst_node }
        expect(packet).toMatchObject({
          protocol: reply.protocol,
          destination: to,
          sourcePort: reply.src_port,
          destinationPort: reply.dst_port,
        })
        // Our initial sequence number is random; what we acknowledge is not.
        expect(packet.ack).toBe(reply.ack)
        if (packet.protocol === 3) expect(packet.seq).toBe(reply.seq)
      })
    })
  })
})
