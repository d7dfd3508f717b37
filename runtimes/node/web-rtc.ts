/** WebRTC on Node: which implementation, and the process that it runs in. */
import { type Endpoint, formatEndpoint } from '../../core/index.ts'
import type { IceServer } from '../shared/rtc/peer-connection.ts'
import { backendsFor, type WebRtcChoice } from './rtc/backend.ts'
import { RtcProcess } from './rtc/rtc-process.ts'

export interface WebRtcOptions {
  /** Default `auto`: node-datachannel where it is installed, else werift, else none. */
  readonly backend?: WebRtcChoice
  /**
   * STUN and TURN (over UDP), e.g. `{ urls: 'stun:example.org:3478' }`. Default: STUN of the beacon, which ours answers;
   * nobody else is ever asked. `[]` is none.
   */
  readonly iceServers?: readonly IceServer[]
  /** Address of the interface to gather candidates on. Default: all but loopback. */
  readonly bindAddress?: string
}

/**
 * `undefined` where there is to be none. The process starts when a connection is wanted.
 *
 * @throws {UsageError} `ERR_INVALID_ARGUMENT` when the package of the backend that was named is not installed.
 */
export function webRtcProcess(
  choice: WebRtcChoice | WebRtcOptions,
  beacon?: Endpoint,
): RtcProcess | undefined {
  const { backend = 'auto', ...options } = typeof choice === 'string' ? { backend: choice } : choice
  const backends = backendsFor(backend)
  const settings = { iceServers: stunOf(beacon), ...options }
  return backends.length === 0 ? undefined : new RtcProcess({ backends, settings })
}

/** @throws {UsageError} as {@link webRtcProcess}. */
export function hasWebRtc(choice: WebRtcChoice | WebRtcOptions): boolean {
  return backendsFor(typeof choice === 'string' ? choice : (choice.backend ?? 'auto')).length > 0
}

/** A beacon on this machine would tell nothing new. */
export function stunOf(beacon: Endpoint | undefined): IceServer[] {
  if (beacon === undefined || /^127\.|^::1$/.test(beacon.address)) return []
  return [{ urls: `stun:${formatEndpoint(beacon)}` }]
}
