/** One request on a connection of its own, for commands that ask the registry without a daemon (spec/04 §2). */
import { connect } from 'node:net'
import {
  encodeRegistryFrame,
  RegistryFrameDecoder,
  type RegistryMessage,
} from '../../../core/wire/registry-message.ts'
import { CliError, messageOf } from './failure.ts'

const TIMEOUT_MS = 15_000

/** `host:port`, `[v6]:port`, `:port` or a host alone with port 9000. */
export function parseEndpoint(text: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d{1,5}))?$/.exec(text)
  const port = Number(match?.[3] ?? 9000)
  if (match === null || port > 65535)
    throw new CliError(
      'invalid_argument',
      `invalid address ${JSON.stringify(text)}: need host:port`,
    )
  return { host: match[1] ?? (match[2] || '127.0.0.1'), port }
}

/**
 * `proof`: a signed request that goes first on the same connection, so that the registry knows who asks (spec/10 §12);
 * what it answers to that is nobody's business.
 *
 * @throws {CliError} `connection_failed` or `not_found`, `<label>: <reason>`.
 */
export async function requestRegistry(
  registry: string,
  message: RegistryMessage,
  label: string,
  proof?: RegistryMessage,
): Promise<RegistryMessage> {
  let reply: RegistryMessage
  try {
    reply = await askRegistry(registry, message, TIMEOUT_MS, proof)
  } catch (error) {
    if (error instanceof CliError) throw error
    throw new CliError(
      'connection_failed',
      `${label}: cannot reach registry ${registry}: ${messageOf(error)}`,
      'set PILOT_REGISTRY, or: pilotctl config --set registry=<host:port>',
      { cause: error },
    )
  }
  if (typeof reply.error === 'string')
    throw new CliError(
      /\bnot found\b/.test(reply.error) ? 'not_found' : 'connection_failed',
      `${label}: ${reply.error}`,
    )
  return reply
}

/** The answer, whatever it says. @throws {Error} when there is none, {@link CliError} for a bad address. */
export async function askRegistry(
  registry: string,
  message: RegistryMessage,
  timeoutMs: number,
  proof?: RegistryMessage,
): Promise<RegistryMessage> {
  const { host, port } = parseEndpoint(registry)
  return exchange(host, port, proof === undefined ? [message] : [proof, message], timeoutMs)
}

/** The answer to the last message. */
function exchange(
  host: string,
  port: number,
  messages: readonly RegistryMessage[],
  timeoutMs: number,
): Promise<RegistryMessage> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port })
    const decoder = new RegistryFrameDecoder()
    const finish = (work: () => void): void => {
      socket.destroy()
      work()
    }
    socket.setNoDelay(true)
    socket.setTimeout(timeoutMs, () => finish(() => reject(new Error('no answer in time'))))
    let waiting = messages.length
    socket.on('connect', () => {
      for (const message of messages) socket.write(encodeRegistryFrame(message))
    })
    socket.on('data', (chunk) => {
      try {
        decoder.push(chunk)
        for (let reply = decoder.next(); reply !== undefined; reply = decoder.next())
          if (--waiting === 0) {
            const last = reply
            return finish(() => resolve(last))
          }
      } catch (error) {
        finish(() => reject(error as Error))
      }
    })
    socket.on('error', (error) => finish(() => reject(error)))
    socket.on('close', () => reject(new Error('connection closed without an answer')))
  })
}
