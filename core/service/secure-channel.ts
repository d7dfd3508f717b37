/**
 * One side of a secure channel (spec/07 §3) as a machine: bytes of the stream in, bytes and plaintext out. Nothing on
 * the wire tells versions apart, so by default each side finds out: ours know each other by the highest bit of the
 * X25519 key, which every implementation ignores (RFC 7748 §5), others by what they do (spec/10 §13).
 */
import { concat } from '../bytes.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import { NetworkError, PilotError, SecurityError } from '../errors.ts'
import type { Instant } from '../machine.ts'
import { ByteCollector } from './byte-collector.ts'
import {
  type AuthNonces,
  decodeSecureAuth,
  encodeSecureAuth,
  isFreshAuth,
  type OpenedFrame,
  openSecureFrame,
  otherRole,
  SECURE_AUTH_BYTES,
  SECURE_FRAME_BYTES_MAX,
  SECURE_KEY_BYTES,
  SECURE_PLAINTEXT_BYTES_MAX,
  type SecureAuth,
  type SecureRole,
  type SecureVersion,
  sealSecureFrame,
  secureAuthMessage,
  secureKey,
} from './secure-keys.ts'

/** `auto`: the later version with proofs where the peer has them, else what it speaks. */
export type SecureMode = 'auto' | 'v1' | 'v2' | 'v2-auth'

export interface SecureChannelOptions {
  readonly role: SecureRole
  readonly mode: SecureMode
  /** Its `aead` must be synchronous. */
  readonly crypto: CryptoProvider
  /** Node at the other end of the stream: who proves to be another is refused. */
  readonly peerNodeId: number
  /** This node, when it can sign. Without, `auto` finds out between `v1` and `v2`. */
  readonly nodeId?: number
  readonly nonces?: AuthNonces
  readonly now: Instant
  /** For tests; random otherwise. */
  readonly privateKey?: Uint8Array
  readonly authNonce?: Uint8Array
}

/**
 * - `sign`: call `authMessage`, sign that with the node's identity, and hand it to `authenticate`.
 * - `verify`: hand the peer's Ed25519 key to `verifyPeer`. No input is taken meanwhile.
 * - `open`: what is written leaves from now on. `isProven`: the peer showed that it speaks this version.
 * - `failed`: last.
 */
export type SecureEvent =
  | { readonly type: 'sign' }
  | { readonly type: 'verify' }
  | {
      readonly type: 'open'
      readonly version: SecureVersion
      readonly isAuthenticated: boolean
      readonly isProven: boolean
    }
  | { readonly type: 'data'; readonly data: Uint8Array }
  | { readonly type: 'failed'; readonly error: PilotError }

/** For keys and proofs. */
const HANDSHAKE_MS = 10_000
/** A reference server that proves itself does so at once; one that says nothing does not. */
const CLIENT_DETECT_MS = 1000
/** A reference client that waits for our proof says nothing. */
const SERVER_DETECT_MS = 2000
/** Written before the version is known. */
const HELD_BYTES_MAX = 4 * 1024 * 1024
const MARK = 0x80

type State = 'keys' | 'detecting' | 'proving' | 'open' | 'over'
type Sealing = {
  readonly version: SecureVersion
  readonly aead: ReturnType<CryptoProvider['aead']>
}

export class SecureChannel {
  readonly #options: SecureChannelOptions
  readonly #privateKey: Uint8Array
  readonly #publicKey: Uint8Array
  #peerKey: Uint8Array = new Uint8Array(0)
  #state: State = 'keys'
  readonly #versions = new Map<SecureVersion, Sealing>()
  #sealing: Sealing | undefined
  #isProven = false
  #isAuthenticated = false
  #deadlineAt: Instant | undefined
  #detectAt: Instant | undefined

  readonly #bytes = new ByteCollector()
  #part: 'key' | 'length' | 'body' = 'key'
  #chunks: Uint8Array[] = []
  #received = 0n
  #sent = 0n
  #held: Uint8Array[] = []
  #heldBytes = 0

  /** Bytes of the peer's proof, which may come in several frames. */
  #proof: Uint8Array = new Uint8Array(0)
  #peerAuth: SecureAuth | undefined
  #ownAuth: Omit<SecureAuth, 'signature'> | undefined
  #isVerified = false
  #isSigned = false
  #isVerifying = false
  /** Our proof left because the client was silent: that it wants one is a guess. */
  #isOffered = false

  #transmits: Uint8Array[] = []
  #events: SecureEvent[] = []

  constructor(options: SecureChannelOptions) {
    this.#options = options
    const { crypto, now, role } = options
    if (options.mode === 'v2-auth' && options.nodeId === undefined)
      throw new SecurityError('ERR_SECURE_AUTH', 'v2-auth needs an identity to sign with')
    this.#privateKey = options.privateKey ?? crypto.random(32)
    this.#publicKey = crypto.x25519PublicKey(this.#privateKey)
    this.#bytes.expect(SECURE_KEY_BYTES)
    this.#deadlineAt = now + HANDSHAKE_MS
    if (role === 'client') {
      if (this.#canProve) this.#publicKey[31]! |= MARK
      this.#transmits.push(this.#publicKey)
    }
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }
  /** False while a peer's key is being looked up: stop reading the stream. */
  get wantsInput(): boolean {
    return !this.#isVerifying && this.#state !== 'over'
  }
  /** The peer showed its version: by a frame that opened. */
  get isProven(): boolean {
    return this.#isProven
  }
  /** Bytes that wait for the version to be known. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  /** Bytes of the stream. */
  handleData(chunk: Uint8Array, now: Instant): void {
    this.#chunks.push(chunk)
    this.#run(now)
  }

  /** The stream ended: a failure unless the channel was open and between two frames. */
  handleEnd(): void {
    if (this.#state === 'over') return
    const isClean = this.#state === 'open' && this.#part === 'length' && !this.#bytes.isPartial
    if (isClean) {
      this.#state = 'over'
      this.#deadlineAt = this.#detectAt = undefined
      return
    }
    this.#fail(
      this.#options.mode === 'v1' || this.#options.mode === 'v2'
        ? 'the peer closed within a frame'
        : 'the peer closed before the channel was open; it may speak another version',
    )
  }

  /**
   * One frame, or several beyond 16 MiB; held while the version is not known.
   *
   * @throws {PilotError} `ERR_CONNECTION_CLOSED` when it is over, `ERR_LIMIT` above 4 MiB held.
   */
  write(plaintext: Uint8Array): void {
    if (this.#state === 'over')
      throw new NetworkError('ERR_CONNECTION_CLOSED', 'the secure channel is over')
    if (this.#state !== 'open') {
      if (this.#heldBytes + plaintext.length > HELD_BYTES_MAX)
        throw new PilotError('ERR_LIMIT', 'too much was written before the channel was open')
      this.#held.push(plaintext.slice())
      this.#heldBytes += plaintext.length
      return
    }
    for (let at = 0; at === 0 || at < plaintext.length; at += SECURE_PLAINTEXT_BYTES_MAX)
      this.#seal(plaintext.subarray(at, at + SECURE_PLAINTEXT_BYTES_MAX))
  }

  /** What to sign, after `sign`. */
  authMessage(unixSeconds: number): Uint8Array {
    const { crypto, nodeId = 0, authNonce } = this.#options
    this.#ownAuth = { nodeId, unixSeconds, nonce: authNonce ?? crypto.random(16) }
    return secureAuthMessage(this.#ownAuth, this.#publicKey)
  }

  /** The signature over `authMessage`. */
  authenticate(signature: Uint8Array): void {
    if (this.#state === 'over' || this.#ownAuth === undefined || this.#isSigned) return
    this.#isSigned = true
    this.#sealing = this.#versions.get('v2')
    this.#seal(encodeSecureAuth({ ...this.#ownAuth, signature }))
    this.#openIfProven()
  }

  /** The peer's registered Ed25519 key, after `verify`; `undefined` when it cannot be learned. */
  verifyPeer(publicKey: Uint8Array | undefined, unixSeconds: number, now: Instant): void {
    const auth = this.#peerAuth
    if (!this.#isVerifying || auth === undefined || this.#state === 'over') return
    this.#isVerifying = false
    const { crypto, nonces, peerNodeId, role } = this.#options
    if (publicKey === undefined) return this.#refuse('its key is not known')
    if (auth.nodeId !== peerNodeId)
      return this.#refuse(`it says to be node ${auth.nodeId}, the stream is of ${peerNodeId}`)
    if (!isFreshAuth(auth, unixSeconds)) return this.#refuse('its clock differs by more than 5 s')
    const message = secureAuthMessage(auth, this.#peerKey)
    if (!crypto.ed25519Verify(publicKey, message, auth.signature))
      return this.#refuse('its signature is wrong')
    // Behind the signature, so that nobody else can use up a value.
    if (nonces !== undefined && !nonces.take(auth.nonce, now)) return this.#refuse('it is a replay')
    this.#isVerified = true
    // The server proves itself first (spec/07 §3.3).
    if (role === 'client') this.#events.push({ type: 'sign' })
    this.#openIfProven()
    this.#run(now)
  }

  handleTimeout(now: Instant): void {
    if (this.#detectAt !== undefined && now >= this.#detectAt) this.#detected()
    if (this.#deadlineAt !== undefined && now >= this.#deadlineAt)
      this.#fail('the peer did not finish the handshake in 10 s')
  }

  pollTimeout(): Instant | undefined {
    if (this.#detectAt === undefined) return this.#deadlineAt
    return Math.min(this.#detectAt, this.#deadlineAt ?? this.#detectAt)
  }

  pollTransmit(): Uint8Array | undefined {
    return this.#transmits.shift()
  }

  pollEvent(): SecureEvent | undefined {
    return this.#events.shift()
  }

  get #canProve(): boolean {
    const { mode, nodeId } = this.#options
    return mode === 'auto' && nodeId !== undefined
  }

  #run(now: Instant): void {
    while (this.wantsInput) {
      const chunk = this.#chunks[0]
      if (chunk !== undefined) {
        const taken = this.#bytes.push(chunk, 0)
        if (taken === chunk.length) this.#chunks.shift()
        else this.#chunks[0] = chunk.subarray(taken)
      }
      if (!this.#bytes.isComplete) {
        if (this.#chunks.length === 0) return
        continue
      }
      const bytes = this.#bytes.take()
      if (this.#part === 'key') {
        this.#expect('length', 4)
        this.#handleKey(bytes, now)
      } else if (this.#part === 'length') {
        const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
        if (length < 12 || length > SECURE_FRAME_BYTES_MAX)
          return this.#fail(`a frame of ${length} bytes; that is no secure channel`)
        this.#expect('body', length)
      } else {
        this.#expect('length', 4)
        this.#handleFrame(bytes, now)
      }
    }
  }

  #expect(part: 'length' | 'body', length: number): void {
    this.#part = part
    this.#bytes.expect(length)
  }

  #handleKey(key: Uint8Array, now: Instant): void {
    const { crypto, mode, role } = this.#options
    this.#peerKey = key.slice()
    const isOurs = this.#canProve && (key[31]! & MARK) !== 0
    if (role === 'server') {
      if (isOurs) this.#publicKey[31]! |= MARK
      this.#transmits.push(this.#publicKey)
    }
    const point = key.slice()
    point[31]! &= ~MARK
    const shared = crypto.x25519(this.#privateKey, point)
    if (shared === undefined) return this.#fail('the peer sent a key of low order')
    const versions: SecureVersion[] =
      mode === 'v1' ? ['v1'] : mode === 'auto' && !isOurs ? ['v2', 'v1'] : ['v2']
    for (const version of versions)
      this.#versions.set(version, {
        version,
        aead: crypto.aead(secureKey(crypto, version, shared)),
      })
    if (mode === 'v1' || mode === 'v2') this.#open(mode)
    else if (mode === 'v2-auth' || isOurs) this.#prove()
    else {
      this.#state = 'detecting'
      this.#deadlineAt = undefined
      this.#detectAt = now + (role === 'client' ? CLIENT_DETECT_MS : SERVER_DETECT_MS)
    }
  }

  /** Proofs go over version 2; the server's first. */
  #prove(): void {
    this.#state = 'proving'
    if (this.#options.role === 'server') this.#events.push({ type: 'sign' })
  }

  /** The peer was silent. */
  #detected(): void {
    this.#detectAt = undefined
    if (this.#state !== 'detecting') return
    if (this.#options.role === 'server' && this.#canProve) {
      // It waits for our proof, as clients of the reference in authenticated mode do.
      this.#isOffered = true
      this.#prove()
    } else this.#open('v2')
  }

  #handleFrame(body: Uint8Array, now: Instant): void {
    const frame = this.#openFrame(body)
    if (frame === undefined) {
      this.#fail(
        this.#isProven
          ? 'a frame does not authenticate'
          : 'the first frame does not authenticate: the peer speaks another version',
      )
      return
    }
    if (frame.counter <= this.#received) return this.#fail('a frame came twice or out of order')
    this.#received = frame.counter
    switch (this.#state) {
      case 'detecting':
        this.#detectAt = undefined
        if (this.#looksLikeProof(frame.plaintext)) {
          this.#prove()
          this.#deadlineAt = now + HANDSHAKE_MS
          this.#handleProof(frame.plaintext)
        } else {
          this.#open(this.#sealing!.version)
          this.#deliver(frame.plaintext)
        }
        return
      case 'proving':
        if (this.#isOffered && this.#proof.length === 0 && !this.#isProofOfPeer(frame.plaintext)) {
          this.#open(this.#sealing!.version)
          this.#deliver(frame.plaintext)
        } else this.#handleProof(frame.plaintext)
        return
      case 'open':
        this.#deliver(frame.plaintext)
    }
  }

  /** With the version that is known, or the first under which it opens. */
  #openFrame(body: Uint8Array): OpenedFrame | undefined {
    const role = otherRole(this.#options.role)
    for (const sealing of this.#versions.values()) {
      const frame = openSecureFrame({ ...sealing, role }, body)
      if (frame === undefined) continue
      if (!this.#isProven) {
        this.#isProven = true
        this.#sealing = sealing
        this.#versions.clear()
        this.#versions.set(sealing.version, sealing)
      }
      return frame
    }
    return undefined
  }

  /** A reference server in authenticated mode begins with a proof, and nothing announces it. */
  #looksLikeProof(plaintext: Uint8Array): boolean {
    return this.#options.role === 'client' && this.#canProve && this.#isProofOfPeer(plaintext)
  }

  #isProofOfPeer(plaintext: Uint8Array): boolean {
    return (
      this.#sealing?.version === 'v2' &&
      plaintext.length === SECURE_AUTH_BYTES &&
      decodeSecureAuth(plaintext).nodeId === this.#options.peerNodeId
    )
  }

  #handleProof(plaintext: Uint8Array): void {
    this.#proof = concat(this.#proof, plaintext)
    if (this.#proof.length < SECURE_AUTH_BYTES) return
    this.#peerAuth = decodeSecureAuth(this.#proof.slice(0, SECURE_AUTH_BYTES))
    // The reference takes data behind the proof in one frame too.
    this.#proof = this.#proof.slice(SECURE_AUTH_BYTES)
    this.#isVerifying = true
    this.#events.push({ type: 'verify' })
  }

  #openIfProven(): void {
    if (!this.#isVerified || !this.#isSigned || this.#state !== 'proving') return
    this.#isAuthenticated = true
    this.#open('v2')
    this.#deliver(this.#proof)
  }

  #open(version: SecureVersion): void {
    this.#sealing = this.#versions.get(version)
    this.#state = 'open'
    this.#deadlineAt = this.#detectAt = undefined
    this.#events.push({
      type: 'open',
      version,
      isAuthenticated: this.#isAuthenticated,
      isProven: this.#isProven,
    })
    const held = this.#held
    this.#held = []
    this.#heldBytes = 0
    for (const plaintext of held) this.write(plaintext)
  }

  #deliver(data: Uint8Array): void {
    if (data.length > 0) this.#events.push({ type: 'data', data })
  }

  #seal(plaintext: Uint8Array): void {
    const { role } = this.#options
    this.#transmits.push(sealSecureFrame({ ...this.#sealing!, role }, ++this.#sent, plaintext))
  }

  #refuse(reason: string): void {
    this.#end(new SecurityError('ERR_SECURE_AUTH', `the peer did not prove who it is: ${reason}`))
  }

  #fail(reason: string): void {
    this.#end(new NetworkError('ERR_SECURE_CHANNEL', `secure channel: ${reason}`))
  }

  #end(error: PilotError): void {
    if (this.#state === 'over') return
    this.#state = 'over'
    this.#deadlineAt = this.#detectAt = undefined
    this.#chunks = []
    this.#held = []
    this.#heldBytes = 0
    this.#events.push({ type: 'failed', error })
  }
}
