/**
 * Every datagram of the recorded conversations: understood, made again byte for byte, opened with the keys
 * of the two daemons, and its packet made again.
 */
import { describe, expect, it } from 'vitest'
import {
  classifyFrame,
  decodeBeaconMessage,
  decodeKeyExchangeFrame,
  decodePacket,
  decodePlainFrame,
  decodeSealedFrame,
  encodeBeaconMessage,
  encodeKeyExchangeFrame,
  encodePacket,
  keyExchangeSigningBytes,
} from '../../core/index.ts'
import { deriveTunnelKey } from '../../core/tunnel/session.ts'
import { crypto, hex, type VectorCase, vectors } from '../support.ts'

const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

interface Datagram {
  readonly hex: string
  readonly decrypted_hex?: string
  readonly key?: number
}

function checkFrame(
  capture: VectorCase,
  profile: 1 | 2,
  datagram: Datagram,
  frame: Uint8Array,
): string {
  const kind = classifyFrame(frame)
  if (kind === 'key-exchange') {
    const decoded = decodeKeyExchangeFrame(frame)
    expect(toHex(encodeKeyExchangeFrame(decoded))).toBe(toHex(frame))
    const signed = keyExchangeSigningBytes(decoded.sender, decoded.publicKey)
    expect(crypto.ed25519Verify(decoded.identityKey, signed, decoded.signature)).toBe(true)
  } else if (kind === 'plain') {
    const bytes = decodePlainFrame(frame)
    expect(toHex(encodePacket(decodePacket(bytes)))).toBe(toHex(bytes))
  } else if (kind === 'sealed') {
    const { nonce, ciphertext, sender } = decodeSealedFrame(frame)
    const keys = capture.tunnel_keys as { tunnel_key_hex: string; shared_hex: string }[]
    const { tunnel_key_hex, shared_hex } = keys[datagram.key ?? 0]!
    expect(toHex(deriveTunnelKey(crypto, profile, hex(shared_hex)))).toBe(tunnel_key_hex)
    const aad = new Uint8Array(profile === 2 ? 4 : 0)
    if (profile === 2) new DataView(aad.buffer).setUint32(0, sender)
    const packet = crypto.aead(hex(tunnel_key_hex)).open(nonce, aad, ciphertext)
    if (datagram.decrypted_hex === undefined) return 'sealed, not to be opened'
    expect(toHex(packet!)).toBe(datagram.decrypted_hex)
    expect(toHex(encodePacket(decodePacket(packet!)))).toBe(datagram.decrypted_hex)
  } else expect(kind).toBe('punch')
  return kind
}

describe.each([
  ['tunnel-capture', 1],
  ['tunnel-capture-v19', 2],
] as const)('%s', (file, profile) => {
  // In `mixed` the two daemons cannot read each other: there is no one profile to open it with.
  it.each(vectors(file).filter((one) => one.name !== 'mixed'))('$name', (capture) => {
    const seen = new Map<string, number>()
    for (const datagram of capture.datagrams as Datagram[]) {
      const bytes = hex(datagram.hex)
      let kind: string = classifyFrame(bytes)
      if (kind === 'beacon') {
        const message = decodeBeaconMessage(bytes)
        expect(toHex(encodeBeaconMessage(message))).toBe(datagram.hex)
        kind = message.type
        if (message.type === 'relay' || message.type === 'relay-deliver')
          checkFrame(capture, profile, datagram, message.frame)
      } else kind = checkFrame(capture, profile, datagram, bytes)
      seen.set(kind, (seen.get(kind) ?? 0) + 1)
    }
    expect([...seen.values()].reduce((sum, count) => sum + count, 0)).toBe(capture.datagrams.length)
    expect(seen.size).toBeGreaterThan(2)
  })
})

describe('later dialects', () => {
  it.each(vectors('later-dialect', 'packet_version'))('version $version: $verdict', (one) => {
    if (one.verdict === 'accept') return expect(decodePacket(hex(one.frame_hex)).protocol).toBe(1)
    expect(() => decodePacket(hex(one.frame_hex))).toThrow(/version/)
  })

  it.each(vectors('later-dialect', 'pils'))('sealed frame of node $sender_node_id', (one) => {
    const { nonce, ciphertext } = decodeSealedFrame(hex(one.frame_hex))
    const opened = crypto.aead(hex(one.key_hex)).open(nonce, hex(one.aad_hex), ciphertext)
    expect(toHex(opened!)).toBe(one.plaintext_hex)
  })

  it.each(vectors('later-dialect', 'tunnel_key'))('tunnel key', (one) => {
    const shared = crypto.x25519(hex(one.a_private_hex), hex(one.b_public_hex))
    expect(toHex(deriveTunnelKey(crypto, 2, shared!))).toBe(one.tunnel_key_hex)
  })
})
