import { expect, it } from 'vitest'
import { Identity, PilotError } from '../../../core/index.ts'
import {
  createNode,
  DurableStorage,
  edgeCrypto,
  loadIdentity,
  MemoryStorage,
} from '../../../runtimes/edge/index.ts'
import { webSocketsThrough } from '../../../runtimes/edge/web-socket.ts'

const rendezvousUrl = 'ws://127.0.0.1:9'

async function failure(work: Promise<unknown>): Promise<PilotError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof PilotError) return error
  throw new Error(`expected a PilotError, got ${String(error)}`)
}

it.each([
  { transport: 'udp' },
  { transport: 'auto' },
  { registry: '127.0.0.1:9000' },
  { registryFingerprint: 'ab'.repeat(32) },
  { beacon: '127.0.0.1:9001' },
  { listen: ':0' },
  { endpoint: '192.0.2.1:4000' },
] as const)('refuses what needs UDP or TCP, by its name: %j', async (options) => {
  const { code, message } = await failure(createNode({ rendezvousUrl, ...options }))
  const [[name, value]] = Object.entries(options) as [[string, string]]
  expect(code).toBe('ERR_UNSUPPORTED')
  expect(message).toContain(name === 'transport' ? value : name)
})

it('needs a rendezvous, and a storage for what has a name', async () => {
  expect((await failure(createNode())).code).toBe('ERR_INVALID_ARGUMENT')
  const nowhere = failure(createNode({ rendezvousUrl, identity: 'identity.json' }))
  expect((await nowhere).code).toBe('ERR_INVALID_ARGUMENT')
  expect((await failure(loadIdentity('identity.json'))).code).toBe('ERR_INVALID_ARGUMENT')
})

it('keeps an identity in the storage of a Durable Object, and its own keys are left alone', async () => {
  const values = new Map<string, unknown>([['identity.json', 'of the application']])
  let synced = 0
  const storage = new DurableStorage({
    get: async (key) => values.get(key),
    put: async (key, value) => void values.set(key, value),
    sync: async () => void synced++,
  })
  const identity = await loadIdentity('identity.json', storage)
  expect(synced).toBe(1)
  expect(values.get('identity.json')).toBe('of the application')
  const again = await loadIdentity('identity.json', storage)
  expect(again.publicKey).toEqual(identity.publicKey)
})

it('refuses what is not its own in a Durable Object, and tells when storage fails', async () => {
  const broken = new Error('disk I/O error')
  const stored = new DurableStorage({
    get: async () => 'text',
    put: () => Promise.reject(broken),
    sync: async () => {},
  })
  const { code, message } = await failure(stored.read('trust.json'))
  expect([code, message]).toEqual([
    'ERR_STORE_CORRUPT',
    'Durable Object storage pilot:trust.json holds no bytes',
  ])
  expect((await failure(stored.write('trust.json', new Uint8Array(1)))).code).toBe('ERR_STORE_IO')
})

it('refuses an identity that is damaged, by name', async () => {
  const storage = new MemoryStorage()
  await storage.write('identity.json', new Uint8Array([1]))
  const { code, message } = await failure(createNode({ rendezvousUrl, storage }))
  expect(code).toBe('ERR_IDENTITY_INVALID')
  expect(message).toContain('memory identity.json')
})

it('gives memory of its own', async () => {
  const storage = new MemoryStorage()
  const data = new Uint8Array([1, 2])
  await storage.write('a', data)
  data[0] = 9
  const read = await storage.read('a')
  expect(read).toEqual(new Uint8Array([1, 2]))
  read?.fill(7)
  expect(await storage.read('a')).toEqual(new Uint8Array([1, 2]))
})

it('tells why a service did not take an upgrade, and closes once', async () => {
  const events: string[] = []
  const service = { fetch: async () => ({ status: 503, webSocket: null }) }
  const socket = webSocketsThrough(service)('ws://rendezvous/v1/compat', 'pilot.v1')
  await new Promise<void>((resolve) => {
    socket.onerror = (event) => events.push((event as { message: string }).message)
    socket.onclose = ({ code }) => {
      events.push(`closed ${code}`)
      resolve()
    }
  })
  socket.close()
  expect(events).toEqual(['the service answered 503 to the upgrade', 'closed 1006'])
})

it('ends with the registration time where nobody answers', async () => {
  const node = createNode({
    rendezvousUrl,
    identity: Identity.generate(edgeCrypto),
    registrationTimeoutMs: 300,
  })
  expect((await failure(node)).code).toBe('ERR_REGISTRY_UNAVAILABLE')
})
