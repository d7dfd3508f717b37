/**
 * The primary's side of replication (spec/04 §16): every standby is sent the whole state when it comes, after
 * changes, and a heartbeat in between. One that does not keep up is let go.
 */
import { utf8 } from '../core/bytes.ts'
import type { Instant } from '../core/machine.ts'
import { encodeRegistryFrame, REGISTRY_FRAME_MAX } from '../core/wire/registry-message.ts'
import {
  REPLICATION_HEARTBEAT_MS,
  REPLICATION_INTERVAL_MS,
  REPLICATION_PART_CHARS,
  REPLICATION_STALL_MS,
  STANDBYS_MAX,
} from './limits.ts'
import type { Log } from './log.ts'
import type { RegistryNow } from './registry-desk.ts'
import type { StoredState } from './registry-store.ts'
import { writeSnapshot } from './snapshot-write.ts'

export interface StandbyChannel {
  readonly destroyed: boolean
  readonly writableLength: number
  write(bytes: Uint8Array): unknown
  destroy(): unknown
}

interface Standby {
  readonly channel: StandbyChannel
  /** It puts together a snapshot that is longer than a frame (spec/10 §17). */
  readonly takesParts: boolean
  isBehind: boolean
  sentAt: Instant
  /** Since when bytes wait for the network. */
  waitingSince: Instant | undefined
}

/** Snapshots take at most one part in so many of the time. */
const SHARE_OF_TIME = 20

export class ReplicationFeed {
  readonly #state: () => StoredState
  readonly #log: Log
  readonly #standbys = new Map<StandbyChannel, Standby>()
  #nextAt: Instant = 0

  constructor(state: () => StoredState, log: Log) {
    this.#state = state
    this.#log = log
  }

  get size(): number {
    return this.#standbys.size
  }

  /** False when there are too many; then the connection is to be closed. */
  add(channel: StandbyChannel, takesParts: boolean, at: Instant): boolean {
    if (this.#standbys.size >= STANDBYS_MAX) return false
    this.#standbys.set(channel, {
      channel,
      takesParts,
      isBehind: true,
      sentAt: at,
      waitingSince: undefined,
    })
    return true
  }

  has(channel: StandbyChannel): boolean {
    return this.#standbys.has(channel)
  }

  remove(channel: StandbyChannel): void {
    this.#standbys.delete(channel)
  }

  /** Something changed. */
  note(): void {
    for (const standby of this.#standbys.values()) standby.isBehind = true
  }

  /** Sends what is due; to be called when everything that was answered is on disk. */
  tick({ at, unixSeconds }: RegistryNow): void {
    const ready: Standby[] = []
    for (const standby of this.#standbys.values()) {
      const { channel } = standby
      if (channel.destroyed) this.#standbys.delete(channel)
      else if (channel.writableLength > 0) {
        standby.waitingSince ??= at
        if (at - standby.waitingSince >= REPLICATION_STALL_MS)
          this.#drop(standby, 'it does not read')
      } else {
        standby.waitingSince = undefined
        if (standby.isBehind) ready.push(standby)
        else if (at - standby.sentAt >= REPLICATION_HEARTBEAT_MS) {
          channel.write(encodeRegistryFrame({ type: 'heartbeat' }))
          standby.sentAt = at
        }
      }
    }
    if (ready.length === 0 || at < this.#nextAt) return
    const started = performance.now()
    const text = writeSnapshot(this.#state(), unixSeconds)
    for (const standby of ready) this.#send(standby, text, at)
    const costMs = performance.now() - started
    this.#nextAt = at + Math.max(REPLICATION_INTERVAL_MS, SHARE_OF_TIME * costMs)
  }

  #send(standby: Standby, text: string, at: Instant): void {
    const { channel, takesParts } = standby
    const body = utf8(`{"type":"replication_snapshot","snapshot":${text}}`)
    standby.isBehind = false
    standby.sentAt = at
    if (body.length <= REGISTRY_FRAME_MAX) {
      const frame = new Uint8Array(4 + body.length)
      new DataView(frame.buffer).setUint32(0, body.length)
      frame.set(body, 4)
      channel.write(frame)
      return
    }
    if (!takesParts) {
      this.#drop(standby, `the state has ${body.length} bytes, more than a frame holds`)
      return
    }
    let parts = 0
    for (let from = 0; from < text.length; from += REPLICATION_PART_CHARS, parts++)
      channel.write(
        encodeRegistryFrame({
          type: 'replication_part',
          text: text.slice(from, from + REPLICATION_PART_CHARS),
        }),
      )
    channel.write(encodeRegistryFrame({ type: 'replication_snapshot', parts }))
  }

  #drop({ channel }: Standby, reason: string): void {
    this.#log.warn('a standby is let go', { reason })
    this.#standbys.delete(channel)
    channel.destroy()
  }
}
