/**
 * `network`: memberships and invites, through the daemon (spec/08 §6.1).
 */
import type { Command } from 'commander'
import type { DriverMessage } from '../../ipc/driver-message.ts'
import type { Cli } from '../cli.ts'
import { cellText, formatTable, rowsOf } from '../table.ts'
import { parseNetworkId } from '../values.ts'
import { addRoleCommands, addTagCommands } from './network-role.ts'

export function addNetworkCommands(program: Command, cli: Cli): void {
  const network = program
    .command('network')
    .description('Networks: groups of nodes at the registry')
  addMembershipCommands(network, cli)
  addRoleCommands(network, cli)
  addTagCommands(program, cli)
}

function addMembershipCommands(network: Command, cli: Cli): void {
  network
    .command('list')
    .description('All networks of the registry')
    .action(async () => {
      const reply = await ask(cli, 'network list', { type: 'network-list' })
      const rows = rowsOf(reply, 'networks').map((one) =>
        ['id', 'name', 'join_rule', 'members'].map((key) => cellText(one[key])),
      )
      cli.result(
        reply,
        rows.length === 0
          ? ['No networks']
          : formatTable(['ID', 'NAME', 'JOIN RULE', 'MEMBERS'], rows),
      )
    })

  network
    .command('join')
    .description('Join a network')
    .argument('<network_id>')
    .option('--token <text>', 'what its rule asks for', '')
    .action(async (typed: string, { token }: { token: string }) => {
      const id = parseNetworkId(typed)
      const reply = await ask(cli, 'network join', { type: 'network-join', network: id, token })
      cli.result(reply, [
        `joined network ${id}${typeof reply.address === 'string' ? ` as ${reply.address}` : ''}`,
      ])
    })

  network
    .command('leave')
    .description('Leave a network')
    .argument('<network_id>')
    .action(async (typed: string) => {
      const id = parseNetworkId(typed)
      const reply = await ask(cli, 'network leave', { type: 'network-leave', network: id })
      cli.result(reply, [`left network ${id}`])
    })

  network
    .command('members')
    .description('Members of a network')
    .argument('<network_id>')
    .action(async (typed: string) => {
      const reply = await ask(cli, 'network members', {
        type: 'network-members',
        network: parseNetworkId(typed),
      })
      const rows = rowsOf(reply, 'nodes').map((one) =>
        ['node_id', 'address', 'hostname', 'role'].map((key) => cellText(one[key])),
      )
      cli.result(
        reply,
        rows.length === 0
          ? ['No members']
          : formatTable(['NODE ID', 'ADDRESS', 'HOSTNAME', 'ROLE'], rows),
      )
    })

  network
    .command('invite')
    .description('Invite a node, where the network is joined by invite')
    .argument('<network_id>')
    .argument('<node>', 'node id, address or hostname')
    .action(async (typed: string, node: string) => {
      const id = parseNetworkId(typed)
      const nodeId = await cli.targetNode(node)
      const reply = await ask(cli, 'network invite', {
        type: 'network-invite',
        network: id,
        nodeId,
      })
      cli.result(reply, [
        reply.status === 'already_invited'
          ? `node ${nodeId} is invited already`
          : `node ${nodeId} is invited to network ${id}`,
      ])
    })

  network
    .command('invites')
    .description('Invites that wait for this node')
    .action(async () => {
      const reply = await ask(cli, 'network invites', { type: 'network-poll-invites' })
      const rows = rowsOf(reply, 'invites').map((one) => [
        cellText(one.network_id),
        cellText(one.inviter_id),
      ])
      cli.result(
        reply,
        rows.length === 0 ? ['No invites'] : formatTable(['NETWORK', 'FROM NODE'], rows),
      )
    })

  for (const accept of [true, false]) {
    const verb = accept ? 'accept' : 'reject'
    network
      .command(verb)
      .description(accept ? 'Take an invite, and join' : 'Refuse an invite')
      .argument('<network_id>')
      .action(async (typed: string) => {
        const id = parseNetworkId(typed)
        const message = { type: 'network-respond', network: id, accept } as const
        const reply = await ask(cli, `network ${verb}`, message)
        cli.result(reply, [accept ? `joined network ${id}` : `refused network ${id}`])
      })
  }
}

function ask(
  cli: Cli,
  label: string,
  message: Extract<DriverMessage, { readonly type: `network-${string}` }>,
): Promise<Record<string, unknown>> {
  return cli.request(label, (daemon) => daemon.requestJson(message))
}
