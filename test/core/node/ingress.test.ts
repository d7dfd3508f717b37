/**
 * Datagrams the reference was fed, fed to a whole node: key exchanges and sealed frames, sound and tampered.
 * Where ours judges otherwise, the case is listed with the reason.
 */
import { describe, expect, it } from 'vitest'
import {
  type CryptoProvider,
  type Endpoint,
  encodeKeyExchangeFrame,
  Identity,
  keyExchangeSigningBytes,
  NodeMachine,
  TRANSMIT_BUFFER_BYTES,
  TrustStore,
} from '../../../core/index.ts'
import { encodeRegistryFrame, RegistryFrameDecoder } from '../../../core/wire/registry-message.ts'
import { crypto, hex, type VectorCase, vectors } from '../../support.ts'

const peerEndpoint: Endpoint = { address: '203.0.113.9', port: 40_000 }
const beacon: Endpoint = { address: '203.0.113.1', port: 9001 }
const [alice, bob] = vectors('crypto', 'ed25519')
const carolKey = (() => {
  const pila = vectors('crypto', 'pila').find(
    (one) => one.node_id === 3 || one.name.startsWith('carol'),
  )
  return pila?.ed25519_public_hex as string | undefined
})()
const aliceX25519 = vectors('crypto', 'pila').find((one) => one.node_id === 1)

/** Why ours differs, by case name; the verdicts are ours, step by step. */
const deviations: Record<string, { verdicts: string[]; because: string }> = {
  'PILA good, twice: second installs a fresh key state and is not answered': {
    verdicts: ['key_installed', 'key_kept'],
    because: 'a known key keeps its counters and windows (spec/01 §7.4)',
  },
  'PILS inner source node differs from the outer node id': {
    verdicts: ['dropped'],
    because: 'a keyed peer speaks for itself only (spec/01 §12 i)',
  },
  'PILS counter 0 twice': {
    verdicts: ['delivered', 'dropped', 'delivered', 'dropped'],
    because: 'no counter is taken twice, 0 neither (spec/01 §12 j)',
  },
  'PILS forged frame with a high counter moves the window': {
    verdicts: ['delivered', 'dropped', 'delivered', 'delivered'],
    because: 'only authenticated frames move the window (spec/01 §12 b)',
  },
  'PILS, then the same PILA again, then the old PILS': {
    verdicts: ['delivered', 'dropped', 'key_kept', 'dropped'],
    because: 'a replayed key exchange resets nothing (spec/01 §12 c)',
  },
  'PILS reflected with the node id rewritten': {
    verdicts: ['dropped'],
    because: 'the inner source is ours, not the sender (spec/01 §12 i)',
  },
  'PILT plain packet while encryption is on and a key exists': {
    verdicts: ['dropped'],
    because: 'nothing plain is taken while encryption is on (spec/01 §12 e)',
  },
  'PILT plain packet, encryption on, no key': { verdicts: ['dropped'], because: 'the same' },
  'crypto-v19: PILS counter 0 twice': {
    verdicts: ['delivered', 'dropped', 'delivered'],
    because: 'no counter is taken twice, 0 neither (spec/01 §12 j)',
  },
  'crypto-v19: PILS forged frame with a high counter moves the window': {
    verdicts: ['delivered', 'dropped', 'delivered', 'key_kept', 'delivered'],
    because: 'only authenticated frames move the window (spec/01 §12 b)',
  },
  'crypto-v19: PILS, then the same PILA again, then the old PILS': {
    verdicts: ['delivered', 'key_kept', 'dropped'],
    because: 'as the reference of that generation',
  },
  'crypto: PILA rekey: new X25519 key from a known peer is installed and answered': {
    verdicts: ['key_installed', 'key_installed', 'key_installed'],
    because: 'as the reference',
  },
  'PILT inside a relay delivery': { verdicts: ['dropped'], because: 'the same' },
  'PILA reflected: own frame comes back': {
    verdicts: ['dropped'],
    because: 'a frame that claims our own id is not for us (spec/01 §11.15)',
  },
  'PILS with a new nonce prefix and counter 1 under an unchanged key': {
    verdicts: ['delivered', 'delivered', 'delivered'],
    because: 'windows are kept per prefix (spec/01 §11.5)',
  },
  'Feb 2026 PILS after a valid key exchange': {
    verdicts: ['delivered', 'dropped', 'delivered'],
    because: 'both profiles are opened (spec/01 §6.1)',
  },
  'relay delivery from one node with another node\u0027s frame inside': {
    verdicts: ['dropped'],
    because: 'the relay sender must be the frame sender (spec/01 §10)',
  },
  'PILA rekey: new X25519 key from a known peer is installed and answered': {
    verdicts: [
      'key_installed',
      'delivered',
      'key_installed',
      'delivered',
      'delivered',
      'key_installed',
      'delivered',
    ],
    because: 'late frames under the key before are still opened for ten seconds (spec/01 §7.4)',
  },
}

class Harness {
  readonly node: NodeMachine
  #now = 1000
  #keys: string[] = []
  readonly sent: { to: Endpoint; datagram: Uint8Array }[] = []

  constructor(receiver: VectorCase) {
    const x25519 = hex(receiver.x25519_private_hex)
    let isFirst = true
    // The first 32 random bytes a registered node draws are its X25519 key.
    const fixed: CryptoProvider = {
      ...crypto,
      random: (bytes) => {
        if (bytes !== 32 || !isFirst) return crypto.random(bytes)
        isFirst = false
        return x25519
      },
    }
    this.node = new NodeMachine({
      crypto: fixed,
      identity: Identity.fromSeed(fixed, hex(receiver.ed25519_seed_hex)),
      trustStore: new TrustStore(),
      unixNow: () => 1_772_200_000,
      now: this.#now,
      localEndpoint: { address: '203.0.113.2', port: 40_001 },
      beacon,
      encrypt: receiver.encryption,
      isPublic: true,
    })
    this.#run(2000)
    this.node.handleRegistryConnected(this.#now)
    this.#run(2000)
    if (this.node.nodeId !== 2) throw new Error('not registered')
    if (receiver.key_with_peer_from !== undefined) this.#install(receiver)
    this.sent.length = 0
  }

  step(datagram: Uint8Array): string {
    const before = this.#state()
    const from = datagram[0]! < 0x10 ? beacon : peerEndpoint
    this.sent.length = 0
    this.node.handleDatagram(datagram, from, this.#now)
    this.#drain()
    const after = this.#state()
    const replied = this.sent.some(({ datagram: reply }) => isKeyExchange(reply))
    if (after.keys !== before.keys) return 'key_installed'
    if (after.heard > before.heard) return 'delivered'
    if (isKeyExchange(datagram) && after.isVerified && after.drops === before.drops)
      return 'key_kept'
    // Whether a frame that does not open is answered with a request for keys is a matter of rate limits.
    return replied && isKeyExchange(datagram) ? 'replied_only' : 'dropped'
  }

  wait(ms: number): void {
    this.#run(ms)
  }

  #state(): { keys: string; heard: number; isVerified: boolean; drops: number } {
    for (const event of this.#events.splice(0)) if (event === 'peer-keyed') this.#keys.push(event)
    const peer = this.node.peers.get(1)
    const verified = peer?.verifiedKeyExchange
    return {
      keys: verified === undefined ? '' : Buffer.from(verified.subarray(8, 40)).toString('hex'),
      heard: peer?.heardAt ?? Number.NEGATIVE_INFINITY,
      isVerified: verified !== undefined,
      drops: Object.values(this.node.drops).reduce((sum, count) => sum + count, 0),
    }
  }

  readonly #events: string[] = []

  #install({ key_with_peer_from }: VectorCase): void {
    const publicKey = hex(key_with_peer_from)
    const seed = hex(alice.seed_hex)
    const frame = encodeKeyExchangeFrame({
      sender: 1,
      publicKey,
      identityKey: crypto.ed25519PublicKey(seed),
      signature: crypto.ed25519Sign(seed, keyExchangeSigningBytes(1, publicKey)),
    })
    this.node.handleDatagram(frame, peerEndpoint, this.#now)
    this.#drain()
    if (this.node.peers.get(1)?.tunnel.isKeyed !== true) throw new Error('no key')
    this.#run(1500)
  }

  #run(ms: number): void {
    const end = this.#now + ms
    for (;;) {
      this.#drain()
      const at = this.node.pollTimeout()
      if (at === undefined || at > end) break
      this.#now = Math.max(this.#now, at)
      this.node.handleTimeout(this.#now)
    }
    this.#now = end
  }

  #drain(): void {
    const buffer = new Uint8Array(TRANSMIT_BUFFER_BYTES)
    this.#now += 0.001 // so that hearing something is later than not
    for (;;) {
      const transmit = this.node.pollTransmit(buffer, this.#now)
      if (transmit !== undefined)
        this.sent.push({ to: transmit.to, datagram: buffer.slice(transmit.start, transmit.end) })
      const event = this.node.pollEvent()
      if (event !== undefined) this.#events.push(event.type)
      if (event?.type === 'registry-send') this.#answer(event.bytes)
      const stream = this.node.pollStream()
      if (transmit === undefined && event === undefined && stream === undefined) return
    }
  }

  /** A registry that knows the vectors' nodes. */
  #answer(bytes: Uint8Array): void {
    const decoder = new RegistryFrameDecoder()
    decoder.push(bytes)
    for (let message = decoder.next(); message !== undefined; message = decoder.next()) {
      const keys: Record<number, string> = { 1: alice.public_b64, 2: bob.public_b64 }
      if (carolKey !== undefined) keys[3] = Buffer.from(carolKey, 'hex').toString('base64')
      const key = keys[message.node_id as number]
      const reply =
        message.type === 'register'
          ? { type: 'register_ok', node_id: 2, address: '0:0000.0000.0002' }
          : message.type === 'lookup' && key !== undefined
            ? { type: 'lookup_ok', node_id: message.node_id, public_key: key }
            : { type: 'error', error: 'request failed' }
      this.node.handleRegistryData(encodeRegistryFrame(reply), this.#now)
    }
  }
}

function isKeyExchange(datagram: Uint8Array): boolean {
  const frame =
    datagram[0] === 6 ? datagram.subarray(5) : datagram[0] === 5 ? datagram.subarray(9) : datagram
  return Buffer.from(frame.subarray(0, 4)).toString() === 'PILA'
}

/** PILK, receivers without identity and registry failures have no counterpart: we take none of them. */
function hasCounterpart(one: VectorCase): boolean {
  return (
    one.receiver.has_identity &&
    !one.name.startsWith('PILK') &&
    !one.name.includes('PILK') &&
    !one.name.includes('registry lookup fails') &&
    !one.name.startsWith('punch') &&
    !one.name.includes('already') &&
    one.receiver.node_id === 2
  )
}

for (const file of ['crypto', 'crypto-v19'])
  describe(`${file}: what a node makes of datagrams`, () => {
    it.each(vectors(file, 'ingress').filter(hasCounterpart))('$name', (one) => {
      const harness = new Harness(one.receiver)
      const deviation = deviations[`${file}: ${one.name}`] ?? deviations[one.name]
      const verdicts: string[] = []
      const expected: string[] = []
      for (const step of one.steps) {
        if (step.hex === undefined || step.hex === '') {
          harness.wait((step.wait_s ?? 0) * 1000)
          continue
        }
        verdicts.push(harness.step(hex(step.hex)))
        expected.push(
          step.verdict === 'replied_only' && !isKeyExchange(hex(step.hex))
            ? 'dropped'
            : step.verdict,
        )
      }
      expect(verdicts).toEqual(deviation?.verdicts ?? expected)
    })
  })

it('never answers or keys with PILK, whatever the reference does', () => {
  for (const one of vectors('crypto', 'ingress').filter((ingress) =>
    ingress.name.startsWith('PILK'),
  )) {
    if (!one.receiver.encryption) continue
    const harness = new Harness({
      ...one.receiver,
      has_identity: true,
      ed25519_seed_hex: bob.seed_hex,
    })
    for (const step of one.steps) expect(harness.step(hex(step.hex))).toBe('dropped')
    expect(harness.node.peers.get(1)?.tunnel.isKeyed ?? false).toBe(false)
  }
})

it('has the key of the peer the vectors talk about', () => {
  expect(aliceX25519).toBeDefined()
})
