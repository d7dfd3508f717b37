/** WebRTC on Node: which implementation, and the process that it runs in. */
import type { IceServer } from '../shared/rtc/peer-connection.ts'
import { backendsFor, type WebRtcChoice } from './rtc/backend.ts'
import { RtcProcess } from './rtc/rtc-process.ts'

export interface WebRtcOptions {
  /** Default `auto`: node-datachannel where it is installed, else werift, else none. */
  readonly backend?: WebRtcChoice
  /** STUN and TURN (over UDP), e.g. `{ urls: 'stun:example.org:3478' }`. Default none. */
  readonly iceServers?: readonly IceServer[]
  /** Address of the interface to gather candidates on. Default: all but loopback. */
  readonly bindAddress?: string
}

/**
 * `undefined` where there is to be none. The process starts when a connection is wanted.
 *
 * @throws {UsageError} `ERR_INVALID_ARGUMENT` when the package of the backend that was named is not installed.
 */
export function webRtcProcess(choice: WebRtcChoice | WebRtcOptions): RtcProcess | undefined {
  const { backend = 'auto', ...settings } =
    typeof choice === 'string' ? { backend: choice } : choice
  const backends = backendsFor(backend)
  return backends.length === 0 ? undefined : new RtcProcess({ backends, settings })
}
