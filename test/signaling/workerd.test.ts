/** The doors of the rendezvous in workerd: who may upgrade, what passes, and what happens to the rest (spec/09, 10 §7). */
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { encodeRegistryFrame } from '../../core/wire/registry-message.ts'
import { startWorkerd, type Workerd } from '../runtimes/edge/workerd.ts'
import {
  authenticate,
  Client,
  closeOpened,
  compat,
  type Doors,
  joined,
  register,
  registered,
} from './door-client.ts'
import { identity } from './registry-bench.ts'
import { delivered, relay, Session } from './registry-session.ts'

let workerd: Workerd
let doors: Doors
const log: string[] = []

beforeAll(async () => {
  workerd = await startWorkerd({
    entry: join(import.meta.dirname, 'workerd-worker.ts'),
    objects: { RENDEZVOUS: 'TestRendezvous' },
    onlog: (line) => log.push(line),
  })
  doors = { httpUrl: workerd.url }
})
afterEach(closeOpened)
afterAll(() => workerd.close())

it('says at its start, in the log and on the status page, what a worker cannot do', async () => {
  const page = await (await fetch(`${workerd.url}/`)).text()
  for (const text of [page, log.join('\n')]) {
    expect(text).toContain('there is no UDP, so no beacon')
    expect(text).toContain('no registry on TCP')
  }
})

it('answers the questions of HTTP, and keeps its metrics to itself', async () => {
  const statuses = new Map<string, number>()
  for (const path of ['/v1/compat', '/v1/registry', '/health', '/healthz', '/metrics']) {
    const response = await fetch(`${workerd.url}${path}`)
    await response.text() // a response that nobody reads keeps the object awake
    statuses.set(path, response.status)
  }
  expect([...statuses.values()]).toEqual([426, 426, 200, 200, 403])
  expect(await (await fetch(`${workerd.url}/api/stats`)).json()).toHaveProperty('total_nodes')
})

it('picks its subprotocol, and refuses others and pages of other origins', async () => {
  const client = compat(doors, { origin: 'https://example.org' })
  expect(await client.opened).toBe(0)
  expect(client.socket.protocol).toBe('pilot.v1')
  expect(await new Client(doors, '/v1/compat', 'pilot.v2').opened).toBe(400)
  expect(await new Client(doors, '/v1/registry', 'pilot.v1').opened).toBe(400)
  expect(await compat(doors, { origin: 'https://example.org.evil.net' }).opened).toBe(403)
})

it('relays in order, and only in the name of who is there', async () => {
  const [a, b] = [await joined(doors, 'order-a'), await joined(doors, 'order-b')]
  a.client.socket.send(relay(b.id, b.id, 0x50, 0xff))
  a.client.socket.send(Uint8Array.of(5, 0))
  a.client.socket.send(Uint8Array.of())
  for (let i = 0; i < 100; i++) a.client.socket.send(relay(a.id, b.id, 0x50, i))
  await b.client.message(101)
  expect(b.client.messages.slice(2)).toEqual(
    Array.from({ length: 100 }, (_, i) => delivered(a.id, 0x50, i)),
  )
})

it('closes on a bad signature, on frames before one, and on messages that are too large', async () => {
  const id = await registered(doors, identity('forged'))
  const forged = compat(doors)
  await authenticate(forged, id, identity('another'))
  expect(await forged.closed).toBe('1008 auth failed')
  const hasty = compat(doors)
  await hasty.message(0)
  hasty.socket.send(relay(id, id, 1))
  expect(await hasty.closed).toBe('1008 auth failed')
  const { client } = await joined(doors, 'large')
  client.socket.send(new Uint8Array(65_537))
  expect(await client.closed).toMatch(/^1009/)
  const wordy = compat(doors)
  await wordy.message(0)
  wordy.socket.send('x'.repeat(100_000))
  expect(await wordy.closed).toMatch(/^1009/)
})

it('closes the older connection of a node with 1000', async () => {
  const { id, client } = await joined(doors, 'twice')
  const second = compat(doors)
  await authenticate(second, id, identity('twice'))
  expect(await client.closed).toBe('1000 replaced')
  expect(await second.message(1)).toBe('{"type":"auth_ok","alive":true}')
})

it('closes a registry client on text, on bytes that are no frame, and on messages that are too large', async () => {
  for (const [data, code] of [
    ['{"type":"list_networks"}', '1003'],
    [Uint8Array.of(0, 0x10, 0, 1), '1001'],
    [new Uint8Array(65_537), '1009'],
  ] as const) {
    const { client } = new Session(doors)
    await client.opened
    client.socket.send(data)
    expect(await client.closed).toMatch(code)
  }
})

it('answers frames cut anywhere, and refuses what Node refuses', async () => {
  const session = new Session(doors)
  await session.client.opened
  const frame = encodeRegistryFrame({ type: 'list_networks', padding: 'x'.repeat(200_000) })
  for (let at = 0; at < frame.length; at += 60_000)
    session.client.socket.send(frame.subarray(at, at + 60_000))
  expect(await session.reply()).toHaveProperty('type', 'list_networks_ok')
  expect(await session.ask({ type: 'nope' })).toHaveProperty('type', 'error')
  const who = identity('refused')
  expect(await session.ask({ ...register(who), signature: 'AAAA' })).toHaveProperty('type', 'error')
  const text = encodeRegistryFrame({ type: 'set_audit_export', endpoint: 'https://example.org' })
  session.client.socket.send(text)
  expect(await session.reply()).toHaveProperty('type', 'error')
})
