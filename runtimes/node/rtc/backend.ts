/** The WebRTC implementations that Node can have, each an optional package, as one kind of connection. */
import { createRequire } from 'node:module'
import { networkInterfaces } from 'node:os'
import { UsageError } from '../../../core/index.ts'
import type {
  IceCandidate,
  IceServer,
  PeerConnection,
  PeerConnectionSettings,
} from '../../shared/rtc/peer-connection.ts'

/** `native`: node-datachannel (libdatachannel). `werift`: TypeScript only, and several times slower. */
export type WebRtcBackend = 'native' | 'werift'

/** `auto` is native where it is installed, else werift, else none. */
export type WebRtcChoice = WebRtcBackend | 'auto' | 'off'

export const WEBRTC_CHOICES: readonly WebRtcChoice[] = ['auto', 'native', 'werift', 'off']

export const BACKEND_PACKAGES: Readonly<Record<WebRtcBackend, string>> = {
  native: 'node-datachannel',
  werift: 'werift',
}

/** In the order in which they are tried. Looks only whether the packages are there, and loads none. */
export function installedBackends(): WebRtcBackend[] {
  const { resolve } = createRequire(import.meta.url)
  return (Object.keys(BACKEND_PACKAGES) as WebRtcBackend[]).filter((backend) => {
    try {
      resolve(BACKEND_PACKAGES[backend])
      return true
    } catch {
      return false
    }
  })
}

/**
 * What a choice comes to on this machine: backends to try in order, none for off.
 *
 * @throws {UsageError} `ERR_INVALID_ARGUMENT` when the one that was named is not installed.
 */
export function backendsFor(choice: WebRtcChoice): readonly WebRtcBackend[] {
  if (choice === 'off') return []
  const installed = installedBackends()
  if (choice === 'auto') return installed
  if (installed.includes(choice)) return [choice]
  const name = BACKEND_PACKAGES[choice]
  throw new UsageError(
    'ERR_INVALID_ARGUMENT',
    `WebRTC by ${choice} needs the package ${name}, which is not installed; npm install ${name}`,
  )
}

/**
 * werift asks a STUN server of Google's when it is given none, and waits five seconds where that does not answer. A name
 * with an empty label is no name: looking it up fails at once, and asks nobody.
 */
export const NO_STUN: IceServer = { urls: 'stun:none..invalid' }

export type CreateConnection = (settings: PeerConnectionSettings) => PeerConnection

export async function loadBackend(backend: WebRtcBackend): Promise<CreateConnection> {
  switch (backend) {
    case 'native':
      return loadNative()
    case 'werift':
      return loadWerift()
    default:
      throw new UsageError('ERR_INVALID_ARGUMENT', `${String(backend)} is no WebRTC`)
  }
}

async function loadNative(): Promise<CreateConnection> {
  const { RTCPeerConnection } = await import('node-datachannel/polyfill')
  return ({ iceServers = [], bindAddress }) => {
    const connection = new RTCPeerConnection({
      iceServers,
      ...(bindAddress === undefined ? {} : { bindAddress }),
    } as never) as unknown as PeerConnection
    const createOffer = connection.createOffer.bind(connection)
    // It would give the first offer again: better a new connection at once.
    connection.createOffer = (options = {}) =>
      options.iceRestart === true
        ? Promise.reject(new Error('node-datachannel has no ICE restart'))
        : createOffer(options)
    return connection
  }
}

async function loadWerift(): Promise<CreateConnection> {
  const { RTCPeerConnection } = await import('werift')
  return ({ iceServers = [], bindAddress }) => {
    const connection = new RTCPeerConnection({
      iceServers: (hasStun(iceServers) ? iceServers : [...iceServers, NO_STUN]) as never,
      // It leaves out interfaces of containers and loopback by itself.
      iceAdditionalHostAddresses: bindAddress === undefined ? hostAddresses() : [bindAddress],
      ...(bindAddress === undefined
        ? {}
        : {
            iceUseIpv6: false,
            iceFilterCandidatePair: ({ localCandidate }) => localCandidate.host === bindAddress,
          }),
    }) as unknown as PeerConnection
    const add = connection.addIceCandidate.bind(connection)
    // A name that a browser hides its address behind: werift would wait ten seconds for it. The browser comes to us.
    connection.addIceCandidate = (candidate?: IceCandidate) =>
      isMdns(candidate) ? Promise.resolve() : add(candidate)
    return connection
  }
}

function hasStun(servers: readonly IceServer[]): boolean {
  return servers.some(({ urls }) => [urls].flat().some((url) => url.startsWith('stun')))
}

function isMdns(candidate: IceCandidate | undefined): boolean {
  return candidate?.candidate?.split(' ')[4]?.endsWith('.local') === true
}

function hostAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses = []) =>
    addresses
      .filter(({ internal, address }) => !internal && !address.startsWith('fe80:'))
      .map(({ address }) => address),
  )
}
