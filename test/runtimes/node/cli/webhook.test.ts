import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { UsageError } from '../../../../core/errors.ts'
import { IpcServer } from '../../../../runtimes/node/ipc/server.ts'
import type { PilotDatagram } from '../../../../runtimes/shared/api.ts'
import { FakeNetwork, type FakeNode } from '../fake-node.ts'
import { CliHarness } from './harness.ts'

const facts = { version: '0', owner: '', hasIdentity: true, beacon: '', transport: 'udp' } as const

let cli: CliHarness
let node: FakeNode
let other: FakeNode
let server: IpcServer | undefined
let urls: string[]

beforeEach(() => {
  cli = new CliHarness()
  const network = new FakeNetwork()
  node = network.add(1)
  other = network.add(2)
  urls = []
})
afterEach(async () => {
  await server?.close()
  server = undefined
  cli.dispose()
})

async function start(options: Partial<Parameters<typeof IpcServer.listen>[0]> = {}): Promise<void> {
  server = await IpcServer.listen({ node, facts, socketPath: cli.socket, ...options })
}

const stored = (): unknown =>
  JSON.parse(readFileSync(join(cli.home, '.pilot', 'config.json'), 'utf8')).webhook

it('keeps the webhook for the next start, and tells a daemon that runs', async () => {
  const url = 'https://example.org/hook?a=1'
  expect((await cli.run('set-webhook', url, '--json')).json).toEqual({
    webhook: url,
    applied: false,
  })
  expect(stored()).toBe(url)
  await start({
    setWebhook: async (one) => {
      urls.push(one)
    },
  })
  expect((await cli.run('set-webhook', url)).stdout).toBe(
    `webhook set: ${url}\napplied to running daemon\n`,
  )
  expect((await cli.run('clear-webhook', '--json')).json).toEqual({ webhook: '', applied: true })
  expect(urls).toEqual([url, ''])
  expect(stored()).toBeUndefined()
})

it('stores nothing that is refused, here or by the daemon', async () => {
  for (const url of [
    'ftp://example.org',
    'example.org',
    'http://169.254.169.254/latest',
    'http://',
  ])
    expect(await cli.run('set-webhook', url, '--json'), url).toMatchObject({
      code: 1,
      json: { code: 'invalid_argument' },
    })
  await cli.run('set-webhook', 'http://first.example/')
  await start({
    setWebhook: async () => {
      throw new UsageError('ERR_INVALID_ARGUMENT', 'the webhook URL is not liked')
    },
  })
  const refused = await cli.run('set-webhook', 'http://second.example/', '--json')
  expect(refused).toMatchObject({ code: 1, json: { message: expect.stringMatching(/not liked/) } })
  expect(stored()).toBe('http://first.example/')
})

it('broadcasts as a member, or with the token, and says who may not', async () => {
  node.registry.request = async ({ network_id: network, admin_token: token }) => ({
    nodes: network === 3 || token === 'adm' ? [{ node_id: 1 }, { node_id: 2 }] : [{ node_id: 2 }],
  })
  const heard: PilotDatagram[] = []
  other.onDatagram((datagram) => heard.push(datagram))
  await start()
  expect((await cli.run('broadcast', '3', 'hello', '--port', '6000', '--json')).json).toEqual({
    network_id: 3,
    message: 'hello',
    port: 6000,
    bytes: 5,
  })
  expect(await cli.run('broadcast', '4', 'hello', '--json')).toMatchObject({
    code: 1,
    json: { code: 'not_found', hint: 'join it first: pilotctl network join 4' },
  })
  await server?.close()
  await start({ adminToken: 'adm' })
  cli.env.PILOT_ADMIN_TOKEN = 'wrong'
  expect(await cli.run('broadcast', '4', 'x', '--json')).toMatchObject({ code: 1 })
  cli.env.PILOT_ADMIN_TOKEN = 'adm'
  expect((await cli.run('broadcast', '4', 'with token', '--json')).code).toBe(0)
  await expect
    .poll(() => heard.map(({ data }) => Buffer.from(data).toString()))
    .toEqual(['hello', 'with token'])
  expect(heard.map(({ destinationPort }) => destinationPort)).toEqual([6000, 1000])
})
