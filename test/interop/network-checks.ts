/** Networks: made with its admin token, joined by token, left. */
import { type Checks, expectEqual } from './checks.ts'
import type { Json, LiveNode } from './live-node.ts'
import { ADMIN_TOKEN } from './live-rendezvous.ts'

export async function networks(checks: Checks, owner: LiveNode, member: LiveNode): Promise<void> {
  const names = `${owner.name}, ${member.name}`
  let network = 0
  const isMade = await checks.check(`network create ${owner.name}`, async () => {
    network = await create(owner)
    return `network ${network}`
  })
  if (!isMade) return
  await checks.check(`network join ${names}`, () => join(owner, member, network))
  await checks.check(`network leave ${names}`, () => leave(owner, member, network))
}

async function create(owner: LiveNode): Promise<number> {
  await owner.ctl(['config', '--set', `admin_token=${ADMIN_TOKEN}`])
  const made = await owner.ctl([
    ...['network', 'create', '--name', 'team', '--join-rule', 'token', '--token', 'open sesame'],
    ...['--node-id', `${owner.nodeId}`],
  ])
  expectEqual(made.name, 'team', 'name')
  const { networks } = await owner.ctl(['network', 'list'])
  const found = networks.find((one: Json) => one.id === made.network_id)
  expectEqual(found?.join_rule, 'token', 'join rule')
  return made.network_id
}

async function join(owner: LiveNode, member: LiveNode, network: number): Promise<string> {
  const refused = await member.run(['network', 'join', `${network}`, '--token', 'wrong'])
  expectEqual(refused.code, 1, 'exit code with a wrong token')
  expectEqual(JSON.parse(refused.stderr).code, 'connection_failed', 'code with a wrong token')
  const joined = await member.ctl(['network', 'join', `${network}`, '--token', 'open sesame'])
  expectEqual(joined.network_id, network, 'network joined')
  for (const node of [owner, member])
    expectEqual(
      (await members(node, network)).join(),
      [owner.nodeId, member.nodeId].sort((a, b) => a - b).join(),
      `members told to ${node.name}`,
    )
  return joined.address
}

async function leave(owner: LiveNode, member: LiveNode, network: number): Promise<undefined> {
  await member.ctl(['network', 'leave', `${network}`])
  expectEqual((await members(owner, network)).join(), `${owner.nodeId}`, 'members left')
  expectEqual(
    (await member.run(['network', 'leave', `${network}`])).code,
    1,
    'exit code of a second leave',
  )
}

async function members(node: LiveNode, network: number): Promise<readonly number[]> {
  const { nodes } = await node.ctl(['network', 'members', `${network}`])
  return (nodes ?? []).map((one: Json) => one.node_id).sort((a: number, b: number) => a - b)
}
