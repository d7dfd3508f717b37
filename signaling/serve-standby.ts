/**
 * The standby's side of replication (spec/04 §16): follows a primary for as long as it runs, and keeps what it
 * says in memory and in the store. To take over, start it again without `-standby` on the same store.
 */
import { connect, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { PilotError } from '../core/errors.ts'
import type { Endpoint } from '../core/machine.ts'
import {
  encodeRegistryFrame,
  RegistryFrameDecoder,
  type RegistryMessage,
} from '../core/wire/registry-message.ts'
import {
  SNAPSHOT_BYTES_MAX,
  STANDBY_CONNECT_MS,
  STANDBY_HEARTBEAT_MS,
  STANDBY_RETRY_MS,
  STANDBY_SILENCE_MS,
} from './limits.ts'
import type { Log } from './log.ts'
import type { Registry } from './registry.ts'
import { type RegistryStore, type StoredState, saveState } from './registry-store.ts'
import { now } from './serve-clock.ts'
import { readSnapshotValue } from './snapshot-read.ts'

export interface StandbyOptions {
  readonly primary: Endpoint
  readonly token: string
  /** SHA-256 of the primary's certificate, 64 lower-case hex digits; with it the link is TLS. */
  readonly fingerprint?: string
}

export interface StandbyParts {
  readonly registry: Registry
  readonly store: RegistryStore
  readonly log: Log
}

/** The store is rewritten for at most one part in so many of the time, and at most once per interval. */
const SHARE_OF_TIME = 20
const SAVE_INTERVAL_MS = 1000

export class StandbyLink {
  readonly #options: StandbyOptions
  readonly #parts: StandbyParts
  #socket: Socket | undefined
  #timer: NodeJS.Timeout | undefined
  #heartbeat: NodeJS.Timeout | undefined
  #saveTimer: NodeJS.Timeout | undefined
  #unsaved: StoredState | undefined
  #saveAt = 0
  #isClosed = false
  #isFollowing = false
  #lastProblem = ''

  constructor(options: StandbyOptions, parts: StandbyParts) {
    this.#options = options
    this.#parts = parts
    this.#connect()
  }

  /** Saves what was received last. */
  close(): void {
    this.#isClosed = true
    for (const timer of [this.#timer, this.#heartbeat, this.#saveTimer]) clearTimeout(timer)
    this.#socket?.destroy()
    this.#save()
  }

  #connect(): void {
    const { primary, fingerprint } = this.#options
    const to = { host: primary.address, port: primary.port }
    const socket: Socket | TLSSocket =
      fingerprint === undefined ? connect(to) : connectTls({ ...to, rejectUnauthorized: false })
    this.#socket = socket
    let reason = 'the primary closed the connection'
    const fail = (why: string): void => {
      reason = why
      socket.destroy()
    }
    const decoder = new RegistryFrameDecoder()
    let pieces: string[] = []
    let pieceBytes = 0
    socket.setTimeout(STANDBY_CONNECT_MS, () => fail('the primary is silent'))
    socket.once(fingerprint === undefined ? 'connect' : 'secureConnect', () => {
      const found =
        fingerprint === undefined
          ? undefined
          : (socket as TLSSocket)
              .getPeerCertificate()
              .fingerprint256.replaceAll(':', '')
              .toLowerCase()
      if (found !== fingerprint) {
        fail(`the primary's certificate has fingerprint ${found}, not the pinned one`)
        return
      }
      socket.setTimeout(STANDBY_SILENCE_MS)
      const { token } = this.#options
      socket.write(encodeRegistryFrame({ type: 'subscribe_replication', token, parts: true }))
      // The reference's primary closes what says nothing for 60 s.
      this.#heartbeat = setInterval(
        () => socket.write(encodeRegistryFrame({ type: 'heartbeat' })),
        STANDBY_HEARTBEAT_MS,
      )
    })
    socket.on('data', (chunk) => {
      try {
        decoder.push(chunk)
        for (let message = decoder.next(); message !== undefined; message = decoder.next()) {
          if (message.type === 'replication_part' && typeof message.text === 'string') {
            pieces.push(message.text)
            pieceBytes += message.text.length
            if (pieceBytes > SNAPSHOT_BYTES_MAX) throw new Error('the snapshot is too long')
            continue
          }
          this.#handle(message, pieces)
          pieces = []
          pieceBytes = 0
        }
      } catch (error) {
        fail(error instanceof Error ? error.message : String(error))
      }
    })
    socket.on('error', (error) => {
      reason = error.message
    })
    socket.once('close', () => {
      clearInterval(this.#heartbeat)
      this.#isFollowing = false
      if (this.#isClosed) return
      if (reason !== this.#lastProblem)
        this.#parts.log.warn('not following the primary', { reason })
      this.#lastProblem = reason
      this.#timer = setTimeout(() => this.#connect(), STANDBY_RETRY_MS)
    })
  }

  /** @throws {Error} what ends this connection: a refusal, or a snapshot that cannot be. */
  #handle(message: RegistryMessage, pieces: readonly string[]): void {
    if (typeof message.error === 'string') throw new Error(`the primary says: ${message.error}`)
    if (message.type !== 'replication_snapshot') return
    const value: unknown =
      message.snapshot === undefined ? JSON.parse(pieces.join('')) : message.snapshot
    const { registry, log } = this.#parts
    const clock = now()
    const { state } = readSnapshotValue(value, clock.unixSeconds)
    registry.replace(state, clock)
    if (!this.#isFollowing) log.info('following the primary', { nodes: [...state.nodes].length })
    this.#isFollowing = true
    this.#lastProblem = ''
    this.#unsaved = state
    const wait = Math.max(0, this.#saveAt - performance.now())
    this.#saveTimer ??= setTimeout(() => {
      this.#saveTimer = undefined
      this.#save()
    }, wait)
  }

  #save(): void {
    const state = this.#unsaved
    if (state === undefined) return
    this.#unsaved = undefined
    const started = performance.now()
    const { store, log } = this.#parts
    try {
      store.clear()
      saveState(store, state)
      store.commit()
    } catch (error) {
      if (!(error instanceof PilotError)) throw error
      log.error('the state of the primary is not saved', { reason: error.message })
      this.#unsaved ??= state
    }
    const costMs = performance.now() - started
    this.#saveAt = started + Math.max(SAVE_INTERVAL_MS, SHARE_OF_TIME * costMs)
  }
}
