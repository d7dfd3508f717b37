/** Clients nobody wants: on the registry's TCP port, the status page, and the daemons' sockets. */
import { connect, type Socket } from 'node:net'
import { Identity, utf8 } from '../../core/index.ts'
import { encodeRegistryFrame } from '../../core/wire/registry-message.ts'
import { nodeCrypto } from '../../runtimes/node/crypto.ts'
import { OP } from '../../runtimes/node/ipc/opcode.ts'
import type { Random } from '../sim/random.ts'
import { pick } from './datagrams.ts'

const KEYS = Array.from({ length: 8 }, () => Identity.generate(nodeCrypto))

/** Acting on these needs no payload, and doing as told is no fault: never thrown. */
const NEVER: readonly number[] = [OP.deregister, OP.setHostname, OP.rotateKey, OP.setWebhook]
/** These change the daemon's state or end streams of others: thrown with too little payload, in bytes. */
const INCOMPLETE: ReadonlyMap<number, number> = new Map([
  [OP.close, 3],
  [OP.handshake, 4],
  [OP.setVisibility, 0],
  [OP.setTags, 0],
  [OP.setTaskExec, 0],
  [OP.network, 2],
])

/** For a daemon's socket. */
export function ipcBytes(random: Random): Uint8Array {
  switch (random.int(0, 5)) {
    case 0:
      return Uint8Array.of(0xff, ...random.bytes(random.int(1, 400))) // as a length: far too long
    case 1:
      return frame(random.int(2, 2 ** 20), Uint8Array.of(OP.bind)) // a body that never comes
    case 2:
      return frame(0, new Uint8Array(0))
    case 3: {
      const body = Uint8Array.of(OP.send, ...random.bytes(random.int(0, 5000)))
      return frame(body.length + random.int(1, 9999), body)
    }
    default: {
      const drawn = random.int(0, 255)
      const opcode = NEVER.includes(drawn) ? OP.info : drawn
      const length = random.int(0, INCOMPLETE.get(opcode) ?? 600)
      return frame(1 + length, Uint8Array.of(opcode, ...random.bytes(length)))
    }
  }
}

/** For the registry: nodes `ids` are real, and their requests are signed by somebody else. */
export function registryBytes(random: Random, ids: readonly number[]): Uint8Array {
  switch (random.int(0, 7)) {
    case 0:
      return random.bytes(random.int(1, 2000))
    case 1:
      return frame(random.int(1_048_577, 0xffffffff), random.bytes(64)) // oversize
    case 2:
      return frame(random.int(100, 1_000_000), random.bytes(random.int(0, 90))) // half open
    case 3: {
      const text = pick(random, ['null', '[]', '{', '{"type":1}', '"x"', '{}', '[[[[[[', '1e999'])
      return frame(text.length, utf8(text))
    }
    case 4: {
      const type = pick(random, ['__proto__', 'constructor', 'toString', 'heartbeat', ''])
      return encodeRegistryFrame({
        type,
        node_id: random.int(-5, 5),
        x: 'y'.repeat(random.int(0, 9000)),
      })
    }
    case 5: {
      const key = pick(random, KEYS)
      const publicKey = Buffer.from(key.publicKey).toString('base64')
      const listen = pick(random, ['1.2.3.4:5', ':http', '', 'a'.repeat(5000), '127.0.0.1:0'])
      return encodeRegistryFrame({ type: 'register', public_key: publicKey, listen_addr: listen })
    }
    default: {
      const node = pick(random, ids)
      const type = pick(random, [
        'heartbeat',
        'deregister',
        'set_hostname',
        'set_visibility',
        'resolve',
        'report_trust',
        'revoke_trust',
        'request_handshake',
        'respond_handshake',
        'poll_handshakes',
        'rotate_key',
        'lookup',
        'resolve_hostname',
        'punch',
      ])
      return encodeRegistryFrame({
        type,
        node_id: node,
        requester_id: node,
        from_node_id: node,
        to_node_id: pick(random, ids),
        peer_id: pick(random, ids),
        node_a: node,
        node_b: pick(random, ids),
        hostname: 'taken-over',
        public: true,
        accept: true,
        new_public_key: Buffer.from(pick(random, KEYS).publicKey).toString('base64'),
        signature: pick(random, KEYS).signBase64(`${type}:${node}`),
      })
    }
  }
}

export function httpBytes(random: Random): Uint8Array {
  switch (random.int(0, 4)) {
    case 0:
      return random.bytes(random.int(1, 2000))
    case 1:
      return utf8(`GET /${'a'.repeat(random.int(0, 40_000))} HTTP/1.1\r\n`)
    case 2:
      return utf8(`GET /api/stats HTTP/1.1\r\nHost: x\r\nX-Real-IP: 127.0.0.1\r\n\r\n`)
    case 3:
      return utf8(
        `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n${'z'.repeat(5000)}`,
      )
    default:
      return utf8(
        `${pick(random, ['GET', 'HEAD', 'PUT', '\0', 'OPTIONS'])} ${pick(random, ['/', '/metrics', '/../../etc/passwd', '/api/badge/nodes', '*'])} HTTP/1.1\r\nHost: x\r\n\r\n`,
      )
  }
}

/** Clients that come, write a little or much, stay a while, and go without a word. */
export class Clients {
  readonly #open = new Set<Socket>()
  readonly #random: Random
  readonly #max: number
  connected = 0
  written = 0

  constructor(random: Random, max: number) {
    this.#random = random
    this.#max = max
  }

  /** One step: a new client, or one that is there writes or goes. */
  step(open: () => Socket, bytes: () => Uint8Array): void {
    const random = this.#random
    const sockets = [...this.#open]
    if (sockets.length < this.#max && (sockets.length === 0 || random.chance(0.3))) {
      const socket = open()
      socket.on('error', () => {})
      socket.on('close', () => this.#open.delete(socket))
      socket.resume()
      this.#open.add(socket)
      this.connected++
      if (random.chance(0.8)) this.#write(socket, bytes())
      return
    }
    const socket = pick(random, sockets)
    const draw = random.next()
    if (draw < 0.6) this.#write(socket, bytes())
    else if (draw < 0.7) socket.end()
    else if (draw < 0.75)
      socket.pause() // reads no more, stays
    else socket.destroy()
  }

  close(): void {
    for (const socket of this.#open) socket.destroy()
  }

  #write(socket: Socket, bytes: Uint8Array): void {
    // A client that is not read from holds a bounded amount here too.
    if (!socket.writable || socket.writableLength > 1 << 20) return
    this.written++
    if (this.#random.chance(0.3)) {
      const at = this.#random.int(0, bytes.length)
      socket.write(bytes.subarray(0, at))
      socket.write(bytes.subarray(at))
    } else socket.write(bytes)
  }
}

/** From somewhere in 127/8, so that limits per source are the attacker's own. */
export function connectFrom(localAddress: string, endpoint: string): Socket {
  const [host = '', port = ''] = endpoint.split(':')
  return connect({ host, port: Number(port), localAddress })
}

export function connectTo(path: string): Socket {
  return connect(path)
}

function frame(length: number, body: Uint8Array): Uint8Array {
  const out = new Uint8Array(4 + body.length)
  new DataView(out.buffer).setUint32(0, length)
  out.set(body, 4)
  return out
}
