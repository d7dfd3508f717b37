import { createHmac } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createNode } from '../../../runtimes/node/index.ts'
import { DeadLetters } from '../../../runtimes/node/webhook/dead-letters.ts'
import { watchNode } from '../../../runtimes/node/webhook/webhook-events.ts'
import { WebhookSender } from '../../../runtimes/node/webhook/webhook-sender.ts'
import { parseWebhookUrl } from '../../../runtimes/node/webhook/webhook-url.ts'
import type { PilotNode } from '../../../runtimes/shared/api.ts'
import { createRendezvous } from '../../../signaling/index.ts'

let directory: string
let server: Server
let url: string
/** What the next requests are answered; then 200. */
let answers: (number | string)[]
const got: Record<string, unknown>[] = []
let lastSignature: unknown
let lastBody = ''
const opened: { close(): unknown }[] = []

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'pilot-webhook-'))
  answers = []
  got.length = 0
  server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const answer = answers.shift() ?? 200
    if (typeof answer === 'string') response.writeHead(307, { location: answer })
    else response.statusCode = answer
    if (response.statusCode === 200)
      got.push({ ...JSON.parse(body), type: request.headers['content-type'] })
    lastSignature = request.headers['x-pilot-signature-256']
    lastBody = body
    response.end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`
})
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close()
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  rmSync(directory, { recursive: true })
})

const senderTo = (target: string, secret = ''): WebhookSender =>
  new WebhookSender({
    url: target,
    secret,
    nodeId: () => 7,
    deadLetters: new DeadLetters(join(directory, 'dead.jsonl')),
    warn: () => {},
    waitsMs: [5, 5],
  })
const dead = (): Record<string, unknown>[] =>
  readFileSync(join(directory, 'dead.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

describe('sender', () => {
  it('posts events one after the other, numbered', async () => {
    const sender = senderTo(url)
    sender.send('a', { x: 1 })
    sender.send('b')
    await sender.stop()
    expect(got).toEqual([
      expect.objectContaining({ event_id: 1, event: 'a', node_id: 7, data: { x: 1 } }),
      expect.objectContaining({ event_id: 2, event: 'b', type: 'application/json' }),
    ])
    expect(got[1]).not.toHaveProperty('data')
    expect(got[0]!.timestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$/)
  })

  it('signs what it posts where a secret is given, as receivers of the newest reference verify', async () => {
    const plain = senderTo(url)
    plain.send('a')
    await plain.stop()
    expect(lastSignature).toBeUndefined()
    const sender = senderTo(url, 'sécret')
    sender.send('b', { text: 'é' })
    await sender.stop()
    expect(lastSignature).toBe(createHmac('sha256', 'sécret').update(lastBody).digest('hex'))
  })

  it('tries thrice what a server could not take, and keeps the order', async () => {
    answers = [500, 503]
    const sender = senderTo(url)
    sender.send('first')
    sender.send('second')
    await sender.stop()
    expect(got.map((one) => one.event)).toEqual(['first', 'second'])
  })

  it('keeps as dead letters what nobody took', async () => {
    answers = [500, 500, 500, 404]
    const sender = senderTo(url)
    for (const name of ['gone', 'refused', 'fine']) sender.send(name)
    await sender.stop()
    expect(got.map((one) => one.event)).toEqual(['fine'])
    expect(dead()).toEqual([
      expect.objectContaining({
        reason: 'HTTP status 500',
        body: expect.objectContaining({ event: 'gone' }),
      }),
      expect.objectContaining({ reason: 'HTTP status 404' }),
    ])
    server.closeAllConnections()
    const deaf = senderTo('http://127.0.0.1:2/')
    deaf.send('nobody')
    await deaf.stop()
    expect(dead()[2]!.reason).toContain('ECONNREFUSED')
  })

  it('follows a redirect, but not to where it may not go', async () => {
    answers = [url, 200, 'http://169.254.169.254/latest/meta-data']
    const sender = senderTo(url)
    sender.send('moved')
    sender.send('lured')
    await sender.stop()
    expect(got.map((one) => one.event)).toEqual(['moved'])
    expect(dead()[0]!.reason).toContain('link-local')
  })

  it('drops beyond 1024 that wait, and never waits itself', async () => {
    const sender = senderTo(url)
    for (let i = 0; i < 2000; i++) sender.send('x')
    expect(sender.dropped).toBeGreaterThan(900)
    await sender.stop()
    expect(got.length + sender.dropped).toBe(2000)
  })
})

it.each([
  'ftp://x/',
  'nonsense',
  'http://169.254.1.1/',
  'http://[fe80::1]/',
  'http://[::ffff:169.254.169.254]/',
  'http://0xa9fea9fe/',
  'http://metadata.google.internal./x',
])('%s is no target', (bad) => {
  expect(() => parseWebhookUrl(bad)).toThrow(/the webhook URL/)
})
it('other targets are taken', () => {
  for (const good of ['https://example.org/a?b', 'http://127.0.0.1:8080', 'http://[::1]/'])
    expect(parseWebhookUrl(good).href).toContain(good)
})

it('tells of two nodes that meet, talk and part', async () => {
  const rendezvous = await createRendezvous({
    registryAddress: '127.0.0.1:0',
    beaconAddress: '127.0.0.1:0',
  })
  opened.push(rendezvous)
  const make = async (): Promise<PilotNode> => {
    const node = await createNode({
      registry: `127.0.0.1:${rendezvous.registryEndpoint.port}`,
      beacon: `127.0.0.1:${rendezvous.beaconEndpoint.port}`,
      details: true,
    })
    opened.push(node)
    return node
  }
  const [near, far] = [await make(), await make()]
  const events: [string, Record<string, unknown> | undefined][] = []
  const stop = watchNode(far, (name, data) => events.push([name, data]))
  const named = (name: string): Record<string, unknown> | undefined =>
    events.find(([one]) => one === name)?.[1]
  await near.trust.request(far.nodeId, 'hello')
  await expect
    .poll(() => named('handshake.pending'))
    .toEqual({
      peer_node_id: near.nodeId,
      justification: 'hello',
    })
  await far.trust.approve(near.nodeId)
  expect(named('handshake.approved')).toEqual({ peer_node_id: near.nodeId })
  await near.trust.wait(far.nodeId, 5000)
  far.listen(80).onconnection = (connection) => {
    connection.onreadable = () => {
      while (connection.read() !== undefined);
      if (connection.ended) connection.close()
    }
  }
  const connection = await near.dial({ address: far.address, port: 80 })
  const src = `0:0000.0000.${near.nodeId.toString(16).toUpperCase().padStart(4, '0')}`
  const place = { src_addr: src, src_port: connection.local.port, dst_port: 80 }
  await expect
    .poll(() => events.find(([name, data]) => name === 'conn.established' && data?.dst_port === 80))
    .toEqual(['conn.established', { ...place, conn_id: expect.any(Number) }])
  near.sendDatagram({ address: far.address, port: 9 }, Uint8Array.of(1, 2))
  connection.close()
  await expect.poll(() => named('data.datagram')).toMatchObject({ dst_port: 9, size: 2 })
  await expect
    .poll(() => events.find(([name, data]) => name === 'conn.fin' && data?.local_port === 80)?.[1])
    .toMatchObject({ remote_addr: src, remote_port: place.src_port })
  ;(await near.dial({ address: far.address, port: 80 })).reset()
  await expect.poll(() => named('conn.rst')).toMatchObject({ remote_addr: src, local_port: 80 })
  await near.trust.revoke(far.nodeId)
  await expect.poll(() => named('trust.revoked_by_peer')).toEqual({ peer_node_id: near.nodeId })
  const names = new Set(events.map(([name]) => name))
  for (const name of ['node.registered', 'tunnel.established', 'conn.syn_received'])
    expect(names).toContain(name)
  expect(names).not.toContain('handshake.auto_approved')
  expect(names).not.toContain('trust.revoked')
  stop()
})
