/**
 * Keys toward one peer: everything that follows from one X25519 agreement (spec/01 §6, §7.4). Seals with
 * its own nonce prefix and counter, opens with a replay window per peer prefix. No sockets, no retries.
 */
import { equals, utf8 } from '../bytes.ts'
import { type Aead, type CryptoProvider, hkdfSha256, type SealJob } from '../crypto/provider.ts'
import { ReplayWindow } from '../crypto/replay-window.ts'
import type { Instant } from '../machine.ts'
import { SEALED_HEADER_BYTES, writeSealedHeader } from '../wire/frame.ts'

/**
 * How keys follow from the shared secret. 1: SHA-256 with a labelled prefix and no AAD (until March 2026);
 * 2: HKDF with the sender's node id as AAD (since). The frames look the same (spec/01 §6).
 */
export type KeyProfile = 1 | 2

/** Nonce prefixes of the peer whose windows are kept: the newest and four older ones, as G3 does. */
const PREFIXES_MAX = 5
/** Prefixes given up under one key; beyond it no new prefix is taken and the peer must rekey. */
const RETIRED_MAX = 4096
/** Packets sealed once per profile while the peer's profile is unknown; after that they alternate. */
const DOUBLE_SEALS = 3

const NO_AAD = new Uint8Array(0)
const LABEL_1 = /* @__PURE__ */ utf8('pilot-tunnel-v1:')
const LABEL_2 = /* @__PURE__ */ utf8('pilot-tunnel-v1')

/** 32-byte tunnel key of a profile. `shared` is the X25519 output. */
export function deriveTunnelKey(
  crypto: CryptoProvider,
  profile: KeyProfile,
  shared: Uint8Array,
): Uint8Array {
  if (profile === 2) return hkdfSha256(crypto, shared, LABEL_2)
  const input = new Uint8Array(LABEL_1.length + shared.length)
  input.set(LABEL_1)
  input.set(shared, LABEL_1.length)
  return crypto.sha256(input)
}

export interface SessionOptions {
  readonly crypto: CryptoProvider
  readonly shared: Uint8Array
  readonly peerPublicKey: Uint8Array
  readonly nodeId: number
  readonly peerId: number
  /** Known beforehand, from a hint or from an earlier session with this peer. */
  readonly profile: KeyProfile | undefined
  readonly now: Instant
}

/** A key that may open a frame. */
export interface OpenAttempt {
  readonly aead: Aead
  readonly aad: Uint8Array
}

export type OpenResult = Uint8Array | 'forged' | 'replayed'

export class Session {
  /** The peer's X25519 key, copied. */
  readonly peerPublicKey: Uint8Array
  readonly createdAt: Instant
  /** When a frame last authenticated under these keys. */
  openedAt: Instant | undefined
  /** Left by the last `seal` where the AEAD answers later: the frame must not leave before it is done. */
  sealJob: SealJob | undefined
  #profile: KeyProfile | undefined
  #isProfileProven = false
  #doubleSeals = DOUBLE_SEALS
  readonly #aead: readonly [Aead, Aead]
  readonly #crypto: CryptoProvider
  readonly #nodeId: number
  readonly #ownAad: Uint8Array
  readonly #peerAad: Uint8Array
  readonly #nonce = new Uint8Array(12)
  #counterHigh = 0
  #counterLow = 0
  /** Newest first. */
  readonly #windows: { prefix: number; window: ReplayWindow }[] = []
  /** Prefixes whose window is gone: their frames cannot be told from replays any more. */
  readonly #retired = new Set<number>()

  constructor({ crypto, shared, peerPublicKey, nodeId, peerId, profile, now }: SessionOptions) {
    this.#crypto = crypto
    this.peerPublicKey = peerPublicKey.slice()
    this.createdAt = now
    this.#nodeId = nodeId
    this.#profile = profile
    this.#aead = [
      crypto.aead(deriveTunnelKey(crypto, 1, shared)),
      crypto.aead(deriveTunnelKey(crypto, 2, shared)),
    ]
    this.#ownAad = uint32(nodeId)
    this.#peerAad = uint32(peerId)
    this.#nonce.set(crypto.random(4))
  }

  /** The profile the peer is known or believed to use. */
  get profile(): KeyProfile | undefined {
    return this.#profile
  }

  /** True while each packet goes out once per profile: `seal` it as 2, then again as 1. */
  get sealsTwice(): boolean {
    return this.#profile === undefined && this.#doubleSeals > 0
  }

  /** Takes a hint, e.g. the peer's key exchange trailer; never overrides what a frame has proven. */
  suggestProfile(profile: KeyProfile): void {
    if (!this.#isProfileProven) this.#profile = profile
  }

  /**
   * Turns the packet at `buffer[offset + 20 .. offset + 20 + packetBytes)` into a PILS frame at `offset`
   * and returns the frame's length. 16 more bytes must be free behind the packet.
   */
  seal(buffer: Uint8Array, offset: number, packetBytes: number, profile?: KeyProfile): number {
    this.#counterLow = (this.#counterLow + 1) >>> 0
    if (this.#counterLow === 0) this.#counterHigh++
    // Unknown profile, pairs used up: alternate, so that each generation still gets every other packet.
    const use = profile ?? this.#profile ?? (this.#counterLow & 1 ? 1 : 2)
    if (profile === 1 && this.#profile === undefined) this.#doubleSeals--
    writeSealedHeader(buffer, offset, this.#nodeId)
    const nonce = this.#nonce
    put32(nonce, 4, this.#counterHigh)
    put32(nonce, 8, this.#counterLow)
    buffer.set(nonce, offset + 8)
    const start = offset + SEALED_HEADER_BYTES
    const aad = use === 2 ? this.#ownAad : NO_AAD
    const aead = this.#aead[use - 1]!
    aead.sealInPlace(nonce, aad, buffer, start, start + packetBytes)
    this.sealJob = aead.later && { aead: aead.later, nonce: nonce.slice(), aad }
    return SEALED_HEADER_BYTES + packetBytes + 16
  }

  /** What `open` will try, in its order: keys and AAD. */
  get openAttempts(): OpenAttempt[] {
    const first = this.#profile ?? 2
    return [first, 3 - first].map((profile) => ({
      aead: this.#aead[profile - 1]!,
      aad: profile === 2 ? this.#peerAad : NO_AAD,
    }))
  }

  /** Opens first, then consults the window: nothing unauthenticated moves it (spec/01 §12 b). */
  open(nonce: Uint8Array, ciphertext: Uint8Array, now: Instant): OpenResult {
    const prefix = get32(nonce, 0)
    const high = get32(nonce, 4)
    const low = get32(nonce, 8)
    const isOwnPrefix = prefix === get32(this.#nonce, 0)
    // Both directions share the key, and profile 1 has no AAD: our own frame, sent back, would open.
    if (isOwnPrefix && !this.#isAheadOfOurs(high, low)) return 'replayed'
    const known = this.#windows.find((entry) => entry.prefix === prefix)
    // A counter already seen cannot become new by decrypting it: the cheap test may come first.
    if (known !== undefined && !known.window.accepts(high, low)) return 'replayed'
    if (known === undefined && (this.#retired.has(prefix) || this.#retired.size >= RETIRED_MAX))
      return 'replayed'
    const packet = this.#decrypt(nonce, ciphertext)
    if (packet === undefined) return 'forged'
    if (isOwnPrefix) {
      // The peer drew the same prefix: one of us would one day repeat a nonce of the other. Draw again.
      this.#redrawPrefix()
      return 'replayed'
    }
    const { window } = known ?? this.#addPrefix(prefix)
    window.mark(high, low)
    this.openedAt = now
    return packet
  }

  #decrypt(nonce: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined {
    const first = this.#profile ?? 2
    const packet = this.#tryProfile(first, nonce, ciphertext)
    if (packet !== undefined) {
      this.#profile = first
      this.#isProfileProven = true
      return packet
    }
    const second = first === 2 ? 1 : 2
    const other = this.#tryProfile(second, nonce, ciphertext)
    // A peer that seals twice is one of ours, and those settle on 2: 2 is never given up for 1.
    if (other !== undefined && !(this.#isProfileProven && this.#profile === 2)) {
      this.#profile = second
      this.#isProfileProven = true
    }
    return other
  }

  #tryProfile(
    profile: KeyProfile,
    nonce: Uint8Array,
    ciphertext: Uint8Array,
  ): Uint8Array | undefined {
    return this.#aead[profile - 1]!.open(nonce, profile === 2 ? this.#peerAad : NO_AAD, ciphertext)
  }

  #addPrefix(prefix: number): { prefix: number; window: ReplayWindow } {
    const entry = { prefix, window: new ReplayWindow() }
    this.#windows.unshift(entry)
    if (this.#windows.length > PREFIXES_MAX) this.#retired.add(this.#windows.pop()!.prefix)
    return entry
  }

  #isAheadOfOurs(high: number, low: number): boolean {
    return high > this.#counterHigh || (high === this.#counterHigh && low > this.#counterLow)
  }

  #redrawPrefix(): void {
    this.#nonce.set(this.#crypto.random(4))
    this.#counterHigh = 0
    this.#counterLow = 0
  }

  hasPeerKey(publicKey: Uint8Array): boolean {
    return equals(this.peerPublicKey, publicKey)
  }
}

function uint32(value: number): Uint8Array {
  const out = new Uint8Array(4)
  put32(out, 0, value)
  return out
}

function put32(out: Uint8Array, at: number, value: number): void {
  out[at] = value >>> 24
  out[at + 1] = value >>> 16
  out[at + 2] = value >>> 8
  out[at + 3] = value
}

function get32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  )
}
