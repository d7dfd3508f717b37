/** The rendezvous in workerd asleep, and after its process ended: what it answered, and what was on its way, is there. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { encodeRegistryFrame } from '../../core/wire/registry-message.ts'
import { startWorkerd, type Workerd } from '../runtimes/edge/workerd.ts'
import {
  ask,
  authenticate,
  closeOpened,
  compat,
  type Doors,
  joined,
  register,
  registered,
} from './door-client.ts'
import { identity } from './registry-bench.ts'
import { delivered, handshake, relay, Session } from './registry-session.ts'

/** What it logs comes later than what it sends. */
const LOG_MS = 300

let folder: string
let workerd: Workerd
let doors: Doors
const log: string[] = []

async function start(port = 0): Promise<void> {
  workerd = await startWorkerd({
    entry: join(import.meta.dirname, 'workerd-worker.ts'),
    objects: { RENDEZVOUS: 'TestRendezvous' },
    directory: folder,
    port,
    onlog: (line) => log.push(line),
  })
  doors = { httpUrl: workerd.url }
}

/** Another process on the same storage, at the same address. */
async function restart(): Promise<void> {
  const { port } = new URL(workerd.url)
  await workerd.close()
  await start(Number(port))
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'pilot-workerd-'))
  await start()
})
afterEach(closeOpened)
afterAll(async () => {
  await workerd.close()
  rmSync(folder, { recursive: true, force: true })
})

const awakenings = (): readonly { sockets: number; nodes: number; frames: number }[] =>
  log.filter((line) => line.includes('rendezvous awake')).map((line) => JSON.parse(line))

it('sleeps and wakes without losing a registration, a request for trust, a frame, or its place in one', async () => {
  const [alice, bob] = [identity('sleep-alice'), identity('sleep-bob')]
  const [a, b] = [await joined(doors, 'sleep-alice'), await joined(doors, 'sleep-bob')]
  // One after the other: workerd holds on to an object that took two upgrades at once, and never lets it sleep.
  const mine = new Session(doors)
  await mine.client.opened
  const theirs = new Session(doors)
  await theirs.client.opened
  expect(await mine.ask({ ...register(alice), hostname: 'sleeper' })).toMatchObject({
    node_id: a.id,
    hostname: 'sleeper',
  })
  expect(await mine.ask(handshake(alice, a.id, b.id))).not.toHaveProperty('type', 'error')
  // What one poll handed out is acknowledged by the next request of the same connection, after the sleep.
  const first = await theirs.poll(bob, b.id)
  expect(first.requests).toHaveLength(1)
  const late = handshake(bob, b.id, a.id)
  const frame = encodeRegistryFrame(late)
  const half = new Session(doors)
  await half.client.opened
  half.client.socket.send(frame.subarray(0, 50))
  a.client.socket.send(relay(a.id, b.id, 0x50, 1))
  expect(await b.client.message(2)).toEqual(delivered(a.id, 0x50, 1))

  await workerd.evict('TestRendezvous', 'rendezvous', 'hibernate')
  // Questions for a sign of life are answered in its sleep.
  a.client.socket.send('{"type":"alive"}')
  expect(await a.client.message(2)).toBe('{"type":"alive"}')
  await new Promise((resolve) => setTimeout(resolve, LOG_MS))
  expect(awakenings()).toHaveLength(1)
  a.client.socket.send(relay(a.id, b.id, 0x50, 2))
  expect(await b.client.message(3)).toEqual(delivered(a.id, 0x50, 2))
  await expect.poll(() => awakenings().length).toBe(2)
  // The two at the relay, and three at the registry.
  expect(awakenings().at(-1)?.sockets).toBe(5)

  half.client.socket.send(frame.subarray(50))
  expect(await half.reply()).not.toHaveProperty('type', 'error')
  expect((await theirs.poll(bob, b.id)).requests ?? []).toEqual([])
  expect((await mine.poll(alice, a.id)).requests).toHaveLength(1)
  expect(await ask(doors, { type: 'lookup', node_id: a.id })).toMatchObject({
    node_id: a.id,
    hostname: 'sleeper',
  })
  // The connection that proved the key before is still the one that did: an unsigned registration moves it.
  const { signature: _, ...unsigned } = register(alice)
  expect(await mine.ask({ ...unsigned, hostname: 'awake' })).toMatchObject({ hostname: 'awake' })
})

it('is there again when it was moved: every WebSocket ends, and what was kept is there', async () => {
  const { id, client } = await joined(doors, 'moved')
  await workerd.evict('TestRendezvous', 'rendezvous', 'close')
  await client.closed
  const again = compat(doors)
  await authenticate(again, id, identity('moved'))
  expect(String(await again.message(1))).toContain('auth_ok')
})

it('loses nothing that it answered, nor frames on their way, when its process ends', async () => {
  const [alice, bob] = [identity('kept-alice'), identity('kept-bob')]
  const session = new Session(doors)
  const { node_id: a } = (await session.ask({ ...register(alice), hostname: 'kept' })) as {
    node_id: number
  }
  const { node_id: b } = (await session.ask(register(bob))) as { node_id: number }
  expect(await session.ask(handshake(alice, a, b))).not.toHaveProperty('type', 'error')
  const sender = compat(doors)
  await authenticate(sender, a, alice)
  await sender.message(1)
  // Bob is registered, and not here: he may be on his way back.
  for (let i = 0; i < 3; i++) sender.socket.send(relay(a, b, 0x50, i))
  const gone = sender.closed
  // A question after the frames: when it is answered they have arrived.
  sender.socket.send(relay(a, a, 0x50))
  await sender.message(2)
  await restart()
  await gone
  const receiver = compat(doors)
  await receiver.message(0)
  await expect.poll(() => awakenings().at(-1)).toMatchObject({ sockets: 0, frames: 3 })
  await authenticate(receiver, b, bob)
  await receiver.message(4)
  expect(receiver.messages.slice(2)).toEqual([0, 1, 2].map((i) => delivered(a, 0x50, i)))
  const later = new Session(doors)
  expect((await later.poll(bob, b)).requests).toMatchObject([{ from_node_id: a }])
  expect(await later.ask({ type: 'lookup', node_id: a })).toMatchObject({ hostname: 'kept' })
  expect(await registered(doors, alice)).toBe(a)
})
