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

/** @throws {CliError} `connection_failed` or `not_found`, `<label>: <reason>`. */
export async function requestRegistry(
  registry: string,
  message: RegistryMessage,
  label: string,
): Promise<RegistryMessage> {
  let reply: RegistryMessage
  try {
    reply = await askRegistry(registry, message, TIMEOUT_MS)
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
): Promise<RegistryMessage> {
  const { host, port } = parseEndpoint(registry)
  return exchange(host, port, message, timeoutMs)
}

function exchange(
  host: string,
  port: number,
  message: RegistryMessage,
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
    socket.on('connect', () => socket.write(encodeRegistryFrame(message)))
    socket.on('data', (chunk) => {
      try {
        decoder.push(chunk)
        const reply = decoder.next()
        if (reply !== undefined) finish(() => resolve(reply))
      } catch (error) {
        finish(() => reject(error as Error))
      }
    })
    socket.on('error', (error) => finish(() => reject(error)))
    socket.on('close', () => reject(new Error('connection closed without an answer')))
  })
}
