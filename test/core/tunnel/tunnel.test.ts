/** Which key exchanges are answered (spec/01 §7.1, §7.4). */
import { describe, expect, it } from 'vitest'
import { Identity } from '../../../core/index.ts'
import { LocalKeys } from '../../../core/tunnel/local-keys.ts'
import { Tunnel } from '../../../core/tunnel/tunnel.ts'
import {
  decodeKeyExchangeFrame,
  KEY_EXCHANGE_BYTES,
  type KeyExchangeFrame,
} from '../../../core/wire/frame.ts'
import { crypto } from '../../support.ts'

function signedKeys(nodeId: number): {
  keys: LocalKeys
  request: Uint8Array
  response: Uint8Array
} {
  const identity = Identity.generate(crypto)
  const keys = new LocalKeys(crypto, identity.publicKey, nodeId)
  keys.setSignature(identity.sign(keys.signingBytes))
  return { keys, ...keys.announcements! }
}

const alice = signedKeys(1)
const bob = signedKeys(2)

function tunnel(): Tunnel {
  return new Tunnel({ crypto, nodeId: 1, peerId: 2, localKeys: alice.keys })
}

/** As G1 and G3 send it: no trailer. */
function plain(keys: { readonly request: Uint8Array }): KeyExchangeFrame {
  return decodeKeyExchangeFrame(keys.request.subarray(0, KEY_EXCHANGE_BYTES))
}

/** A tunnel that has keys and has just opened a frame of the peer. */
function keyed(now: number): Tunnel {
  const [one, other] = [tunnel(), new Tunnel({ crypto, nodeId: 2, peerId: 1, localKeys: bob.keys })]
  one.handleKeyExchange(plain(bob), now)
  other.handleKeyExchange(plain(alice), now)
  one.pollKeyExchange(now)
  const packet = new Uint8Array(34)
  const buffer = new Uint8Array(20 + packet.length + 16)
  const length = other.seal(buffer, 0, packet.length, now)
  expect(one.open(buffer.subarray(8, 20), buffer.slice(20, length), now)).toBeInstanceOf(Uint8Array)
  return one
}

describe('an announcement of a key we know', () => {
  it('without flags is answered though the peer was heard a moment ago: it has lost our key', () => {
    const one = keyed(0)
    expect(one.handleKeyExchange(plain(bob), 1000)).toBe('known')
    expect(one.pollKeyExchange(1000)).toEqual(alice.response)
  })

  it('is answered once per second', () => {
    const one = keyed(0)
    for (const at of [1000, 1001, 1999]) one.handleKeyExchange(plain(bob), at)
    expect(one.pollKeyExchange(1999)).toEqual(alice.response)
    one.handleKeyExchange(plain(bob), 2500)
    expect(one.pollKeyExchange(2500)).toBeUndefined()
    one.handleKeyExchange(plain(bob), 3000)
    expect(one.pollKeyExchange(3000)).toEqual(alice.response)
  })

  it('is not answered when it says that it is an answer', () => {
    const one = keyed(0)
    one.handleKeyExchange(decodeKeyExchangeFrame(bob.response), 5000)
    expect(one.pollKeyExchange(5000)).toBeUndefined()
    one.handleKeyExchange(decodeKeyExchangeFrame(bob.request), 5000)
    expect(one.pollKeyExchange(5000)).toEqual(alice.response)
  })

  it('is answered though we asked a moment ago: the peer may have lost our key since', () => {
    const one = keyed(0)
    one.requestAgain(6000)
    expect(one.pollKeyExchange(6000)).toEqual(alice.request)
    one.handleKeyExchange(plain(bob), 6300)
    expect(one.pollKeyExchange(6300)).toEqual(alice.response)
  })
})

it('announces nothing before its keys are signed, and then what was due', () => {
  const identity = Identity.generate(crypto)
  const localKeys = new LocalKeys(crypto, identity.publicKey, 1)
  const one = new Tunnel({ crypto, nodeId: 1, peerId: 2, localKeys })
  one.want(0)
  one.handleTimeout(0)
  expect(one.wantsTransmit).toBe(false)
  expect(one.pollKeyExchange(0)).toBeUndefined()
  localKeys.setSignature(identity.sign(localKeys.signingBytes))
  expect(one.wantsTransmit).toBe(true)
  expect(one.pollKeyExchange(10)).toEqual(localKeys.announcements?.request)
})
