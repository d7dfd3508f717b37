/**
 * The secure channel of port 443 on a stream (spec/07 §3, spec/10 §13): what a program of ours dials and accepts, of
 * either version, with proofs of identity where both sides have them.
 */
import { fromBase64 } from '../../../core/bytes.ts'
import { PORT } from '../../../core/constants.ts'
import type { CryptoProvider } from '../../../core/crypto/provider.ts'
import { NetworkError, PilotError, SecurityError } from '../../../core/errors.ts'
import type { Signer } from '../../../core/identity/signer.ts'
import { SecureChannel, type SecureMode } from '../../../core/service/secure-channel.ts'
import { AuthNonces, type SecureVersion } from '../../../core/service/secure-keys.ts'
import type { Address, SocketAddress } from '../../../core/wire/address.ts'
import type { DialOptions, PilotConnection, PilotNode } from '../api.ts'
import { signed } from '../signed.ts'
import { AsyncStream } from './async-stream.ts'

export interface SecureOptions {
  /** Default `auto`. */
  readonly mode?: SecureMode
  /** Identity of the node: without it nothing is proven to the peer. */
  readonly identity?: Signer
  /** Only a peer that proved its identity is talked to. Default false. */
  readonly requireAuthentication?: boolean
}

/** What differs between runtimes. */
export interface SecurePlatform {
  /** With a synchronous `aead`. */
  readonly crypto: CryptoProvider
  /** Unix seconds, and a monotonic clock in ms. */
  readonly unixSeconds: () => number
  readonly now: () => number
  readonly setTimer: (work: () => void, ms: number) => () => void
}

export interface SecureInfo {
  readonly version: SecureVersion
  /** The peer proved to be the node that the stream comes from. */
  readonly isAuthenticated: boolean
}

/** What was written before the peer showed its version, to be written again under the other. */
const REPLAY_BYTES_MAX = 256 * 1024
const FRAME_BYTES = 64 * 1024
/** Unread plaintext above which the stream is not read. */
const UNREAD_BYTES_MAX = 1024 * 1024

const nonces = new AuthNonces()

/** An encrypted channel on a stream, and who the other end is. */
export class SecureConnection implements AsyncDisposable {
  /** Settles when the channel is open: on the listening side of `auto` when the client has spoken. */
  readonly opened: Promise<SecureInfo>
  readonly #node: PilotNode
  readonly #options: SecureOptions
  readonly #platform: SecurePlatform
  /** Dials again under the version before; absent when that is no choice. */
  readonly #redial: (() => Promise<PilotConnection>) | undefined
  #settle!: { resolve(info: SecureInfo): void; reject(error: PilotError): void }
  #stream: AsyncStream
  #channel: SecureChannel
  #info: SecureInfo | undefined
  #replay: Uint8Array[] | undefined
  #replayBytes = 0
  #data: Uint8Array[] = []
  #unreadBytes = 0
  #wake: (() => void)[] = []
  #error: PilotError | undefined
  #isEnded = false
  #isClosed = false
  #writing: Promise<void> = Promise.resolve()
  #stopTimer: () => void = () => {}

  constructor(
    node: PilotNode,
    connection: PilotConnection,
    role: 'client' | 'server',
    options: SecureOptions,
    platform: SecurePlatform,
    redial?: () => Promise<PilotConnection>,
  ) {
    this.#node = node
    this.#options = options
    this.#platform = platform
    this.#redial = redial
    this.#replay = redial === undefined ? undefined : []
    this.opened = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
    this.opened.catch(() => {})
    this.#stream = new AsyncStream(connection)
    this.#channel = this.#channelOf(connection, role, options.mode ?? 'auto')
    void this.#run()
  }

  /** Of the stream beneath. */
  get remote(): SocketAddress {
    return this.#stream.connection.remote
  }
  /** `undefined` until it is open. */
  get info(): SecureInfo | undefined {
    return this.#info
  }

  /** Next bytes; `undefined` at the end. @throws {PilotError} `ERR_SECURE_CHANNEL`, `ERR_SECURE_AUTH`. */
  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const data = this.#data.shift()
      if (data !== undefined) {
        this.#unreadBytes -= data.length
        this.#notify()
        return data
      }
      if (this.#error !== undefined) throw this.#error
      if (this.#isEnded) return undefined
      await this.#news()
    }
  }

  /**
   * Resolves when it is in the send buffer. Frames are 64 KiB at most.
   *
   * @throws {PilotError} `ERR_CONNECTION_CLOSED`, `ERR_SECURE_CHANNEL`, `ERR_SECURE_AUTH`.
   */
  async write(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length; at += FRAME_BYTES) {
      if (!this.#channel.isOpen) await this.opened
      if (this.#error !== undefined) throw this.#error
      if (this.#isClosed || this.#isEnded)
        throw new NetworkError('ERR_CONNECTION_CLOSED', 'the secure channel is closed')
      const frame = data.subarray(at, at + FRAME_BYTES)
      this.#remember(frame)
      this.#channel.write(frame)
      await this.#flush()
    }
  }

  /** What was written is delivered, then the stream ends. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#stopTimer()
    await this.#writing.catch(() => {})
    this.#stream.connection.close()
    this.#notify()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #channelOf(
    connection: PilotConnection,
    role: 'client' | 'server',
    mode: SecureMode,
  ): SecureChannel {
    const { crypto, now } = this.#platform
    return new SecureChannel({
      role,
      mode,
      crypto,
      peerNodeId: connection.remote.address.node,
      ...(this.#options.identity !== undefined && { nodeId: this.#node.nodeId }),
      nonces,
      now: now(),
    })
  }

  async #run(): Promise<void> {
    for (;;) {
      const problem = await this.#carry()
      if (this.#isClosed) return this.#end(undefined)
      if (!(await this.#fallBack())) return this.#end(problem)
    }
  }

  /** Moves bytes until the stream or the channel ends; the error of the latter. */
  async #carry(): Promise<PilotError | undefined> {
    const [stream, channel] = [this.#stream, this.#channel]
    let error = await this.#drain()
    while (error === undefined) {
      while (this.#unreadBytes >= UNREAD_BYTES_MAX && !this.#isClosed) await this.#news()
      const chunk = await stream.read()
      if (chunk === undefined) channel.handleEnd()
      else channel.handleData(chunk, this.#platform.now())
      error = await this.#drain()
      if (chunk === undefined) break
    }
    return error
  }

  /** Everything the channel has to say. */
  async #drain(): Promise<PilotError | undefined> {
    const { platform, channel } = { platform: this.#platform, channel: this.#channel }
    this.#push()
    for (let event = channel.pollEvent(); event !== undefined; event = channel.pollEvent())
      switch (event.type) {
        case 'sign':
          channel.authenticate(
            await signed(this.#options.identity!, channel.authMessage(platform.unixSeconds())),
          )
          this.#push()
          break
        case 'verify': {
          const key = await this.#keyOf(this.remote.address)
          channel.verifyPeer(key, platform.unixSeconds(), platform.now())
          break
        }
        case 'open': {
          const { version, isAuthenticated } = event
          if (this.#options.requireAuthentication === true && !isAuthenticated)
            return new SecurityError('ERR_SECURE_AUTH', 'the peer did not prove who it is')
          this.#info = { version, isAuthenticated }
          if (event.isProven) this.#replay = undefined
          this.#push()
          this.#settle.resolve(this.#info)
          break
        }
        case 'data':
          this.#replay = undefined
          this.#data.push(event.data)
          this.#unreadBytes += event.data.length
          this.#notify()
          break
        case 'failed':
          return event.error
      }
    this.#arm()
    return undefined
  }

  /** Reading does not wait for writing: two sides that both did would wait for each other. */
  #push(): void {
    this.#flush().catch(() => {})
  }

  #arm(): void {
    this.#stopTimer()
    const channel = this.#channel
    const at = channel.pollTimeout()
    if (at === undefined || this.#isClosed) return
    this.#stopTimer = this.#platform.setTimer(
      () => {
        channel.handleTimeout(this.#platform.now())
        if (channel !== this.#channel) return
        void this.#drain().then((error) => {
          if (error === undefined) return
          this.#end(error)
        })
      },
      Math.max(0, at - this.#platform.now()),
    )
  }

  /** In the order in which the channel sealed it. */
  #flush(): Promise<void> {
    const [stream, channel] = [this.#stream, this.#channel]
    this.#writing = this.#writing
      .catch(() => {})
      .then(async () => {
        for (
          let bytes = channel.pollTransmit();
          bytes !== undefined;
          bytes = channel.pollTransmit()
        )
          await stream.write(bytes)
      })
    return this.#writing
  }

  #remember(frame: Uint8Array): void {
    if (this.#replay === undefined || this.#channel.isProven) return
    this.#replayBytes += frame.length
    if (this.#replayBytes > REPLAY_BYTES_MAX) this.#replay = undefined
    else this.#replay.push(frame.slice())
  }

  /**
   * A peer that never showed its version and closed when we wrote speaks the older one: it opened nothing of what it
   * got, so saying it again says it once.
   */
  async #fallBack(): Promise<boolean> {
    const replay = this.#replay
    const isCandidate =
      this.#redial !== undefined &&
      replay !== undefined &&
      replay.length > 0 &&
      !this.#channel.isProven &&
      this.#options.requireAuthentication !== true
    this.#replay = undefined
    if (!isCandidate) return false
    try {
      const connection = await this.#redial()
      this.#stream.connection.reset()
      this.#stream = new AsyncStream(connection)
      this.#channel = this.#channelOf(connection, 'client', 'v1')
      for (const frame of replay) this.#channel.write(frame)
      return true
    } catch (error) {
      if (error instanceof PilotError) return false
      throw error
    }
  }

  /** The key that the registry, or trust, has for a node. */
  async #keyOf({ node }: Address): Promise<Uint8Array | undefined> {
    const trusted = this.#node.trust.trusted().find((peer) => peer.nodeId === node)?.publicKey
    if (trusted !== undefined && trusted !== '') return keyBytes(trusted)
    try {
      return keyBytes((await this.#node.registry.lookup(node)).public_key)
    } catch {
      return undefined
    }
  }

  #end(error: PilotError | undefined): void {
    this.#stopTimer()
    if (!this.#isEnded) {
      this.#isEnded = true
      this.#error = error
      if (error !== undefined) this.#stream.connection.reset()
      else if (!this.#isClosed) this.#stream.connection.close()
    }
    this.#settle.reject(
      error ?? new NetworkError('ERR_CONNECTION_CLOSED', 'the secure channel is closed'),
    )
    this.#notify()
  }

  #news(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve))
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }
}

/**
 * Dials the secure channel of a node and resolves when it is open.
 *
 * @throws {PilotError} what `dial` throws, `ERR_SECURE_CHANNEL`, `ERR_SECURE_AUTH`.
 */
export async function dialSecure(
  node: PilotNode,
  to: { readonly address: Address; readonly port?: number },
  options: SecureOptions & DialOptions,
  platform: SecurePlatform,
): Promise<SecureConnection> {
  const target = { address: to.address, port: to.port ?? PORT.secure }
  const dial = (): Promise<PilotConnection> => node.dial(target, options)
  const redial = (options.mode ?? 'auto') === 'auto' ? dial : undefined
  const secure = new SecureConnection(node, await dial(), 'client', options, platform, redial)
  await secure.opened
  return secure
}

function keyBytes(text: unknown): Uint8Array | undefined {
  const bytes = typeof text === 'string' ? fromBase64(text) : undefined
  return bytes?.length === 32 ? bytes : undefined
}
