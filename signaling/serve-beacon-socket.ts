/** The beacon's socket by `node:dgram`, in Node and Bun. */
import { createSocket, type Socket, type SocketOptions } from 'node:dgram'
import { isIP } from 'node:net'
import type { BeaconSocket, BindBeaconSocket } from './beacon-socket.ts'

const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024

export const bindNodeSocket: BindBeaconSocket = async (host, port) => {
  if (host !== undefined)
    return new NodeBeaconSocket(await bind(host.includes(':') ? 'udp6' : 'udp4', host, port), false)
  try {
    return new NodeBeaconSocket(await bind('udp6', '::', port), true)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'EAFNOSUPPORT' && code !== 'EADDRNOTAVAIL') throw error
    return new NodeBeaconSocket(await bind('udp4', '0.0.0.0', port), false)
  }
}

class NodeBeaconSocket implements BeaconSocket {
  readonly address: string
  readonly port: number
  readonly isDualStack: boolean
  onmessage: BeaconSocket['onmessage']
  onerror: BeaconSocket['onerror']
  readonly #socket: Socket

  constructor(socket: Socket, isDualStack: boolean) {
    const { address, port } = socket.address()
    this.address = address
    this.port = port
    this.isDualStack = isDualStack
    this.#socket = socket
    socket.on('error', (error) => this.onerror?.(error.message))
    socket.on('message', (datagram, from) => this.onmessage?.(datagram, from.address, from.port))
  }

  get queuedBytes(): number {
    return this.#socket.getSendQueueSize()
  }

  send(
    datagram: Uint8Array,
    port: number,
    address: string,
    onsent: (error: Error | null) => void,
  ): void {
    this.#socket.send(datagram, port, address, onsent)
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(() => resolve()))
  }
}

function bind(type: 'udp4' | 'udp6', address: string, port: number): Promise<Socket> {
  const options: SocketOptions = {
    type,
    recvBufferSize: SOCKET_BUFFER_BYTES,
    sendBufferSize: SOCKET_BUFFER_BYTES,
  }
  // Datagrams go to IP addresses only: no resolver, no detour through the next tick.
  if (isIP(address) !== 0)
    options.lookup = (host, _options, callback) => callback(null, host, type === 'udp6' ? 6 : 4)
  const socket = createSocket(options)
  return new Promise((resolve, reject) => {
    socket.once('error', (error) => {
      socket.close()
      reject(error)
    })
    socket.bind({ port, address }, () => {
      socket.removeAllListeners('error')
      resolve(socket)
    })
  })
}
