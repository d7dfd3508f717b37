/**
 * Pings through the tunnel: probes of paths and of keys, and the application's (spec/03 §C). Ours carry a
 * random payload from a port other than 0, so that no generation answers the answer.
 */
import { equals } from '../bytes.ts'
import { PORT } from '../constants.ts'
import { type PilotError, UsageError } from '../errors.ts'
import type { Instant } from '../machine.ts'
import type { ArrivalPath } from '../nat/path-selector.ts'
import { PROTOCOL } from '../wire/packet.ts'
import type { NodeContext } from './context.ts'
import { type Peer, type Probe, SEGMENT_OVERHEAD_BYTES } from './peer.ts'
import type { Scheduler } from './scheduler.ts'

const PAYLOAD_BYTES = 16

export class Prober {
  readonly #context: NodeContext
  readonly #scheduler: Scheduler
  #nextPingId = 1

  constructor(context: NodeContext, scheduler: Scheduler) {
    this.#context = context
    this.#scheduler = scheduler
  }

  /** The application's ping, on whatever path packets take; its id. */
  ping(peer: Peer, now: Instant): number {
    const id = this.#nextPingId++
    const packet = this.#packet(peer, { pingId: id }, now)
    if (!peer.push({ packet })) {
      const error = new UsageError('ERR_LIMIT', `too many packets wait for node ${peer.id}`)
      this.#context.emit({ type: 'ping-failed', id, error })
    }
    return id
  }

  /** Asks whether `via` works; under an unconfirmed key where there is one. */
  probePath(peer: Peer, via: ArrivalPath, now: Instant): void {
    peer.push({ packet: this.#packet(peer, { sentOn: via }, now), via, isProbe: true })
  }

  /** Whatever path selection wants to have probed. */
  probeWanted(peer: Peer, now: Instant): void {
    for (let via = peer.paths.pollProbe(); via !== undefined; via = peer.paths.pollProbe())
      this.probePath(peer, via, now)
    this.#probeMtu(peer, now)
  }

  /**
   * A changed key came by `via`: what the peer answers under it confirms it; what it answers under the
   * present one shows that the change was a replay.
   */
  probeKeys(peer: Peer, via: ArrivalPath, now: Instant): void {
    this.probePath(peer, via, now)
    peer.push({ packet: this.#packet(peer, {}, now) })
  }

  /** True when this answers a probe of ours; then the path it was sent on works. */
  handlePong(peer: Peer, seq: number, payload: Uint8Array, now: Instant): boolean {
    const probe = peer.getProbe(seq)
    if (probe === undefined || !equals(probe.payload, payload)) return false
    peer.takeProbe(seq)
    const rttMs = now - probe.sentAt
    peer.rttMs = rttMs
    const { sentOn, datagramBytes } = probe
    if (sentOn !== undefined) peer.paths.handleProbeAnswer(sentOn, now)
    if (sentOn !== undefined && sentOn !== 'relay' && datagramBytes !== undefined)
      if (peer.mtu.handleAnswer(sentOn, datagramBytes, now)) this.#scheduler.segmentChanged(peer)
    if (probe.pingId !== undefined) this.#context.emit({ type: 'pong', id: probe.pingId, rttMs })
    return true
  }

  /** The peer cannot be reached: pings of the application that wait for it end. */
  failPings(peer: Peer, error: PilotError): void {
    for (const [seq, { pingId }] of [...peer.probes])
      if (pingId !== undefined && peer.takeProbe(seq) !== undefined)
        this.#context.emit({ type: 'ping-failed', id: pingId, error })
  }

  /** Only of paths of the network, and only for peers that can make use of it. */
  #probeMtu(peer: Peer, now: Instant): void {
    const { paths, mtu } = peer
    const { datagramBytesMax } = this.#context.options
    if (datagramBytesMax === undefined || !peer.isModern || paths.way !== 'direct')
      return mtu.leave()
    const via = paths.endpoint!
    mtu.follow(via, datagramBytesMax, now)
    const datagramBytes = mtu.pollProbe(peer.rttMs ?? 0, now)
    if (datagramBytes === undefined) return
    peer.push({ packet: this.#packet(peer, { sentOn: via, datagramBytes }, now), via })
  }

  #packet(
    peer: Peer,
    purpose: Partial<Pick<Probe, 'sentOn' | 'datagramBytes' | 'pingId'>>,
    now: Instant,
  ): Uint8Array {
    const { sentOn, datagramBytes, pingId } = purpose
    const random = this.#context.options.crypto.random(PAYLOAD_BYTES)
    const payload = new Uint8Array(
      datagramBytes === undefined ? PAYLOAD_BYTES : datagramBytes - SEGMENT_OVERHEAD_BYTES,
    )
    payload.set(random)
    const seq = peer.addProbe({ sentOn, sentAt: now, payload, datagramBytes, pingId })
    return this.#context.encode({
      protocol: PROTOCOL.control,
      sourcePort: PORT.control,
      destination: { network: 0, node: peer.id },
      destinationPort: PORT.ping,
      seq,
      payload,
    })
  }
}
