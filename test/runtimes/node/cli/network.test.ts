import { writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { Identity } from '../../../../core/identity/identity.ts'
import {
  encodeRegistryFrame,
  RegistryFrameDecoder,
} from '../../../../core/wire/registry-message.ts'
import { nodeCrypto } from '../../../../runtimes/node/crypto.ts'
import { IpcServer } from '../../../../runtimes/node/ipc/server.ts'
import { FakeNetwork, type FakeNode } from '../fake-node.ts'
import { CliHarness } from './harness.ts'

const facts = { version: '0', owner: '', hasIdentity: true, beacon: '', transport: 'udp' } as const

let cli: CliHarness
let node: FakeNode
let server: IpcServer
let registry: Server
let asked: Record<string, unknown>[]

beforeEach(async () => {
  cli = new CliHarness()
  node = new FakeNetwork().add(7)
  asked = []
  registry = createServer((socket) => {
    const decoder = new RegistryFrameDecoder()
    socket.on('data', (chunk) => {
      decoder.push(chunk)
      for (let one = decoder.next(); one !== undefined; one = decoder.next()) {
        asked.push(one)
        socket.write(encodeRegistryFrame({ type: `${one.type}_ok`, network_id: 3 }))
      }
    })
    socket.on('error', () => {})
  })
  await new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', resolve))
  const { port } = registry.address() as { port: number }
  cli.env.PILOT_REGISTRY = `127.0.0.1:${port}`
  server = await IpcServer.listen({ node, facts, socketPath: cli.socket })
})
afterEach(async () => {
  await server.close()
  await new Promise((resolve) => registry.close(resolve))
  cli.dispose()
})

it('asks the daemon about memberships', async () => {
  node.registry.request = async () => ({
    type: 'list_networks_ok',
    networks: [{ id: 3, name: 'team', join_rule: 'token', members: 2 }],
  })
  expect((await cli.run('network', 'list', '--json')).json).toMatchObject({
    networks: [{ id: 3, name: 'team' }],
  })
  expect((await cli.run('network', 'list')).stdout).toBe(
    'ID  NAME  JOIN RULE  MEMBERS\n3   team  token      2\n',
  )
  node.registry.requestSigned = async (message) => ({ ...message, address: '3:0003.0000.0007' })
  const joined = await cli.run('network', 'join', '3', '--token', 'secret', '--json')
  expect(joined.json).toMatchObject({ type: 'join_network', network_id: 3, token: 'secret' })
  expect((await cli.run('network', 'join', '3')).stdout).toContain('as 3:0003.0000.0007')
  expect((await cli.run('network', 'accept', '3', '--json')).json).toMatchObject({ accept: true })
  expect((await cli.run('network', 'reject', '3', '--json')).json).toMatchObject({ accept: false })
  const tags = ['member-tags', 'set', '--net', '3', '--node', '9', '--tags', '#ops, night']
  expect((await cli.run(...tags, '--json')).json).toMatchObject({
    target_node_id: 9,
    tags: ['ops', 'night'],
  })
})

it('says what is wrong without a daemon or a registry', async () => {
  for (const argv of [
    ['network', 'join', 'x'],
    ['network', 'join', '65536'],
    ['network', 'create', '--name', 'n', '--join-rule', 'banana'],
    ['network', 'create', '--name', 'n', '--join-rule', 'token'],
    ['network', 'create'],
    ['network', 'policy', '3', '--set', 'colour=red'],
    ['network', 'policy', '3', '--set', 'allowed_ports=80,x'],
    ['member-tags', 'set', '--net', '3', '--tags', 'a'],
  ])
    expect(await cli.run(...argv, '--json'), argv.join(' ')).toMatchObject({
      code: 1,
      json: { code: 'invalid_argument' },
    })
  expect(await cli.run('network', 'create', '--name', 'n', '--json')).toMatchObject({
    code: 1,
    json: { code: 'auth_required', message: 'admin token required for this operation' },
  })
  expect(asked).toEqual([])
})

it('makes networks with the admin token, of the environment or the configuration', async () => {
  cli.env.PILOT_ADMIN_TOKEN = 'adm'
  const rules = '{"links":2,"cycle":"1h"}'
  const words = ['--join-rule', 'token', '--token', 's', '--enterprise', '--rules', rules]
  await cli.run('network', 'create', '--name', 'lab', ...words, '--json')
  delete cli.env.PILOT_ADMIN_TOKEN
  await cli.run('config', '--set', 'admin_token=conf')
  await cli.run('network', 'create', '--name', 'other', '--node-id', '9', '--json')
  expect(asked).toMatchObject([
    {
      type: 'create_network',
      node_id: 7,
      name: 'lab',
      join_rule: 'token',
      token: 's',
      enterprise: true,
      rules: { links: 2, cycle: '1h' },
      admin_token: 'adm',
    },
    { type: 'create_network', node_id: 9, name: 'other', join_rule: 'open', admin_token: 'conf' },
  ])
})

it('signs what a role allows with the stored identity, or takes the admin token', async () => {
  const identity = Identity.generate(nodeCrypto)
  await cli.run('config', '--set', 'note=x') // makes the folder
  writeFileSync(join(cli.home, '.pilot', 'identity.json'), identity.format())
  await cli.run('network', 'kick', '3', '9', '--json')
  const [kick] = asked
  expect(kick).toMatchObject({ type: 'kick_member', node_id: 7, network_id: 3, target_node_id: 9 })
  expect(kick).not.toHaveProperty('admin_token')
  expect(Buffer.from(`${kick?.signature}`, 'base64')).toHaveLength(64)
  cli.env.PILOT_ADMIN_TOKEN = 'adm'
  await cli.run(
    'network',
    'policy',
    '3',
    '--set',
    'max_members=5',
    'allowed_ports=80,443',
    '--json',
  )
  expect(asked[1]).toMatchObject({
    type: 'set_network_policy',
    max_members: 5,
    allowed_ports: [80, 443],
    admin_token: 'adm',
  })
  await cli.run('network', 'role', '3', '9', '--json')
  const role = { type: 'get_member_role', network_id: 3, target_node_id: 9 }
  expect(asked.slice(2)).toEqual([{ ...role, admin_token: 'adm' }])
  // Our registries tell members only: who asks proves its key first, on the same connection.
  delete cli.env.PILOT_ADMIN_TOKEN
  const told = await cli.run('network', 'role', '3', '9', '--json')
  expect(told.json.type).toBe('get_member_role_ok')
  expect(asked.slice(3)).toMatchObject([{ type: 'poll_invites', node_id: 7 }, role])
  expect(asked[3]).toHaveProperty('signature')
})
