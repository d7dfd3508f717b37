/**
 * What a role in a network allows, and making one (spec/08 §6.1): to the registry itself, signed with the stored
 * identity of this node, or with an admin token where there is one.
 */
import type { Command } from 'commander'
import { ownRequest } from '../../../../core/index.ts'
import { RegistryRequests, withSignature } from '../../../../core/rendezvous/registry-requests.ts'
import type { RegistryMessage } from '../../../../core/wire/registry-message.ts'
import { adminTokenOf, requireAdminToken } from '../admin-token.ts'
import type { Cli } from '../cli.ts'
import { CliError, usageError } from '../failure.ts'
import { loadIdentity } from '../identity-file.ts'
import { requestRegistry } from '../registry-request.ts'
import { parseJsonText, readTextFile } from '../text-file.ts'
import { isTrue, parseCount, parseNetworkId, parseNodeId, parsePort } from '../values.ts'

interface CreateFlags {
  readonly name?: string
  readonly joinRule: string
  readonly token: string
  readonly enterprise?: string | boolean
  readonly nodeId?: string
  readonly rules?: string
  readonly rulesFile?: string
}

/** `network create` and what follows from a role. */
export function addRoleCommands(network: Command, cli: Cli): void {
  network
    .command('create')
    .description("Make a network, with the registry's admin token; this node owns it")
    .option('--name <name>', 'as a hostname is written, unique')
    .option('--join-rule <rule>', 'open, token or invite', 'open')
    .option('--token <text>', 'what joiners say, for token', '')
    .option('--enterprise [bool]', 'with roles, invites and policies')
    .option('--node-id <n>', 'another owner than this node')
    .option('--rules <json>', 'rules of a managed network')
    .option('--rules-file <path>', 'the same, from a file')
    .action((flags: CreateFlags) => create(cli, flags))

  network
    .command('delete')
    .description('Delete a network, as its owner')
    .argument('<network_id>')
    .action((typed: string) =>
      byRole(cli, 'network delete', { type: 'delete_network', network_id: parseNetworkId(typed) }),
    )

  network
    .command('rename')
    .description('Give a network another name')
    .argument('<network_id>')
    .argument('<name>')
    .action((typed: string, name: string) =>
      byRole(cli, 'network rename', {
        type: 'rename_network',
        network_id: parseNetworkId(typed),
        name,
      }),
    )

  for (const [verb, description] of [
    ['promote', 'Make a member an admin'],
    ['demote', 'Make an admin a plain member'],
    ['kick', 'Remove a member'],
  ] as const)
    network
      .command(verb)
      .description(description)
      .argument('<network_id>')
      .argument('<node>', 'node id, address or hostname')
      .action(async (typed: string, node: string) =>
        byRole(cli, `network ${verb}`, {
          type: `${verb}_member`,
          network_id: parseNetworkId(typed),
          target_node_id: await cli.targetNode(node),
        }),
      )

  network
    .command('role')
    .description('Role of a member')
    .argument('<network_id>')
    .argument('<node>', 'node id, address or hostname')
    .action(async (typed: string, node: string) => {
      const message = {
        type: 'get_member_role',
        network_id: parseNetworkId(typed),
        target_node_id: await cli.targetNode(node),
      }
      await read(cli, 'network role', message)
    })

  network
    .command('policy')
    .description('Limits of a network; --set changes them')
    .argument('<network_id>')
    .argument('[changes...]', 'further key=value after --set')
    .option(
      '--set <key=value>',
      'max_members=<n>, allowed_ports=80,443 or description=<text>',
      (value: string, before: string[] = []) => [...before, value],
    )
    .action(async (typed: string, more: string[], { set }: { set?: string[] }) => {
      const id = parseNetworkId(typed)
      if (set !== undefined)
        return byRole(cli, 'network policy', {
          type: 'set_network_policy',
          network_id: id,
          ...policyChanges([...set, ...more]),
        })
      const message = { type: 'get_network_policy', network_id: id }
      await read(cli, 'network policy', message)
    })
}

/** `member-tags`: through the daemon, whose token and role count. */
export function addTagCommands(program: Command, cli: Cli): void {
  const tags = program.command('member-tags').description('Tags of the members of a network')
  const GET = 0
  const SET = 1
  const run = async (action: number, net: string, node: string, payload = ''): Promise<void> => {
    const body = new TextEncoder().encode(payload)
    const rest = new Uint8Array(7 + body.length)
    const view = new DataView(rest.buffer)
    view.setUint8(0, action)
    view.setUint16(1, parseNetworkId(net))
    view.setUint32(3, node === '' ? 0 : await cli.targetNode(node))
    rest.set(body, 7)
    cli.result(
      await cli.request('member-tags', (daemon) =>
        daemon.requestJson({ type: 'managed', sub: MEMBER_TAGS, rest }),
      ),
    )
  }
  tags
    .command('get')
    .description('Tags of one member, or of all')
    .option('--net <id>', 'network')
    .option('--node <node>', 'node id, address or hostname; all without it', '')
    .action(async ({ net = '', node }: { net?: string; node: string }) => run(GET, net, node))
  tags
    .command('set')
    .description('Replace the tags of a member')
    .option('--net <id>', 'network')
    .option('--node <node>', 'node id, address or hostname', '')
    .option('--tags <tags>', 'comma between; "" removes them')
    .action(
      async ({ net = '', node, tags: typed }: { net?: string; node: string; tags?: string }) => {
        if (node === '') throw usageError('--node is required')
        if (typed === undefined) throw usageError('--tags is required')
        const list = typed
          .split(',')
          .map((tag) => tag.trim().replace(/^#/, ''))
          .filter((tag) => tag !== '')
        await run(SET, net, node, JSON.stringify(list))
      },
    )
}

const MEMBER_TAGS = 6

async function create(cli: Cli, flags: CreateFlags): Promise<void> {
  const { name = '', joinRule, token, rules, rulesFile } = flags
  if (name === '') throw usageError('--name is required')
  if (!['open', 'token', 'invite'].includes(joinRule))
    throw usageError(`invalid --join-rule ${JSON.stringify(joinRule)}: open, token or invite`)
  if (joinRule === 'token' && token === '') throw usageError('--join-rule token needs --token')
  const adminToken = requireAdminToken(cli)
  const nodeId = flags.nodeId === undefined ? await ownId(cli) : parseNodeId(flags.nodeId)
  if (nodeId === undefined) throw usageError('--node-id must be a node id')
  const document = rules ?? (rulesFile === undefined ? undefined : readTextFile(rulesFile))
  const requests = new RegistryRequests(new Uint8Array(32), nodeId)
  const { message } = requests.createNetwork(
    {
      name,
      token,
      joinRule: joinRule as 'open' | 'token' | 'invite',
      isEnterprise: flags.enterprise !== undefined && isTrue(flags.enterprise),
      ...(document !== undefined && { rules: parseJsonText(document, 'rules') }),
    },
    adminToken,
  )
  const reply = await requestRegistry(cli.registry, message, 'network create')
  cli.result(reply, [`network ${reply.network_id} created: ${name}`])
}

/** With the admin token where there is one, else as this node. */
async function byRole(cli: Cli, label: string, members: RegistryMessage): Promise<void> {
  const adminToken = adminTokenOf(cli)
  const nodeId = await ownId(cli).catch((error: unknown) => {
    if (adminToken === '') throw error
    return 0
  })
  const isKnown = adminToken === ''
  const identity = isKnown ? loadIdentity(cli, undefined).identity : undefined
  const { message, challenge = '' } = ownRequest(
    new RegistryRequests(identity?.publicKey ?? new Uint8Array(32), nodeId),
    { ...members, ...(adminToken !== '' && { admin_token: adminToken }) },
  )
  const request =
    identity === undefined ? message : withSignature(message, identity.sign(challenge))
  cli.result(await requestRegistry(cli.registry, request, label))
}

/** With the admin token, or as this node where its key can be read: our registries tell members only. */
async function read(cli: Cli, label: string, message: RegistryMessage): Promise<void> {
  const adminToken = adminTokenOf(cli)
  const proof = adminToken === '' ? await proofOf(cli).catch(() => undefined) : undefined
  const request = adminToken === '' ? message : { ...message, admin_token: adminToken }
  cli.result(await requestRegistry(cli.registry, request, label, proof))
}

/** Changes nothing: invites stay when they are asked for. */
async function proofOf(cli: Cli): Promise<RegistryMessage> {
  const { identity } = loadIdentity(cli, undefined)
  const requests = new RegistryRequests(identity.publicKey, await ownId(cli))
  const { message, challenge = '' } = requests.pollInvites()
  return withSignature(message, identity.sign(challenge))
}

async function ownId(cli: Cli): Promise<number> {
  const { node_id: id } = await cli.request('info', (daemon) => daemon.info())
  if (typeof id !== 'number') throw new CliError('connection_failed', 'info: no node id')
  return id
}

/** `max_members=5`, `allowed_ports=80,443`, `description=any text`. */
function policyChanges(words: readonly string[]): RegistryMessage {
  const changes: Record<string, unknown> = {}
  for (const word of words) {
    const [key = '', ...rest] = word.split('=')
    const value = rest.join('=')
    if (key === 'max_members') changes[key] = parseCount(value, 'set max_members')
    else if (key === 'allowed_ports')
      changes[key] = value === '' ? [] : value.split(',').map((port) => parsePort(port.trim()))
    else if (key === 'description') changes[key] = value
    else
      throw usageError(
        `--set knows max_members, allowed_ports and description, got ${JSON.stringify(word)}`,
      )
  }
  return changes
}
