import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Identity, PilotError, toBase64 } from '../../../core/index.ts'
import { formatRfc3339, parseRfc3339 } from '../../../core/time-text.ts'
import {
  createHandshakeMessage,
  decodeHandshakeMessage,
  encodeHandshakeMessage,
  type HandshakeType,
  isHandshakeComplete,
} from '../../../core/trust/handshake-message.ts'
import { type TrustEvent, TrustManager } from '../../../core/trust/trust-manager.ts'
import { TrustStore } from '../../../core/trust/trust-store.ts'
import { handshakeChallenge } from '../../../core/wire/registry-challenge.ts'
import { crypto, hex, vectors } from '../../support.ts'

const NOW = 1_772_200_000
const alice = Identity.fromSeed(crypto, hex(vectors('crypto', 'ed25519')[0].seed_hex))
const mallory = Identity.fromSeed(crypto, new Uint8Array(32).fill(9))

function bob(store = new TrustStore()): TrustManager {
  const identity = Identity.fromSeed(crypto, new Uint8Array(32).fill(2))
  return new TrustManager({ crypto, identity, nodeId: 2, store })
}

function message(
  type: HandshakeType,
  { by = alice, sender = 1, receiver = 2, at = NOW, text = 'j' } = {},
) {
  const unsigned = createHandshakeMessage(by.publicKey, sender, { type, text, timestamp: at })
  const signature = by.signBase64(handshakeChallenge(sender, receiver))
  return decodeHandshakeMessage(encodeHandshakeMessage({ ...unsigned, signature }))
}

function drain(manager: TrustManager): TrustEvent[] {
  const events: TrustEvent[] = []
  for (let event = manager.pollEvent(); event !== undefined; event = manager.pollEvent())
    events.push(event)
  return events
}

describe('messages on the wire', () => {
  it.each(vectors('handshake', 'message'))('$name: same bytes', (one) => {
    const json = JSON.parse(one.json)
    if (json.type === '')
      return expect(() => decodeHandshakeMessage(hex(one.hex))).toThrow(PilotError)
    expect(
      Buffer.from(encodeHandshakeMessage(decodeHandshakeMessage(hex(one.hex)))).toString('hex'),
    ).toBe(one.hex)
  })

  it.each(vectors('handshake', 'registry_signature'))('signs $text', (one) => {
    expect(Identity.fromSeed(crypto, hex(one.seed_hex)).signBase64(one.text)).toBe(
      one.signature_b64,
    )
  })

  it.each(vectors('handshake', 'parse'))('parses or refuses $json', (one) => {
    try {
      const parsed = decodeHandshakeMessage(Buffer.from(one.json))
      // JSON has one kind of number: 1.0 is 1 here, an error in Go.
      expect(one.error).toBe(one.json.includes('1.0'))
      if (one.error) return
      expect(parsed).toMatchObject({
        type: one.type,
        nodeId: one.node_id,
        timestamp: one.timestamp,
      })
    } catch (error) {
      // Ours also refuses what has no known type, which the reference drops a step later.
      expect(error).toBeInstanceOf(PilotError)
    }
  })

  it('any bytes are a message or a typed error, and completeness never hangs', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        isHandshakeComplete(bytes)
        try {
          decodeHandshakeMessage(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(PilotError)
        }
      }),
    )
  })

  it('knows when a message is whole, however it is cut', () => {
    const bytes = encodeHandshakeMessage(message('handshake_request', { text: '"}{\\' }))
    for (let length = 0; length < bytes.length; length++)
      expect(isHandshakeComplete(bytes.subarray(0, length))).toBe(false)
    expect(isHandshakeComplete(bytes)).toBe(true)
  })
})

describe('what a message may do', () => {
  it('a request waits for the user, with the key it came under', () => {
    const manager = bob()
    expect(manager.handleMessage(message('handshake_request'), 1, alice.publicKey, NOW)).toBe(
      'applied',
    )
    expect(manager.store.pending()).toEqual([
      { nodeId: 1, publicKey: toBase64(alice.publicKey), justification: 'j', receivedAt: NOW },
    ])
    manager.approve(1, NOW)
    expect(manager.pinnedKey(1)).toBe(toBase64(alice.publicKey))
    expect(drain(manager).map((event) => event.type)).toEqual([
      'changed',
      'requested',
      'changed',
      'report',
      'established',
      'respond',
      'send',
    ])
  })

  it('a trusted peer is asked too: it may have ended the trust unheard', () => {
    const manager = bob()
    manager.handleMessage(message('handshake_request'), 1, alice.publicKey, NOW)
    manager.approve(1, NOW)
    drain(manager)
    expect(manager.request(1, 'again', NOW)).toBe('already_trusted')
    expect(drain(manager)).toMatchObject([{ type: 'send', peerId: 1, kind: 'handshake_request' }])
    const record = manager.store.getTrusted(1)
    expect(manager.handleMessage(message('handshake_accept'), 1, alice.publicKey, NOW)).toBe(
      'ignored',
    )
    expect(manager.store.getTrusted(1)).toEqual(record)
  })

  it('crossing requests make trust on both sides', () => {
    const manager = bob()
    manager.request(1, 'me too', NOW)
    expect(manager.handleMessage(message('handshake_request'), 1, alice.publicKey, NOW)).toBe(
      'applied',
    )
    expect(manager.store.getTrusted(1)).toMatchObject({ mutual: true })
  })

  it.each(['handshake_accept', 'handshake_reject'] as const)(
    '%s counts only while we asked',
    (type) => {
      const manager = bob()
      expect(manager.handleMessage(message(type), 1, alice.publicKey, NOW)).toBe('ignored')
      expect(manager.isTrusted(1)).toBe(false)
      manager.request(1, '', NOW)
      expect(manager.handleMessage(message(type, { at: NOW + 1 }), 1, alice.publicKey, NOW)).toBe(
        'applied',
      )
      expect(manager.isTrusted(1)).toBe(type === 'handshake_accept')
    },
  )

  it('a polled accept nobody asked for is ignored', () => {
    const manager = bob()
    manager.handlePolledResponse(1, true, NOW)
    expect(manager.isTrusted(1)).toBe(false)
  })

  it.each([
    ['another tunnel peer', message('handshake_request'), 3, alice.publicKey],
    [
      'a key that is not the registered one',
      message('handshake_request', { by: mallory }),
      1,
      alice.publicKey,
    ],
    [
      'a signature for another receiver',
      message('handshake_request', { receiver: 5 }),
      1,
      alice.publicKey,
    ],
    ['302 s of age', message('handshake_request', { at: NOW - 302 }), 1, alice.publicKey],
    ['33 s of future', message('handshake_request', { at: NOW + 33 }), 1, alice.publicKey],
    ['no signature', { ...message('handshake_request'), signature: '' }, 1, alice.publicKey],
    [
      'no signature and no key',
      { ...message('handshake_request'), signature: '', publicKey: '' },
      1,
      alice.publicKey,
    ],
    [
      'a key of 5 bytes',
      { ...message('handshake_request'), publicKey: 'AQIDBAU=' },
      1,
      alice.publicKey,
    ],
  ] as const)('is refused with %s', (_why, sent, peer, key) => {
    const manager = bob()
    expect(manager.handleMessage(sent, peer, key, NOW)).toBe('invalid')
    expect(manager.store.format()).toBe(new TrustStore().format())
  })

  it('a replay is ignored, and an old signature cannot turn a request into a revocation', () => {
    const manager = bob()
    const request = message('handshake_request')
    manager.handleMessage(request, 1, alice.publicKey, NOW)
    expect(manager.handleMessage(request, 1, alice.publicKey, NOW)).toBe('ignored')
    manager.approve(1, NOW)
    const revoke = message('handshake_revoke')
    expect(manager.handleMessage(revoke, 1, alice.publicKey, NOW)).toBe('applied')
    expect(manager.handleMessage(revoke, 1, alice.publicKey, NOW)).toBe('ignored')
  })

  it('a request that was answered does not come back by its copy, whichever way came first', () => {
    const direct = (manager: TrustManager, at: number, text: string) =>
      manager.handleMessage(message('handshake_request', { at, text }), 1, alice.publicKey, at)
    const first = bob()
    direct(first, NOW, 'j')
    first.reject(1, 'no', NOW)
    first.handlePolledRequest(1, 'j', NOW + 9)
    expect(first.store.pending()).toEqual([])
    first.handlePolledRequest(1, 'j', NOW + 20) // the copy has been: this one is new
    expect(first.store.pending()).toHaveLength(1)

    const second = bob()
    second.handlePolledRequest(1, 'j', NOW)
    second.approve(1, NOW)
    second.revoke(1, NOW + 1)
    direct(second, NOW + 2, 'j')
    expect(second.store.pending()).toEqual([])
    direct(second, NOW + 3, 'j')
    expect(second.store.pending()).toHaveLength(1)

    const third = bob()
    direct(third, NOW, 'j')
    third.reject(1, 'no', NOW)
    third.handlePolledRequest(1, 'another reason', NOW + 1)
    expect(third.store.pending()).toHaveLength(1)
    third.reject(1, 'no', NOW + 2)
    direct(third, NOW + 90, 'another reason')
    expect(third.store.pending()).toHaveLength(1)
  })

  it('a reject ends one request: its late copy leaves the next one standing', () => {
    const reject = (manager: TrustManager, at: number) =>
      manager.handleMessage(message('handshake_reject', { at }), 1, alice.publicKey, at)
    const first = bob()
    first.request(1, '', NOW)
    reject(first, NOW)
    expect(first.store.hasOutgoing(1)).toBe(false)
    first.request(1, 'please', NOW + 5)
    first.handlePolledResponse(1, false, NOW + 9)
    expect(first.store.hasOutgoing(1)).toBe(true)
    first.handlePolledResponse(1, false, NOW + 15) // the copy has been: this one is new
    expect(first.store.hasOutgoing(1)).toBe(false)

    const second = bob()
    second.request(1, '', NOW)
    second.handlePolledResponse(1, false, NOW)
    second.request(1, '', NOW + 1)
    reject(second, NOW + 2)
    expect(second.store.hasOutgoing(1)).toBe(true)
    expect(second.isTrusted(1)).toBe(false)
    second.handlePolledResponse(1, true, NOW + 3)
    expect(second.isTrusted(1)).toBe(true)
  })

  it('an accept counts though a reject of an earlier request came between, for a minute', () => {
    const manager = bob()
    const receive = (type: HandshakeType, at: number) =>
      manager.handleMessage(message(type, { at }), 1, alice.publicKey, at)
    manager.request(1, '', NOW)
    receive('handshake_reject', NOW + 1)
    expect(receive('handshake_accept', NOW + 59)).toBe('applied')
    manager.revoke(1, NOW + 59)
    expect(receive('handshake_accept', NOW + 59)).toBe('ignored')
    manager.request(1, '', NOW + 60)
    receive('handshake_reject', NOW + 61)
    expect(receive('handshake_accept', NOW + 120)).toBe('ignored')
    expect(manager.isTrusted(1)).toBe(false)
  })

  it('the end of trust counts, also twice in one second', () => {
    const manager = bob()
    for (let i = 0; i < 2; i++) {
      manager.request(1, '', NOW)
      for (const [type, isTrusted] of [
        ['handshake_accept', true],
        ['handshake_revoke', false],
      ] as const) {
        expect(manager.handleMessage(message(type), 1, alice.publicKey, NOW)).toBe('applied')
        expect(manager.isTrusted(1)).toBe(isTrusted)
      }
    }
  })

  it('two requests of one second with different reasons both count', () => {
    const manager = bob()
    for (const text of ['one', 'two']) {
      const verdict = manager.handleMessage(
        message('handshake_request', { text }),
        1,
        alice.publicKey,
        NOW,
      )
      expect(verdict).toBe('applied')
      manager.reject(1, 'no', NOW)
    }
  })

  it('messages of one second have different times, at most 15 s ahead', () => {
    const manager = bob()
    const times: number[] = []
    for (let i = 0; i < 20; i++) {
      manager.request(1, 'again', NOW)
      const sent = drain(manager).find((event) => event.type === 'send')
      times.push(sent!.message.timestamp)
    }
    expect(times.slice(0, 16)).toEqual(Array.from({ length: 16 }, (_, i) => NOW + i))
    expect(times.at(-1)).toBe(NOW + 15)
    manager.request(3, 'another node', NOW)
    const other = drain(manager).find((event) => event.type === 'send')
    expect(other!.message.timestamp).toBe(NOW)
  })

  it('control characters of strangers do not reach a terminal', () => {
    const manager = bob()
    manager.handlePolledRequest(1, 'a\u001b[2Jb\u202ec', NOW)
    expect(manager.store.pending()[0]?.justification).toBe('a [2Jb c')
  })

  it('approving or rejecting nobody, and revoking a stranger, are errors', () => {
    expect(() => bob().approve(1, NOW)).toThrow(
      expect.objectContaining({ code: 'ERR_NOT_PENDING' }),
    )
    expect(() => bob().reject(1, '', NOW)).toThrow(
      expect.objectContaining({ code: 'ERR_NOT_PENDING' }),
    )
    expect(() => bob().revoke(1, NOW)).toThrow(expect.objectContaining({ code: 'ERR_NOT_TRUSTED' }))
  })

  it('holds at most 256 waiting requests', () => {
    const manager = bob()
    for (let id = 10; id < 400; id++) manager.handlePolledRequest(id, '', NOW)
    expect(manager.store.pending()).toHaveLength(256)
  })
})

describe('trust.json', () => {
  const written = vectors('identity-files', 'write').filter((one) => one.file === 'trust.json')
  it.each(written)('survives reading and writing: $name', (one) => {
    // Times are written in UTC, whatever zone they were read in.
    const expected = one.text.replace('14:00:00+02:00', '12:00:00Z')
    expect(TrustStore.parse(one.text).format()).toBe(expected)
  })

  it.each(vectors('identity-files', 'load_trust'))('is read: $name', (one) => {
    const isCorrupt = one.name.startsWith('not JSON') || one.name.startsWith('node id too large')
    // The reference starts without trust then, and overwrites the file.
    if (isCorrupt) return expect(() => TrustStore.parse(one.text)).toThrow(PilotError)
    const store = TrustStore.parse(one.text)
    expect(
      store
        .trusted()
        .map((record) => [record.nodeId, record.publicKey, record.mutual, record.network]),
    ).toEqual(
      one.trusted.map((record: Record<string, unknown>) => [
        record.node_id,
        record.public_key,
        record.mutual,
        record.network,
      ]),
    )
    expect(store.pending()).toHaveLength(one.pending.length)
  })

  it('keeps what it does not know, and remembers requests of ours', () => {
    const store = TrustStore.parse('{"trusted":null,"revoked":[{"node_id":4,"until":"x"}]}')
    store.addOutgoing({ nodeId: 5, sentAt: NOW })
    const again = TrustStore.parse(store.format())
    expect(again.hasOutgoing(5)).toBe(true)
    expect(JSON.parse(again.format()).revoked).toEqual([{ node_id: 4, until: 'x' }])
  })

  it('any text is a store or a typed error', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        try {
          TrustStore.parse(TrustStore.parse(text).format())
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_STORE_CORRUPT' })
        }
      }),
    )
  })

  it('times agree with the calendar', () => {
    fc.assert(
      fc.property(fc.integer({ min: -2e9, max: 200_000_000_000 }), (seconds) => {
        const text = formatRfc3339(seconds)
        expect(text).toBe(`${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`)
        expect(parseRfc3339(text)).toBe(seconds)
      }),
    )
    expect(parseRfc3339('2026-02-27T14:00:00.5+02:00')).toBe(Date.UTC(2026, 1, 27, 12) / 1000)
    expect(parseRfc3339('yesterday')).toBeUndefined()
  })
})
