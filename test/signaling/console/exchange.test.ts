/** Messages and files of the console against the data exchange service of other nodes, over real tunnels. */
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PORT } from '../../../core/constants.ts'
import { DATA_FRAME, encodeFileFrame, parseAnswer } from '../../../core/service/data-exchange.ts'
import { createNode } from '../../../runtimes/node/index.ts'
import type { PilotNode } from '../../../runtimes/shared/api.ts'
import {
  DataExchangeService,
  type DataExchangeStore,
} from '../../../runtimes/shared/services/data-exchange.ts'
import { Chat } from '../../../signaling/console/model/chat.ts'
import { MESSAGES_MAX } from '../../../signaling/console/model/chat-message.ts'
import type { Database } from '../../../signaling/console/model/database.ts'
import { ExchangeClient } from '../../../signaling/console/model/exchange-client.ts'
import { OutgoingFile } from '../../../signaling/console/model/outgoing-file.ts'
import { ReceivedFiles } from '../../../signaling/console/model/received-files.ts'
import { startServices } from '../../../signaling/console/model/services.ts'
import type { Tabs } from '../../../signaling/console/model/tabs.ts'
import { TransferList } from '../../../signaling/console/model/transfer-list.ts'
import { createRendezvous, type Rendezvous } from '../../../signaling/index.ts'

/** What one identity keeps. */
function storage(values: Map<string, unknown> = new Map<string, unknown>()): Database {
  const from = (prefix: string): string[] =>
    [...values.keys()].filter((key) => key.startsWith(prefix)).sort()
  const fake = {
    isLasting: true,
    get: async (_store: string, key: string) => values.get(key),
    put: async (_store: string, key: string, value: unknown) => void values.set(key, value),
    delete: async (_store: string, key: string) => void values.delete(key),
    all: async (_store: string, prefix: string) => from(prefix).map((key) => values.get(key)),
    clear: async (_store: string, prefix: string) => {
      for (const key of from(prefix)) values.delete(key)
    },
  }
  return fake as unknown as Database
}

const onlyTab = {
  id: 'tab',
  alive: async () => new Set(['tab']),
  changed: () => {},
  onchange: () => {},
} as unknown as Tabs

const until = (check: () => boolean): Promise<void> =>
  expect.poll(check, { timeout: 10_000, interval: 10 }).toBe(true)
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const content = (bytes: number): Uint8Array<ArrayBuffer> =>
  Uint8Array.from({ length: bytes }, (_, at) => (at * 31 + (at >> 8)) & 255)

let rendezvous: Rendezvous
/** `tab` has the console's services; `peer` has whatever a test gives it. */
let tab: PilotNode
let peer: PilotNode
let chat: Chat
let files: ReceivedFiles
let transfers: TransferList

beforeAll(async () => {
  rendezvous = await createRendezvous({
    registryAddress: '127.0.0.1:0',
    beaconAddress: '127.0.0.1:0',
  })
  const place = {
    registry: `127.0.0.1:${rendezvous.registryEndpoint.port}`,
    beacon: `127.0.0.1:${rendezvous.beaconEndpoint.port}`,
    listen: '127.0.0.1:0',
    isPublic: true,
  }
  ;[tab, peer] = await Promise.all([createNode(place), createNode(place)])
  // Visibility follows the registration.
  while ((await tab.registry.lookup(peer.nodeId)).public !== true)
    await new Promise((resolve) => setTimeout(resolve, 10))
  chat = new Chat(tab, storage(), onlyTab, 'me ')
  files = new ReceivedFiles(storage(), onlyTab, 'me ')
  transfers = new TransferList()
  startServices({ node: tab, chat, transfers, files, onfile: () => {} })
})

afterAll(async () => {
  chat.close()
  await Promise.all([tab.close(), peer.close()])
  await rendezvous.close()
})

/** Serves port 1001 of the peer while a test runs. */
async function serving(
  store: Partial<DataExchangeStore>,
  work: () => Promise<void>,
): Promise<void> {
  const listener = peer.listen(PORT.dataExchange)
  const service = new DataExchangeService({
    unixNs: () => 0n,
    setTimer: (call, ms) => {
      const timer = setTimeout(call, ms)
      return () => clearTimeout(timer)
    },
    store: { storeMessage: async () => {}, storeFile: async () => {}, ...store },
  })
  listener.onconnection = (connection) => service.serve(connection)
  try {
    await work()
  } finally {
    listener.close()
  }
}

const last = () => chat.messages(peer.nodeId).at(-1)

describe('messages', () => {
  it('are acknowledged in the order they were written', async () => {
    const arrived: string[] = []
    const storeMessage = async (
      type: string,
      _from: unknown,
      payload: Uint8Array,
    ): Promise<void> => {
      arrived.push(`${type} ${new TextDecoder().decode(payload)}`)
    }
    await serving({ storeMessage }, async () => {
      for (const text of ['one', 'zwei ü', '三\n3'])
        expect(chat.send(peer.nodeId, text)).toBeUndefined()
      expect(last()).toMatchObject({ state: 'queued', direction: 'out' })
      await until(() => last()?.state === 'acknowledged')
      expect(arrived).toEqual(['TEXT one', 'TEXT zwei ü', 'TEXT 三\n3'])
    })
  })

  it('that the peer cannot store have failed, with its reason, and can be sent again', async () => {
    let isFull = true
    const storeMessage = async (): Promise<void> => {
      if (isFull) throw new Error('the inbox is full')
    }
    await serving({ storeMessage }, async () => {
      chat.send(peer.nodeId, 'once more')
      await until(() => last()?.state === 'failed')
      expect(last()?.reason).toContain('the inbox is full')
      isFull = false
      chat.retry(peer.nodeId, last()!)
      await until(() => last()?.state === 'acknowledged')
      expect(chat.messages(peer.nodeId).filter(({ text }) => text === 'once more')).toHaveLength(1)
    })
  })

  it('to somebody who takes none have failed', async () => {
    chat.send(peer.nodeId, 'anybody?')
    await until(() => last()?.state === 'failed')
    expect(last()?.reason).toContain('nothing listens')
  })

  it('are kept one by one, in the order of time, the oldest making room', async () => {
    const values = new Map<string, unknown>()
    const kept = new Chat(tab, storage(values), onlyTab, 'room ')
    for (let i = 0; i < MESSAGES_MAX + 3; i++)
      await kept.receive(7, 'TEXT', new TextEncoder().encode(`message ${i}`))
    const again = new Chat(tab, storage(values), onlyTab, 'room ')
    again.messages(7)
    await until(() => again.messages(7).length === MESSAGES_MAX)
    expect([...values.keys()].every((key) => key.startsWith('room 7/'))).toBe(true)
    expect(kept.messages(7)[0]?.text).toBe('message 3')
    expect(again.messages(7)).toEqual(kept.messages(7))
    expect(kept.unread(7)).toBe(MESSAGES_MAX + 3)
    await kept.clear(7)
    expect(values.size).toBe(0)
  })

  it('are refused when empty, or too large for a message', () => {
    expect(chat.send(peer.nodeId, '')).toContain('nothing to send')
    expect(chat.send(peer.nodeId, 'ü'.repeat(32_769))).toContain('Send it as a file')
  })
})

describe('files', () => {
  const send = async (size: number): Promise<void> => {
    new OutgoingFile(tab, peer.nodeId, new File([content(size)], 'data.bin'), transfers)
    await until(() => ['done', 'failed'].includes(transfers.transfers.value[0]?.state ?? ''))
  }

  it('go as one frame to a peer that knows nothing else', async () => {
    let stored: Uint8Array | undefined
    const storeFile = async (_name: string, _from: unknown, data: Uint8Array): Promise<void> => {
      stored = data
    }
    await serving({ storeFile }, async () => {
      await send(3_000_000)
      expect(transfers.transfers.value[0]).toMatchObject({
        state: 'done',
        note: 'The receiver has acknowledged it.',
        sha256: sha256(content(3_000_000)),
      })
      expect(sha256(stored ?? new Uint8Array())).toBe(sha256(content(3_000_000)))
    })
  })

  it('too large for one frame are refused there, with the reason', async () => {
    await serving({}, async () => {
      await send(17 << 20)
      expect(transfers.transfers.value[0]).toMatchObject({ state: 'failed' })
      expect(transfers.transfers.value[0]?.note).toContain('files up to 16 MiB only')
    })
  })

  it('that the peer does not store have failed, with its reason', async () => {
    const storeFile = async (): Promise<void> => {
      throw new Error('received files are full (2 GiB)')
    }
    await serving({ storeFile }, async () => {
      await send(1000)
      expect(transfers.transfers.value[0]?.state).toBe('failed')
      expect(transfers.transfers.value[0]?.note).toContain('received files are full')
    })
  })
})

describe('a tab', () => {
  it('resets strangers on its inbox, and echoes for whoever may reach it', async () => {
    const client = await ExchangeClient.dial(peer, tab.nodeId)
    await client.write(encodeFileFrame('x', content(10))).catch(() => {})
    await expect(client.nextFrame()).rejects.toThrow()
    const connection = await peer.dial({ address: tab.address, port: PORT.echo })
    const writer = connection.writable.getWriter()
    await writer.write(content(5))
    const { value } = await connection.readable.getReader().read()
    expect(value).toEqual(content(5))
    connection.reset()
  })

  it('takes single frames of a peer that it trusts', async () => {
    await Promise.all([
      tab.trust.request(peer.nodeId, ''),
      peer.trust.request(tab.nodeId, ''),
      tab.trust.wait(peer.nodeId, 5000),
      peer.trust.wait(tab.nodeId, 5000),
    ])
    const client = await ExchangeClient.dial(peer, tab.nodeId)
    await client.write(encodeFileFrame('../../etc/passwd', content(1000)))
    const { type, payload } = await client.nextFrame()
    expect(type).toBe(DATA_FRAME.text)
    expect(parseAnswer(payload)).toEqual({ kind: 'ack', type: 'FILE', bytes: 1000 })
    expect(files.files.value[0]).toMatchObject({
      name: 'passwd',
      size: 1000,
      sha256: sha256(content(1000)),
    })
    client.close()
  })
})
