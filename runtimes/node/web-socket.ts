/** WebSockets on Node by the package `ws`: unlike the global one they go through proxies and batch what they send. */
import type { ClientRequestArgs } from 'node:http'
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { type ClientOptions, WebSocket } from 'ws'
import { COMPAT_MESSAGE_MAX } from '../../core/index.ts'
import type { OpenWebSocket, WebSocketLike } from '../shared/web-socket.ts'
import { connectThrough, type Environment, type ProxyTarget, proxyFor } from './proxy.ts'

const HANDSHAKE_MS = 15_000
/** How long the other side may take to answer a close. */
const CLOSE_MS = 1000

export interface NodeWebSocketOptions {
  /** Where the proxies are named. Default `process.env`. */
  readonly env?: Environment
  /** PEM of certificate authorities to trust instead of the usual ones. */
  readonly ca?: string
  /** True for hosts (as `URL.hostname`) that no proxy is asked for. Default: none but what `NO_PROXY` names. */
  readonly isDirect?: (hostname: string) => boolean
}

export function nodeWebSockets({
  env = process.env,
  ca,
  isDirect = () => false,
}: NodeWebSocketOptions = {}): OpenWebSocket {
  return (text, protocol) => {
    const url = new URL(text)
    const isSecure = url.protocol === 'wss:'
    const target: ProxyTarget = {
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? (isSecure ? 443 : 80) : Number(url.port),
      isSecure,
    }
    const socket = new BatchingWebSocket(text, protocol, {
      perMessageDeflate: false,
      maxPayload: COMPAT_MESSAGE_MAX,
      handshakeTimeout: HANDSHAKE_MS,
      closeTimeout: CLOSE_MS,
      createConnection: (
        _options: ClientRequestArgs,
        created: (error: Error | null, socket?: Socket) => void,
      ) => {
        open(target, isDirect(url.hostname) ? undefined : proxyFor(target, env), ca).then(
          (tcp) => {
            socket.tcp = tcp
            created(null, tcp)
          },
          (error: Error) => created(error),
        )
        return undefined
      },
    } as unknown as ClientOptions)
    return socket as unknown as WebSocketLike
  }
}

/** Everything sent in one go leaves in one write. */
export class BatchingWebSocket extends WebSocket {
  tcp: Socket | undefined
  #isCorked = false

  override send(data: string | Uint8Array): void {
    const { tcp } = this
    if (tcp !== undefined && !this.#isCorked) {
      this.#isCorked = true
      tcp.cork()
      process.nextTick(() => {
        this.#isCorked = false
        tcp.uncork()
      })
    }
    // An error is told by `close`.
    super.send(data, () => {})
  }
}

async function open(
  target: ProxyTarget,
  proxy: URL | undefined,
  ca: string | undefined,
): Promise<Socket> {
  const { host, port, isSecure } = target
  const tunnel = proxy && (await connectThrough(proxy, target, HANDSHAKE_MS))
  if (!isSecure) return tunnel ?? connectTcp({ host, port, noDelay: true })
  return connectTls({
    ...(tunnel === undefined ? { host, port } : { socket: tunnel }),
    ...(isIP(host) === 0 ? { servername: host } : { host }),
    ...(ca === undefined ? {} : { ca }),
    ALPNProtocols: ['http/1.1'],
  }).setNoDelay(true)
}
