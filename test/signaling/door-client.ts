/** A client of the WebSocket doors, for tests: of a rendezvous in whatever runtime. */
import { expect } from 'vitest'
import { type ClientOptions, WebSocket } from 'ws'
import type { Identity } from '../../core/identity/identity.ts'
import { compatChallenge, encodeCompatMessage } from '../../core/rendezvous/compat-message.ts'
import {
  encodeRegistryFrame,
  RegistryFrameDecoder,
  type RegistryMessage,
} from '../../core/wire/registry-message.ts'
import { identity } from './registry-bench.ts'

/** To be closed after the test, the last one first. */
export const opened: { close(): unknown }[] = []

export async function closeOpened(): Promise<void> {
  for (const one of opened.splice(0).reverse()) await one.close()
}

export interface Doors {
  readonly httpUrl: string | undefined
}

/** A client that keeps what it got. */
export class Client {
  readonly socket: WebSocket
  readonly messages: (string | Uint8Array)[] = []
  readonly closed: Promise<string>
  /** HTTP status of a refused upgrade, 0 once open. */
  readonly opened: Promise<number>

  constructor(rendezvous: Doors, path: string, protocol: string, options: ClientOptions = {}) {
    const url = `${rendezvous.httpUrl!.replace('http', 'ws')}${path}`
    this.socket = new WebSocket(url, protocol, { ...options, perMessageDeflate: false })
    this.socket.on('error', () => {})
    this.socket.on('message', (data, isBinary) => {
      this.messages.push(isBinary ? Uint8Array.from(data as Buffer) : String(data))
    })
    this.closed = new Promise((resolve) =>
      this.socket.once('close', (code, reason) => resolve(`${code} ${reason}`)),
    )
    this.opened = new Promise((resolve) => {
      this.socket.once('open', () => resolve(0))
      this.socket.once('unexpected-response', (_request, response) => {
        resolve(response.statusCode ?? -1)
        this.socket.terminate()
      })
    })
    opened.push({ close: () => this.socket.terminate() })
  }

  async message(index: number): Promise<string | Uint8Array> {
    await expect
      .poll(() => this.messages.length, { timeout: 5000, interval: 5 })
      .toBeGreaterThan(index)
    return this.messages[index]!
  }
}

export const compat = (rendezvous: Doors, options?: ClientOptions): Client =>
  new Client(rendezvous, '/v1/compat', 'pilot.v1', options)

/** Registers through the registry door, which is how a node without UDP gets its id. */
export async function registered(
  rendezvous: Doors,
  who: Identity,
  headers?: Record<string, string>,
): Promise<number> {
  const { node_id } = await ask(rendezvous, register(who), headers)
  return node_id as number
}

export function register(who: Identity): RegistryMessage {
  const publicKey = Buffer.from(who.publicKey).toString('base64')
  return {
    type: 'register',
    public_key: publicKey,
    listen_addr: '',
    relay_only: true,
    signature: who.signBase64(`register::${publicKey}`),
  }
}

export async function ask(
  rendezvous: Doors,
  request: RegistryMessage,
  headers: Record<string, string> = {},
): Promise<RegistryMessage> {
  const client = new Client(rendezvous, '/v1/registry', 'pilot.registry.v1', { headers })
  expect(await client.opened).toBe(0)
  client.socket.send(encodeRegistryFrame(request))
  const decoder = new RegistryFrameDecoder()
  decoder.push((await client.message(0)) as Uint8Array)
  client.socket.close()
  return decoder.next()!
}

/** A node that is connected and authenticated. */
export async function joined(
  rendezvous: Doors,
  name: string,
): Promise<{ id: number; client: Client }> {
  const who = identity(name)
  const id = await registered(rendezvous, who)
  const client = compat(rendezvous)
  await authenticate(client, id, who)
  expect(JSON.parse(String(await client.message(1)))).toMatchObject({ type: 'auth_ok' })
  return { id, client }
}

export async function authenticate(client: Client, nodeId: number, who: Identity): Promise<void> {
  const { nonce, ts } = JSON.parse((await client.message(0)) as string)
  const signature = who.sign(compatChallenge(nodeId, nonce, ts))
  client.socket.send(encodeCompatMessage({ type: 'auth_reply', nodeId, publicKey: '', signature }))
}
