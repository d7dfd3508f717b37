/** WebRTC on Node, through the optional package node-datachannel. */
import { UsageError } from '../../core/index.ts'
import type { PilotNodeOptions } from '../shared/pilot-node.ts'

export interface WebRtcOptions {
  /** STUN and TURN (over UDP) as URLs, e.g. `stun:example.org:3478`. Default none. */
  readonly iceServers?: readonly { readonly urls: string }[]
  /** Address of the interface to gather candidates on. Default: all but loopback. */
  readonly bindAddress?: string
}

export type PeerConnectionMaker = NonNullable<PilotNodeOptions['createPeerConnection']>

/** @throws {UsageError} `ERR_INVALID_ARGUMENT` when node-datachannel is not installed, or has no build here. */
export async function loadWebRtc(options: WebRtcOptions = {}): Promise<PeerConnectionMaker> {
  const { iceServers = [], bindAddress } = options
  let polyfill: typeof import('node-datachannel/polyfill')
  try {
    polyfill = await import('node-datachannel/polyfill')
  } catch (cause) {
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      'WebRTC on Node needs the package node-datachannel, which did not load; npm install node-datachannel',
      { cause },
    )
  }
  const { RTCPeerConnection } = polyfill
  const settings = {
    iceServers: iceServers.map(({ urls }) => ({ urls })),
    ...(bindAddress === undefined ? {} : { bindAddress }),
  }
  return () => new RTCPeerConnection(settings as never)
}
