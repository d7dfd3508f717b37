/**
 * The encrypted tunnel to one peer: which session seals, which open, and when a key exchange is due
 * (spec/01 §7.4). It is told key exchanges only after their identity was verified. Where frames travel
 * is the path selector's business.
 */
import type { CryptoProvider, SealJob } from '../crypto/provider.ts'
import type { Instant } from '../machine.ts'
import { KEY_EXCHANGE_FLAG, type KeyExchangeFrame, SEALED_HEADER_BYTES } from '../wire/frame.ts'
import type { LocalKeys } from './local-keys.ts'
import { type KeyProfile, type OpenAttempt, type OpenResult, Session } from './session.ts'

/** Waits between key exchange requests while something wants to be sent; the last one repeats. */
const RETRY_MS = [500, 1000, 2000, 4000] as const
/** An announcement of a known key is answered at most this often. */
const ANSWER_INTERVAL_MS = 1000
/** Recovery: how often an undecryptable frame of this peer is answered with a request. */
const RECOVERY_INTERVAL_MS = 3000
/** A changed key replaces a session that opened frames before, once that is silent for so long. */
const CANDIDATE_TAKEOVER_MS = 3000
/** Frames under the session before this one are still opened for so long. */
const PREVIOUS_LIFETIME_MS = 10_000

export interface TunnelOptions {
  readonly crypto: CryptoProvider
  readonly nodeId: number
  readonly peerId: number
  readonly localKeys: LocalKeys
}

export type KeyExchangeVerdict = 'installed' | 'known' | 'rejected'

export class Tunnel {
  readonly #options: TunnelOptions
  #localKeys: LocalKeys
  #current: Session | undefined
  /** A changed key of the peer that no frame has confirmed yet: a replayed announcement stays here. */
  #candidate: Session | undefined
  #previous: { session: Session; until: Instant } | undefined
  #profile: KeyProfile | undefined
  #lastSealer: Session | undefined
  /** When and how often a request went out since the tunnel was last keyed or abandoned. */
  #requests = 0
  #nextRequestAt: Instant | undefined
  #lastAnswerAt = Number.NEGATIVE_INFINITY
  #lastRequestAt = Number.NEGATIVE_INFINITY
  #lastRecoveryAt = Number.NEGATIVE_INFINITY
  /** Frame to send as soon as possible, and why it may be sent without waiting. */
  #due: 'request' | 'response' | undefined

  constructor(options: TunnelOptions) {
    this.#options = options
    this.#localKeys = options.localKeys
  }

  get isKeyed(): boolean {
    return this.#current !== undefined
  }

  /** True once a frame of the peer has authenticated under the present keys. */
  get isConfirmed(): boolean {
    return this.#current?.openedAt !== undefined
  }

  get openedAt(): Instant | undefined {
    return this.#current?.openedAt
  }

  get profile(): KeyProfile | undefined {
    return this.#current?.profile ?? this.#profile
  }

  /** True while a changed peer key waits for confirmation: a probe under it settles the matter. */
  get hasCandidate(): boolean {
    return this.#candidate !== undefined
  }

  /** Something wants to be sent: starts the request schedule unless keyed or already running. */
  want(now: Instant): void {
    if (this.#current !== undefined || this.#nextRequestAt !== undefined) return
    this.#requests = 0
    this.#nextRequestAt = now
  }

  /** Nothing waits for keys any more. */
  unwant(): void {
    this.#nextRequestAt = undefined
  }

  /** A keyed peer is silent, or cannot decrypt: ask again now, rate limited. */
  requestAgain(now: Instant): void {
    if (now - this.#lastRequestAt < ANSWER_INTERVAL_MS) return
    this.#due = 'request'
  }

  /** A sealed frame of this peer did not open. */
  handleUndecryptable(now: Instant): void {
    if (now - this.#lastRecoveryAt < RECOVERY_INTERVAL_MS) return
    this.#lastRecoveryAt = now
    this.#due = 'request'
  }

  /** `frame` carries the peer's true identity key and a valid signature by it. */
  handleKeyExchange(frame: KeyExchangeFrame, now: Instant): KeyExchangeVerdict {
    const flags = frame.trailer?.flags ?? 0
    const isResponse = (flags & KEY_EXCHANGE_FLAG.response) !== 0
    if (frame.trailer !== undefined) this.#profile = 2
    for (const session of [this.#current, this.#candidate])
      if (session?.hasPeerKey(frame.publicKey)) {
        if (frame.trailer !== undefined) session.suggestProfile(2)
        this.#answerKnown(isResponse, now)
        return 'known'
      }
    const shared = this.#localKeys.agree(frame.publicKey)
    if (shared === undefined) return 'rejected'
    const session = this.#createSession(
      shared,
      frame.publicKey,
      frame.trailer === undefined ? undefined : 2,
      now,
    )
    if (this.#current?.openedAt === undefined) this.#install(session)
    else this.#candidate = session
    const weAsked = now - this.#lastRequestAt < CANDIDATE_TAKEOVER_MS
    if (!(isResponse && weAsked)) this.#due = 'response'
    return 'installed'
  }

  open(nonce: Uint8Array, ciphertext: Uint8Array, now: Instant): OpenResult {
    let verdict: OpenResult = 'forged'
    if (this.#current !== undefined) verdict = this.#current.open(nonce, ciphertext, now)
    if (verdict === 'forged' && this.#candidate !== undefined) {
      verdict = this.#candidate.open(nonce, ciphertext, now)
      if (verdict !== 'forged') this.#promote(now)
    }
    if (verdict === 'forged' && this.#previous !== undefined && now < this.#previous.until)
      verdict = this.#previous.session.open(nonce, ciphertext, now)
    return verdict
  }

  /** What `open` will try, in its order. */
  get openAttempts(): OpenAttempt[] {
    const sessions = [this.#current, this.#candidate, this.#previous?.session]
    return sessions.flatMap((session) => session?.openAttempts ?? [])
  }

  /** Left by the last `seal` where the AEAD answers later. */
  get sealJob(): SealJob | undefined {
    return this.#lastSealer?.sealJob
  }

  /**
   * Whether the next packet must be sealed twice, once per profile (spec/01 §6.1); `forProbe` as in `seal`.
   * The copy is sealed by `seal` with profile 1.
   */
  sealsTwice(forProbe: boolean): boolean {
    return this.#sealer(forProbe)?.sealsTwice ?? false
  }

  /**
   * Seals the packet at `buffer[offset + 20 ..]` in place, see `Session.seal`. A probe goes under an
   * unconfirmed key where there is one, so that the peer's answer confirms it. The tunnel must be keyed.
   */
  seal(
    buffer: Uint8Array,
    offset: number,
    packetBytes: number,
    now: Instant,
    forProbe = false,
    profile?: KeyProfile,
  ): number {
    this.#takeOver(now)
    const session = this.#sealer(forProbe)
    if (session === undefined) return 0
    this.#lastSealer = session
    const use = profile ?? (session.sealsTwice ? 2 : undefined)
    return session.seal(buffer, offset, packetBytes, use)
  }

  /** Own fresh keys for a peer that never acknowledges what it can verify (spec/01 §7.4, §12 b). */
  rotate(localKeys: LocalKeys, now: Instant): void {
    this.#localKeys = localKeys
    const current = this.#candidate ?? this.#current
    this.#candidate = undefined
    this.#due = 'request'
    if (current === undefined) return
    const shared = localKeys.agree(current.peerPublicKey)
    if (shared === undefined) return
    this.#previous = { session: current, until: now + PREVIOUS_LIFETIME_MS }
    this.#current = this.#createSession(shared, current.peerPublicKey, current.profile, now)
  }

  /** The key exchange frame that is due, if any. */
  pollKeyExchange(now: Instant): Uint8Array | undefined {
    const { announcements } = this.#localKeys
    if (this.#due === undefined || announcements === undefined) return undefined
    const due = this.#due
    this.#due = undefined
    if (due === 'request') this.#lastRequestAt = now
    else this.#lastAnswerAt = now
    return announcements[due]
  }

  get wantsTransmit(): boolean {
    return this.#due !== undefined && this.#localKeys.announcements !== undefined
  }

  handleTimeout(now: Instant): void {
    if (this.#nextRequestAt !== undefined && now >= this.#nextRequestAt) {
      this.#due = 'request'
      const wait = RETRY_MS[Math.min(this.#requests, RETRY_MS.length - 1)]!
      this.#requests++
      this.#nextRequestAt = now + wait
    }
    if (this.#previous !== undefined && now >= this.#previous.until) this.#previous = undefined
  }

  pollTimeout(): Instant | undefined {
    const request = this.#nextRequestAt
    const previous = this.#previous?.until
    if (request === undefined || previous === undefined) return request ?? previous
    return Math.min(request, previous)
  }

  #createSession(
    shared: Uint8Array,
    peerPublicKey: Uint8Array,
    profile: KeyProfile | undefined,
    now: Instant,
  ): Session {
    const { crypto, nodeId, peerId } = this.#options
    return new Session({
      crypto,
      shared,
      peerPublicKey,
      nodeId,
      peerId,
      profile: profile ?? this.profile,
      now,
    })
  }

  /**
   * A known key again, no answer to us: others announce it only while they have no keys of ours. A peer of
   * the reference that ended trust does so in the middle of everything, so neither having heard of it lately
   * nor having asked it says that it is well.
   */
  #answerKnown(isResponse: boolean, now: Instant): void {
    if (!isResponse && now - this.#lastAnswerAt >= ANSWER_INTERVAL_MS) this.#due = 'response'
  }

  #sealer(forProbe: boolean): Session | undefined {
    return (forProbe ? this.#candidate : undefined) ?? this.#current
  }

  #takeOver(now: Instant): void {
    const candidate = this.#candidate
    if (candidate === undefined || now - candidate.createdAt < CANDIDATE_TAKEOVER_MS) return
    if ((this.#current?.openedAt ?? 0) > candidate.createdAt) this.#candidate = undefined
    else this.#promote(now)
  }

  #promote(now: Instant): void {
    if (this.#candidate === undefined) return
    if (this.#current !== undefined)
      this.#previous = { session: this.#current, until: now + PREVIOUS_LIFETIME_MS }
    this.#install(this.#candidate)
  }

  #install(session: Session): void {
    this.#current = session
    this.#candidate = undefined
    this.#nextRequestAt = undefined
  }
}

/** Bytes in front of a packet that `seal` turns into a frame. */
export const SEAL_HEADROOM_BYTES: number = SEALED_HEADER_BYTES
