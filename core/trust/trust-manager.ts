/**
 * Decides trust: what a message or a user's word changes, and what has to be told to whom (spec/03 §D).
 * A message counts only when it is signed under the registered key of the authenticated tunnel peer it
 * names as sender; accepts and rejects only while a request of ours is out.
 */
import { toBase64 } from '../bytes.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import { SecurityError } from '../errors.ts'
import type { Signer } from '../identity/signer.ts'
import {
  createHandshakeMessage,
  type HandshakeMessage,
  type HandshakeType,
  verifyHandshakeMessage,
} from './handshake-message.ts'
import type { PendingRecord, TrustedRecord, TrustStore } from './trust-store.ts'

/** Clock skew allowed (spec/03 §D.2). */
const AGE_MAX_SECONDS = 300
const FUTURE_MAX_SECONDS = 30
/** A reject may concern the request before: an accept counts so long after ours, whatever came between. */
const ACCEPT_SECONDS = 60
/** How far our own timestamps may run ahead of the clock. */
const AHEAD_MAX_SECONDS = 15
/** Requests and rejects travel two ways, stream and registry: the copy that comes within this says nothing new. */
const COPY_SECONDS = 60
/** Newest messages remembered, per peer and type; likewise the other memories of peers. */
const SEEN_MAX = 8192

export type TrustEvent =
  /** Sign `message` and deliver it to the peer's port 444; `type` tells what to do when that fails. */
  | {
      readonly type: 'send'
      readonly peerId: number
      readonly kind: HandshakeType
      readonly message: HandshakeMessage
      readonly text: string
    }
  | { readonly type: 'report'; readonly peerId: number }
  | { readonly type: 'respond'; readonly peerId: number; readonly accept: boolean }
  | { readonly type: 'revoke'; readonly peerId: number }
  /** Learn the peer's key, then call `setPeerKey`. */
  | { readonly type: 'lookup'; readonly peerId: number }
  | { readonly type: 'drop-tunnel'; readonly peerId: number }
  /** The store changed: write it to disk. */
  | { readonly type: 'changed' }
  | { readonly type: 'requested'; readonly peerId: number; readonly justification: string }
  | { readonly type: 'established'; readonly peerId: number; readonly mutual: boolean }
  | { readonly type: 'rejected'; readonly peerId: number; readonly reason: string }
  | { readonly type: 'revoked'; readonly peerId: number }

export type HandshakeVerdict = 'applied' | 'ignored' | 'invalid'

export interface TrustManagerOptions {
  readonly crypto: CryptoProvider
  readonly identity: Pick<Signer, 'publicKey'>
  readonly nodeId: number
  readonly store: TrustStore
  /** Trust whoever asks, as `-trust-auto-approve` of later references. */
  readonly autoApprove?: boolean
}

export class TrustManager {
  readonly store: TrustStore
  readonly #options: TrustManagerOptions
  readonly #seen = new Map<string, Seen>()
  /** The last request and the last reject of each peer, until its copy has come the other way. */
  readonly #arrived = new Map<string, Arrival>()
  /** When we last asked a peer, until there is trust or an end of it; Unix seconds. */
  readonly #requested = new Map<number, number>()
  /** Timestamp of the last message, by peer. */
  readonly #stamped = new Map<number, number>()
  #events: TrustEvent[] = []

  constructor(options: TrustManagerOptions) {
    this.#options = options
    this.store = options.store
  }

  isTrusted(nodeId: number): boolean {
    return this.store.getTrusted(nodeId) !== undefined
  }

  /** Pinned key of a trusted peer, base64. */
  pinnedKey(nodeId: number): string | undefined {
    const key = this.store.getTrusted(nodeId)?.publicKey
    return key === '' ? undefined : key
  }

  /**
   * A trusted peer is asked too: it may have ended the trust while we were away. If it has not, it answers
   * with an accept that changes nothing.
   *
   * @throws {UsageError} `ERR_INVALID_ARGUMENT` for a justification above 700 bytes.
   */
  request(peerId: number, justification: string, unixSeconds: number): 'sent' | 'already_trusted' {
    this.#send(peerId, 'handshake_request', justification, unixSeconds)
    if (this.isTrusted(peerId)) return 'already_trusted'
    this.store.addOutgoing({ nodeId: peerId, sentAt: unixSeconds })
    remember(this.#requested, peerId, unixSeconds)
    this.#events.push({ type: 'changed' })
    return 'sent'
  }

  /** @throws {SecurityError} `ERR_NOT_PENDING`. */
  approve(peerId: number, unixSeconds: number): void {
    const pending = this.#pendingOf(peerId)
    this.#establish(peerId, pending.publicKey, false, unixSeconds)
    this.#events.push({ type: 'respond', peerId, accept: true })
    this.#send(peerId, 'handshake_accept', '', unixSeconds)
  }

  /** @throws {SecurityError} `ERR_NOT_PENDING`. */
  reject(peerId: number, reason: string, unixSeconds: number): void {
    this.#pendingOf(peerId)
    this.#send(peerId, 'handshake_reject', reason, unixSeconds)
    this.store.removePending(peerId)
    this.#events.push({ type: 'changed' }, { type: 'respond', peerId, accept: false })
  }

  /** @throws {SecurityError} `ERR_NOT_TRUSTED`. */
  revoke(peerId: number, unixSeconds: number): void {
    if (!this.store.removeTrusted(peerId))
      throw new SecurityError('ERR_NOT_TRUSTED', `node ${peerId} was not trusted`)
    this.store.removePending(peerId)
    this.#send(peerId, 'handshake_revoke', 'trust revoked', unixSeconds)
    this.#events.push({ type: 'changed' }, { type: 'revoke', peerId }, { type: 'revoked', peerId })
  }

  /**
   * A message from the authenticated tunnel peer `peerId` whose registered key is `peerKey`.
   * `invalid` ones changed nothing and should be counted.
   */
  handleMessage(
    message: HandshakeMessage,
    peerId: number,
    peerKey: Uint8Array,
    unixSeconds: number,
  ): HandshakeVerdict {
    const { crypto, nodeId } = this.#options
    if (message.nodeId !== peerId || peerId === nodeId) return 'invalid'
    const age = unixSeconds - message.timestamp
    if (age > AGE_MAX_SECONDS || age < -FUTURE_MAX_SECONDS) return 'invalid'
    if (!verifyHandshakeMessage(crypto, message, nodeId, peerKey)) return 'invalid'
    const seenKey = `${peerId}:${message.type}`
    if (isOld(message, this.#seen.get(seenKey))) return 'ignored'
    const { timestamp, justification } = message
    remember(this.#seen, seenKey, { timestamp, justification })
    const key = toBase64(peerKey)
    switch (message.type) {
      case 'handshake_request':
        return this.#handleRequest(peerId, key, message.justification, unixSeconds)
      case 'handshake_accept':
        return this.#handleAccept(peerId, key, unixSeconds)
      case 'handshake_reject':
        return this.#handleReject(peerId, message.reason, true, unixSeconds)
      case 'handshake_revoke':
        return this.#handleRevoke(peerId)
    }
  }

  /** A request the registry relayed: no key and no signature of the sender came with it. */
  handlePolledRequest(peerId: number, justification: string, unixSeconds: number): void {
    if (peerId === this.#options.nodeId) return
    this.#handleRequest(peerId, '', justification, unixSeconds)
  }

  /** An answer the registry relayed; only counts while we asked (spec/03 §D.8). */
  handlePolledResponse(peerId: number, accept: boolean, unixSeconds: number): void {
    if (accept) this.#handleAccept(peerId, '', unixSeconds)
    else this.#handleReject(peerId, '', false, unixSeconds)
  }

  /** The registered key of a peer that was trusted without one: pinned from now on. */
  setPeerKey(peerId: number, publicKey: string): void {
    const record = this.store.getTrusted(peerId)
    if (record === undefined || record.publicKey !== '') return
    this.store.trust({ ...record, publicKey })
    this.#events.push({ type: 'changed' })
  }

  /** The peer has another key, and has proven it with the one that was pinned. */
  replacePeerKey(peerId: number, publicKey: string): void {
    const record = this.store.getTrusted(peerId)
    if (record === undefined) return
    this.store.trust({ ...record, publicKey })
    this.#events.push({ type: 'changed' })
  }

  pollEvent(): TrustEvent | undefined {
    return this.#events.shift()
  }

  #handleRequest(peerId: number, key: string, text: string, unixSeconds: number): HandshakeVerdict {
    const justification = cleanText(text)
    const arrival = { isDirect: key !== '', text: justification, at: unixSeconds }
    const isCopy = this.#isCopy(`${peerId}:request`, arrival)
    const trusted = this.store.getTrusted(peerId)
    if (trusted !== undefined) {
      // It forgot, or never heard: say it again on both ways.
      if (key !== '' && trusted.publicKey !== '' && trusted.publicKey !== key) return 'invalid'
      this.#events.push({ type: 'respond', peerId, accept: true })
      this.#send(peerId, 'handshake_accept', '', unixSeconds)
      return 'applied'
    }
    if (this.store.hasOutgoing(peerId) || this.#options.autoApprove === true) {
      this.#establish(peerId, key, this.store.hasOutgoing(peerId), unixSeconds)
      this.#events.push({ type: 'respond', peerId, accept: true })
      this.#send(peerId, 'handshake_accept', '', unixSeconds)
      return 'applied'
    }
    const known = this.store.getPending(peerId)
    // What people have decided since stands.
    if (known === undefined && isCopy) return 'ignored'
    if (
      known !== undefined &&
      known.justification === justification &&
      (key === '' || known.publicKey === key)
    )
      return 'ignored'
    this.store.addPending({
      nodeId: peerId,
      publicKey: key !== '' ? key : (known?.publicKey ?? ''),
      justification,
      receivedAt: unixSeconds,
    })
    this.#events.push({ type: 'changed' })
    if (known === undefined) this.#events.push({ type: 'requested', peerId, justification })
    return 'applied'
  }

  #isCopy(key: string, arrival: Arrival): boolean {
    const last = this.#arrived.get(key)
    const isCopy =
      last !== undefined &&
      last.isDirect !== arrival.isDirect &&
      last.text === arrival.text &&
      arrival.at - last.at < COPY_SECONDS
    if (isCopy) this.#arrived.delete(key)
    else remember(this.#arrived, key, arrival)
    return isCopy
  }

  #handleAccept(peerId: number, key: string, unixSeconds: number): HandshakeVerdict {
    const requestedAt = this.#requested.get(peerId) ?? Number.NEGATIVE_INFINITY
    const isRecent = unixSeconds - requestedAt < ACCEPT_SECONDS
    if (!this.store.hasOutgoing(peerId) && !isRecent) return 'ignored'
    this.#establish(peerId, key, true, unixSeconds)
    return 'applied'
  }

  #handleReject(
    peerId: number,
    reason: string,
    isDirect: boolean,
    unixSeconds: number,
  ): HandshakeVerdict {
    // Only the direct one tells a reason. A late copy must not end what we have asked since.
    const arrival = { isDirect, text: '', at: unixSeconds }
    if (this.#isCopy(`${peerId}:reject`, arrival)) return 'ignored'
    if (!this.store.removeOutgoing(peerId)) return 'ignored'
    this.#events.push({ type: 'changed' }, { type: 'rejected', peerId, reason: cleanText(reason) })
    return 'applied'
  }

  #handleRevoke(peerId: number): HandshakeVerdict {
    const had = this.store.removeTrusted(peerId)
    if (!this.store.removePending(peerId) && !had) return 'ignored'
    this.#events.push({ type: 'changed' })
    if (had)
      this.#events.push(
        { type: 'revoke', peerId },
        { type: 'drop-tunnel', peerId },
        { type: 'revoked', peerId },
      )
    return 'applied'
  }

  #establish(peerId: number, publicKey: string, mutual: boolean, unixSeconds: number): void {
    const record: TrustedRecord = {
      nodeId: peerId,
      publicKey,
      approvedAt: unixSeconds,
      mutual,
      network: 0,
    }
    this.store.trust(record)
    this.#requested.delete(peerId)
    this.#events.push(
      { type: 'changed' },
      { type: 'report', peerId },
      { type: 'established', peerId, mutual },
    )
    if (publicKey === '') this.#events.push({ type: 'lookup', peerId })
  }

  #send(peerId: number, kind: HandshakeType, text: string, unixSeconds: number): void {
    const { identity, nodeId } = this.#options
    const content = { type: kind, text, timestamp: this.#stamp(peerId, unixSeconds) }
    const message = createHandshakeMessage(identity.publicKey, nodeId, content)
    this.#events.push({ type: 'send', peerId, kind, message, text })
  }

  /** Two messages of one second would be taken for a replay (spec/03 §D.7): the later one runs ahead. */
  #stamp(peerId: number, unixSeconds: number): number {
    const last = this.#stamped.get(peerId) ?? 0
    const next = last >= unixSeconds ? last + 1 : unixSeconds
    const stamp = Math.min(next, unixSeconds + AHEAD_MAX_SECONDS)
    remember(this.#stamped, peerId, stamp)
    return stamp
  }

  #pendingOf(peerId: number): PendingRecord {
    const pending = this.store.getPending(peerId)
    if (pending === undefined)
      throw new SecurityError('ERR_NOT_PENDING', `no trust request of node ${peerId} is waiting`)
    return pending
  }
}

type Seen = Pick<HandshakeMessage, 'timestamp' | 'justification'>

interface Arrival {
  readonly isDirect: boolean
  readonly text: string
  /** Unix seconds. */
  readonly at: number
}

/**
 * Earlier than the newest of its type, or the same request again. References count whole seconds, so two of
 * one second both count: whatever comes is from the peer itself, and the others change nothing by repetition.
 */
function isOld(message: HandshakeMessage, newest: Seen | undefined): boolean {
  if (newest === undefined || message.timestamp > newest.timestamp) return false
  if (message.timestamp < newest.timestamp) return true
  return message.type === 'handshake_request' && message.justification === newest.justification
}

/** Puts the entry last and drops the oldest above the cap. */
function remember<K, V>(map: Map<K, V>, key: K, value: V): void {
  map.delete(key)
  map.set(key, value)
  for (const oldest of map.keys()) {
    if (map.size <= SEEN_MAX) return
    map.delete(oldest)
  }
}

/** No control characters, at most 1024 UTF-16 units: what a stranger writes is shown to people. */
function cleanText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is the point
  return text.slice(0, 1024).replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, ' ')
}
