/** The registry connection over TCP or pinned TLS (spec/04 §2, §3). */
import { connect as connectTcp, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { UsageError } from '../../core/index.ts'
import type { ByteStream, ByteStreamHandlers, RegistryConnector } from '../shared/transport.ts'

export interface RegistryAddress {
  readonly host: string
  readonly port: number
  /** SHA-256 of the leaf certificate, hex; colons and case do not matter. With it the connection is TLS. */
  readonly fingerprint?: string
}

/** @throws {UsageError} `ERR_INVALID_ARGUMENT` for a fingerprint that is not 64 hex digits. */
export function registryConnector({ host, port, fingerprint }: RegistryAddress): RegistryConnector {
  const pin = fingerprint?.replaceAll(':', '').toLowerCase()
  if (pin !== undefined && !/^[0-9a-f]{64}$/.test(pin))
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      'a registry fingerprint is 64 hex digits (SHA-256)',
    )
  const endpoint = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  return {
    endpoint,
    connect: (handlers) => connect({ host, port }, pin, handlers),
  }
}

function connect(
  to: { host: string; port: number },
  pin: string | undefined,
  handlers: ByteStreamHandlers,
): ByteStream {
  // Pinning replaces the CA and host name checks (spec/04 §3).
  const socket: Socket | TLSSocket =
    pin === undefined ? connectTcp(to) : tls().connect({ ...to, rejectUnauthorized: false })
  let isOver = false
  let reason = 'the registry closed the connection'
  const end = (): void => {
    if (isOver) return
    isOver = true
    handlers.onclose(reason)
  }
  socket.setNoDelay(true)
  socket.once(pin === undefined ? 'connect' : 'secureConnect', () => {
    const found = pin === undefined ? undefined : leafFingerprint(socket as TLSSocket)
    if (found !== pin) {
      reason = `the registry's certificate has fingerprint ${found}, not the pinned one`
      socket.destroy()
    } else if (!isOver) handlers.onconnect()
  })
  socket.on('data', (bytes: Buffer) => {
    if (!isOver) handlers.ondata(bytes)
  })
  socket.on('error', (error: NodeJS.ErrnoException) => {
    reason = reasonOf(error, to)
  })
  socket.once('end', () => socket.destroy())
  socket.once('close', end)
  return {
    write: (bytes) => {
      if (!socket.destroyed) socket.write(bytes)
    },
    close: () => {
      isOver = true
      socket.destroy()
    },
  }
}

/** Loaded by who pins a certificate: it takes several megabytes. */
function tls(): typeof import('node:tls') {
  return process.getBuiltinModule('node:tls')
}

function reasonOf(error: NodeJS.ErrnoException, to: { host: string; port: number }): string {
  switch (error.code) {
    case 'ECONNREFUSED':
      return `nothing listens at ${to.host}:${to.port}`
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `the host ${to.host} has no address`
    default:
      return error.message
  }
}

function leafFingerprint(socket: TLSSocket): string {
  return socket.getPeerCertificate().fingerprint256.replaceAll(':', '').toLowerCase()
}
