/** A client of the registry's WebSocket that stays, and what it and a node at the relay send, for tests. */
import type { Identity } from '../../core/identity/identity.ts'
import { encodeBeaconMessage } from '../../core/wire/beacon-message.ts'
import {
  encodeRegistryFrame,
  RegistryFrameDecoder,
  type RegistryMessage,
} from '../../core/wire/registry-message.ts'
import { Client, type Doors } from './door-client.ts'

/** A client of the registry that stays. */
export class Session {
  readonly client: Client
  readonly #decoder = new RegistryFrameDecoder()
  #read = 0

  constructor(doors: Doors) {
    this.client = new Client(doors, '/v1/registry', 'pilot.registry.v1')
  }

  async ask(message: RegistryMessage): Promise<RegistryMessage> {
    await this.client.opened
    this.client.socket.send(encodeRegistryFrame(message))
    return this.reply()
  }

  async reply(): Promise<RegistryMessage> {
    for (;;) {
      const reply = this.#decoder.next()
      if (reply !== undefined) return reply
      this.#decoder.push((await this.client.message(this.#read++)) as Uint8Array)
    }
  }

  poll(who: Identity, id: number): Promise<RegistryMessage> {
    const signature = who.signBase64(`poll_handshakes:${id}`)
    return this.ask({ type: 'poll_handshakes', node_id: id, signature })
  }
}

export function handshake(who: Identity, from: number, to: number): RegistryMessage {
  return {
    type: 'request_handshake',
    from_node_id: from,
    to_node_id: to,
    justification: `from ${from}`,
    signature: who.signBase64(`handshake:${from}:${to}`),
  }
}

export function relay(senderId: number, destinationId: number, ...frame: number[]): Uint8Array {
  return encodeBeaconMessage({
    type: 'relay',
    senderId,
    destinationId,
    frame: Uint8Array.from(frame),
  })
}

function idBytes(id: number): number[] {
  return [id >>> 24, (id >>> 16) & 255, (id >>> 8) & 255, id & 255]
}

export const delivered = (from: number, ...frame: number[]): Uint8Array =>
  Uint8Array.of(6, ...idBytes(from), ...frame)
