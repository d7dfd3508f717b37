/** How `pilotctl gateway map`, `unmap` and `list` reach the gateway that runs: one line of JSON each way. */
import { rmSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import {
  ERROR_CODES,
  NetworkError,
  PilotError,
  type PilotErrorCode,
  UsageError,
} from '../../../core/errors.ts'
import { formatAddress, parseAddress } from '../../../core/wire/address.ts'
import { listenOnSocket } from '../ipc/socket-file.ts'
import type { Gateway, Mapping } from './gateway.ts'

export type GatewayRequest =
  | { readonly op: 'map'; readonly address: string; readonly ip?: string }
  | { readonly op: 'unmap'; readonly ip: string }
  | { readonly op: 'list' }

/** As `pilotctl` prints it. */
export interface MappingText {
  readonly local_ip: string
  readonly pilot_addr: string
}

const LINE_BYTES_MAX = 64 * 1024
const ANSWER_BYTES_MAX = 1 << 20
const IDLE_MS = 10_000
const CLIENTS_MAX = 16

export function mappingText({ localIp, address }: Mapping): MappingText {
  return { local_ip: localIp, pilot_addr: formatAddress(address) }
}

/** Serves requests on a socket of mode 0600. @throws {StorageError} as `listenOnSocket`. */
export async function serveGatewayControl(
  gateway: Gateway,
  path: string,
): Promise<AsyncDisposable> {
  const server: Server = createServer((socket) => void serve(gateway, socket))
  server.maxConnections = CLIENTS_MAX
  await listenOnSocket(server, path)
  return {
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        rmSync(path, { force: true })
      }),
  }
}

async function serve(gateway: Gateway, socket: Socket): Promise<void> {
  try {
    const request = JSON.parse(await readLine(socket, LINE_BYTES_MAX)) as GatewayRequest
    socket.end(`${JSON.stringify({ ok: await answer(gateway, request) })}\n`)
  } catch (error) {
    const code = error instanceof PilotError ? error.code : 'ERR_INVALID_ARGUMENT'
    const message = error instanceof Error ? error.message : String(error)
    socket.end(`${JSON.stringify({ error: { code, message } })}\n`)
  }
}

async function answer(gateway: Gateway, request: GatewayRequest): Promise<unknown> {
  switch (request?.op) {
    case 'map':
      return mappingText(await gateway.map(parseAddress(`${request.address}`), request.ip))
    case 'unmap':
      await gateway.unmap(`${request.ip}`)
      return {}
    case 'list':
      return gateway.list().map(mappingText)
    default:
      throw new UsageError('ERR_INVALID_ARGUMENT', 'unknown operation')
  }
}

/**
 * Asks the gateway that runs.
 *
 * @throws {PilotError} `ERR_DAEMON_UNAVAILABLE` when none does, else what it answered.
 */
export async function askGateway(path: string, request: GatewayRequest): Promise<unknown> {
  const socket = connect(path)
  let line: string
  try {
    socket.write(`${JSON.stringify(request)}\n`)
    line = await readLine(socket, ANSWER_BYTES_MAX)
  } catch (cause) {
    throw new NetworkError('ERR_DAEMON_UNAVAILABLE', `no gateway answers on ${path}`, { cause })
  } finally {
    socket.destroy()
  }
  const reply = JSON.parse(line) as {
    readonly ok?: unknown
    readonly error?: { readonly code: string; readonly message: string }
  }
  if (reply.error === undefined) return reply.ok
  const { code, message } = reply.error
  throw new PilotError(
    code in ERROR_CODES ? (code as PilotErrorCode) : 'ERR_DAEMON_REFUSED',
    message,
  )
}

function readLine(socket: Socket, limitBytes: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    socket.setTimeout(IDLE_MS, () => socket.destroy(new Error('nothing came in time')))
    socket.setEncoding('utf8')
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('closed')))
    socket.on('data', (piece: string) => {
      text += piece
      const end = text.indexOf('\n')
      if (end >= 0) resolve(text.slice(0, end))
      else if (text.length > limitBytes) socket.destroy(new Error('the line is too long'))
    })
  })
}
