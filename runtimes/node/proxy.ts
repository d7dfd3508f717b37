/** Ways out through an HTTP proxy: which one the environment names, and the CONNECT tunnel (RFC 9110 §9.3.6). */
import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import type { Socket } from 'node:net'
import { NetworkError, UsageError } from '../../core/index.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export interface ProxyTarget {
  readonly host: string
  readonly port: number
  /** TLS is spoken to it. */
  readonly isSecure: boolean
}

/**
 * `HTTPS_PROXY` for TLS, `HTTP_PROXY` for the rest, else `ALL_PROXY`, unless `NO_PROXY` exempts the host; lower
 * case names win. `undefined`: go there directly.
 *
 * @throws {UsageError} `ERR_INVALID_ARGUMENT` for a proxy that is not an HTTP one; the text names the variable,
 * never the credentials in it.
 */
export function proxyFor(target: ProxyTarget, env: Environment): URL | undefined {
  const name = target.isSecure ? 'https_proxy' : 'http_proxy'
  const variable = [name, name.toUpperCase(), 'all_proxy', 'ALL_PROXY'].find(
    (one) => (env[one] ?? '') !== '',
  )
  if (variable === undefined || isExempt(target, env.no_proxy ?? env.NO_PROXY ?? ''))
    return undefined
  const text = env[variable]!
  const url = URL.parse(text.includes('://') ? text : `http://${text}`)
  if (url === null || !['http:', 'https:'].includes(url.protocol))
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      `the environment variable ${variable} is not the URL of an HTTP proxy`,
    )
  return url
}

/** Entries: `*`, a host and everything below it (a dot in front changes nothing), an IP; each also with `:port`. */
function isExempt({ host, port }: ProxyTarget, list: string): boolean {
  const name = host.toLowerCase()
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => {
      if (entry === '*') return true
      const match = /^(?:\[([^\]]+)\]|([^:]+|[^:]*:[^:]*:.*?))(?::(\d{1,5}))?$/.exec(entry)
      const only = (match?.[1] ?? match?.[2] ?? '').replace(/^\*?\./, '')
      if (only === '' || (match?.[3] !== undefined && Number(match[3]) !== port)) return false
      return name === only || name.endsWith(`.${only}`)
    })
}

/**
 * A TCP connection to the target through the proxy.
 *
 * @throws {NetworkError} `ERR_RELAY_UNAVAILABLE` when the proxy refuses or cannot be reached.
 */
export function connectThrough(
  proxy: URL,
  { host, port }: ProxyTarget,
  timeoutMs: number,
): Promise<Socket> {
  const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`
  const open = proxy.protocol === 'https:' ? requestHttps : requestHttp
  const request = open({
    host: proxy.hostname.replace(/^\[|\]$/g, ''),
    port: proxy.port === '' ? (proxy.protocol === 'https:' ? 443 : 80) : Number(proxy.port),
    method: 'CONNECT',
    path: authority,
    headers: { Host: authority, ...authorization(proxy) },
    agent: false,
    timeout: timeoutMs,
  })
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown): void => {
      request.destroy()
      reject(new NetworkError('ERR_RELAY_UNAVAILABLE', `the proxy ${proxy.host} ${why}`, { cause }))
    }
    const refused = (status: number | undefined): void =>
      fail(
        status === 407
          ? 'wants other credentials (407): put them in its URL as http://user:password@host:port'
          : `refused to connect to ${authority} (${status})`,
      )
    request.once('error', (error) => fail(`cannot be used: ${error.message}`, error))
    request.once('timeout', () => fail(`did not answer within ${timeoutMs / 1000} s`))
    request.once('response', ({ statusCode }) => refused(statusCode))
    request.once('connect', ({ statusCode }, socket: Socket, head) => {
      if (statusCode !== 200) {
        socket.destroy()
        return refused(statusCode)
      }
      socket.setTimeout(0)
      if (head.length > 0) socket.unshift(head)
      resolve(socket)
    })
    request.end()
  })
}

function authorization({ username, password }: URL): { 'Proxy-Authorization'?: string } {
  if (username === '' && password === '') return {}
  const text = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return { 'Proxy-Authorization': `Basic ${Buffer.from(text).toString('base64')}` }
}
