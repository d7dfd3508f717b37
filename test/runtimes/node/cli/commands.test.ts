/**
 * Every command of the sheet (spec/08 §3, §6.1), with its arguments, flags and the members of its `--json`: one that is
 * missing, or takes less than the reference's, fails here. What each does is tested where it is.
 */
import { writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import type { Command } from 'commander'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  encodeRegistryFrame,
  RegistryFrameDecoder,
} from '../../../../core/wire/registry-message.ts'
import { Cli, type CliIo } from '../../../../runtimes/node/cli/cli.ts'
import { AFTER } from '../../../../runtimes/node/cli/help-texts.ts'
import { createProgram } from '../../../../runtimes/node/cli/main.ts'
import { RETURNS } from '../../../../runtimes/node/cli/returns.ts'
import { IpcServer } from '../../../../runtimes/node/ipc/server.ts'
import { FakeNetwork } from '../fake-node.ts'
import { CliHarness } from './harness.ts'

/** Arguments as `<required>`, `[optional]` or `...` for any number; flags; members of `data`. */
type Row = readonly [path: string, args: string, flags: string, members: string]

const BASE: readonly Row[] = [
  ['init', '', 'registry beacon hostname socket', 'config_path registry beacon socket hostname'],
  ['config', '', 'set', 'key value'],
  ['context', '', '', 'version commands error_codes global_flags environment config_file'],
  [
    'daemon start',
    '',
    'config registry beacon listen identity owner hostname log-level log-format public foreground no-encrypt socket webhook email admin-token networks trust-auto-approve',
    'pid node_id address hostname socket log_file',
  ],
  ['daemon stop', '', '', 'pid forced'],
  [
    'daemon status',
    '',
    'check',
    'running responsive pid pid_file socket node_id address hostname uptime_secs peers connections',
  ],
  ['register', '[]', '', 'node_id address'],
  ['lookup', '<>', '', 'node_id address networks public public_key hostname tags real_addr'],
  ['rotate-key', '', '', 'node_id public_key'],
  ['set-public', '', '', 'node_id type visibility'],
  ['set-private', '', '', 'node_id type visibility'],
  ['deregister', '', '', 'type'],
  ['find', '<>', '', 'hostname node_id address public'],
  ['set-hostname', '<>', '', 'hostname node_id'],
  ['clear-hostname', '', '', 'hostname'],
  ['set-tags', '...', '', 'node_id tags'],
  ['clear-tags', '', '', 'tags'],
  ['enable-tasks', '', '', 'node_id task_exec type'],
  ['disable-tasks', '', '', 'node_id task_exec type'],
  ['set-webhook', '<>', '', 'webhook applied'],
  ['clear-webhook', '', '', 'webhook applied'],
  ['connect', '<>[]', 'message timeout', 'target port sent response'],
  ['send', '<><>', 'data timeout', 'target port sent response'],
  ['recv', '<>', 'count timeout', 'messages seq port data bytes timeout'],
  ['send-file', '<><>', '', 'filename bytes destination ack'],
  ['send-message', '<>', 'data type', 'target type bytes ack'],
  ['subscribe', '<><>', 'count timeout', 'events topic data bytes timeout'],
  ['publish', '<><>', 'data', 'target topic bytes'],
  ['listen', '<>', 'count timeout', 'messages src_addr src_port data bytes timeout'],
  ['broadcast', '<><>', '', 'network_id message'],
  ['task submit', '<>', 'task', 'target task_id task status message accepted'],
  ['task accept', '', 'id', 'task_id status message'],
  ['task decline', '', 'id justification', 'task_id status justification message'],
  ['task execute', '', '', 'task_id task_description status from'],
  [
    'task send-results',
    '',
    'id results file',
    'task_id status sent_to sent_type filename file_size',
  ],
  ['task list', '', 'type', 'tasks task_id description status from to created_at category'],
  ['task queue', '', '', 'queue task_id description from created_at count'],
  ['handshake', '<>[]', '', 'status node_id'],
  ['approve', '<>', '', 'status node_id'],
  ['reject', '<>[]', '', 'status node_id'],
  ['untrust', '<>', '', 'node_id'],
  ['pending', '', '', 'pending node_id public_key justification received_at'],
  ['trust', '', '', 'trusted node_id public_key approved_at mutual network'],
  ['connections', '', '', 'connections total'],
  ['disconnect', '<>', '', 'conn_id'],
  ['info', '', '', 'node_id address hostname uptime_secs peers connections'],
  ['peers', '', 'search', 'peers node_id endpoint encrypted authenticated total'],
  ['ping', '<>', 'count timeout', 'target results seq bytes rtt_ms error timeout'],
  ['traceroute', '<>', 'timeout', 'target setup_ms rtt_samples rtt_ms bytes error'],
  [
    'bench',
    '<>[]',
    'timeout',
    'target sent_bytes recv_bytes send_duration_ms total_duration_ms send_mbps total_mbps',
  ],
  ['received', '', 'clear', 'files name bytes modified path total dir cleared'],
  ['inbox', '', 'clear', 'messages total dir cleared'],
  ['gateway start', '...', 'subnet ports', 'pid subnet mappings local_ip pilot_addr'],
  ['gateway stop', '', '', 'pid'],
  ['gateway map', '<>[]', '', 'local_ip pilot_addr'],
  ['gateway unmap', '<>', '', 'unmapped'],
  ['gateway list', '', '', 'mappings total'],
]

/** Of v1.9. Left out: `update`, which fetches programs from a release page; ours come by npm. */
const V19: readonly Row[] = [
  ['version', '', '', ''],
  ['health', '', '', 'status uptime_seconds connections peers bytes_sent bytes_recv'],
  ['network list', '', '', 'networks id name join_rule members'],
  ['network join', '<>', 'token', 'network_id'],
  ['network leave', '<>', '', 'network_id'],
  ['network members', '<>', '', 'nodes'],
  ['network invite', '<><>', '', 'network_id'],
  ['network invites', '', '', 'invites'],
  ['network accept', '<>', '', 'network_id'],
  ['network reject', '<>', '', 'network_id'],
  [
    'network create',
    '',
    'name join-rule token enterprise node-id rules rules-file',
    'network_id name',
  ],
  ['network delete', '<>', '', 'network_id'],
  ['network rename', '<><>', '', 'network_id name'],
  ['network promote', '<><>', '', 'network_id role'],
  ['network demote', '<><>', '', 'network_id role'],
  ['network kick', '<><>', '', 'network_id'],
  ['network role', '<><>', '', 'network_id role'],
  ['network policy', '<>', 'set', 'max_members allowed_ports description'],
  ['managed score', '<>', 'net topic delta', ''],
  ['managed status', '', 'net', ''],
  ['managed rankings', '', 'net', ''],
  ['managed cycle', '', 'force net', ''],
  ['member-tags set', '', 'net node tags', 'tags'],
  ['member-tags get', '', 'net node', 'tags'],
  ['policy get', '', 'net', 'network_id'],
  ['policy set', '', 'net file inline', 'network_id'],
  ['policy validate', '', 'file inline', 'valid version rules events'],
  ['policy test', '', 'file event', 'directives'],
  ['audit', '', 'network', 'entries timestamp action node_id network_id details'],
  ['provision', '<>', '', 'network_id name created actions'],
  ['deprovision', '<>', '', 'network_id'],
  ['provision-status', '', '', 'networks network_id name join_rule enterprise members'],
  ['idp get', '', '', 'configured'],
  ['idp set', '', 'type url issuer client-id tenant-id domain', ''],
  ['audit-export get', '', '', 'enabled format endpoint'],
  ['audit-export set', '', 'format endpoint splunk-token index source', ''],
  ['audit-export disable', '', '', ''],
  ['directory-sync', '<>', 'network remove-unlisted', 'updated disabled mapped unmapped actions'],
  ['directory-status', '<>', '', 'network_id enterprise total mapped unmapped'],
]

const program = createProgram(new Cli({ home: '/' } as CliIo, false))

function find(path: string): Command | undefined {
  let command: Command | undefined = program
  for (const word of path.split(' ')) command = command?.commands.find((one) => one.name() === word)
  return command
}

function leaves(command: Command, path: readonly string[] = []): string[] {
  return command.commands.flatMap((one) => {
    const here = [...path, one.name()]
    return one.commands.length > 0 ? leaves(one, here) : [here.join(' ')]
  })
}

describe('commands of the reference', () => {
  it.each([...BASE, ...V19])('%s', (path, args, flags, members) => {
    const command = find(path)
    expect(command, 'is there').toBeDefined()
    const given = command!.registeredArguments
    if (args === '...') expect(given[0]?.variadic).toBe(true)
    else {
      const wanted = args.match(/<>|\[\]/g) ?? []
      // More may be taken, not less; none of them may be needed where the reference has it open.
      expect(given.length).toBeGreaterThanOrEqual(wanted.length)
      const needed = wanted.filter((one) => one === '<>').length
      expect(given.filter((one) => one.required).length).toBeLessThanOrEqual(needed)
    }
    const known = command!.options.map((option) => option.long)
    for (const flag of words(flags)) expect(known).toContain(`--${flag}`)
    const described = RETURNS[path]
    expect(described).toBeDefined()
    for (const member of words(members))
      expect(described, member).toMatch(new RegExp(`\\b${member}\\b|as the daemon|\\.\\.\\.`))
  })

  it('are told from ours in the help', () => {
    const theirs = new Set([...BASE, ...V19].map(([path]) => path))
    const ours = leaves(program).filter((path) => !theirs.has(path) && path !== 'help')
    expect(ours.length).toBeGreaterThan(0)
    for (const path of ours) expect(AFTER, path).toContain(path)
  })
})

describe('requests of an operator', () => {
  let cli: CliHarness
  let registry: Server
  let asked: Record<string, unknown>[]
  let files = 0

  beforeEach(async () => {
    cli = new CliHarness()
    asked = []
    registry = createServer((socket) => {
      const decoder = new RegistryFrameDecoder()
      socket.on('error', () => {})
      socket.on('data', (chunk) => {
        decoder.push(chunk)
        for (let one = decoder.next(); one !== undefined; one = decoder.next()) {
          asked.push(one)
          const networks = [{ id: 5, name: 'team' }]
          socket.write(encodeRegistryFrame({ type: `${one.type}_ok`, networks }))
        }
      })
    })
    await new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', resolve))
    const { port } = registry.address() as { port: number }
    cli.env = { ...cli.env, PILOT_REGISTRY: `127.0.0.1:${port}`, PILOT_ADMIN_TOKEN: 'tok' }
  })
  afterEach(async () => {
    await new Promise((resolve) => registry.close(resolve))
    cli.dispose()
  })

  const file = (value: unknown): string => {
    const path = join(cli.home, `document-${files++}.json`)
    writeFileSync(path, JSON.stringify(value))
    return path
  }

  it('are those of v1.9, member by member', async () => {
    const admin_token = 'tok'
    const none = { format: '', endpoint: '', token: '', index: '', source: '' }
    const cases: [string[], Record<string, unknown>][] = [
      [['audit', '--network', '3'], { type: 'get_audit_log', network_id: 3 }],
      [['provision', file({ name: 'x' })], { type: 'provision_network', blueprint: { name: 'x' } }],
      [['deprovision', 'team'], { type: 'delete_network', network_id: 5 }],
      [['provision-status'], { type: 'get_provision_status' }],
      [['audit-export', 'get'], { type: 'get_audit_export' }],
      [
        ['audit-export', 'set', '--format', 'json', '--endpoint', 'http://x/'],
        { ...none, type: 'set_audit_export', format: 'json', endpoint: 'http://x/' },
      ],
      [['audit-export', 'disable'], { ...none, type: 'set_audit_export' }],
      [['idp', 'get'], { type: 'get_idp_config' }],
      [
        ['idp', 'set', '--type', 'oidc', '--url', 'https://i/'],
        {
          type: 'set_idp_config',
          idp_type: 'oidc',
          url: 'https://i/',
          issuer: '',
          client_id: '',
          tenant_id: '',
          domain: '',
        },
      ],
      [['directory-status', '3'], { type: 'directory_status', network_id: 3 }],
    ]
    for (const [argv, request] of cases) {
      expect((await cli.run(...argv, '--json')).code, argv.join(' ')).toBe(0)
      expect(asked.at(-1)).toEqual({ ...request, admin_token })
      expect((await cli.run(...argv)).code).toBe(0)
    }
    const entries = [{ external_id: 'a' }]
    const directory = ['directory-sync', file({ entries }), '--network', '3', '--remove-unlisted']
    expect((await cli.run(...directory)).code).toBe(0)
    expect(asked.at(-1)).toEqual({
      type: 'directory_sync',
      network_id: 3,
      entries,
      remove_unlisted: true,
      admin_token,
    })
  })

  it('say what is missing before anything is sent', async () => {
    for (const argv of [
      ['audit', '--network', 'x'],
      ['audit-export', 'set', '--format', 'xml', '--endpoint', 'http://x/'],
      ['audit-export', 'set', '--format', 'json', '--endpoint', 'ftp://x/'],
      ['idp', 'set', '--type', 'oidc'],
      ['directory-sync', file({}), '--network', '3'],
      ['directory-sync', file({ entries: [] })],
      ['managed', 'cycle'],
      ['policy', 'get'],
      ['policy', 'validate'],
      ['policy', 'validate', '--inline', '{"version":2}'],
      ['policy', 'validate', '--inline', '{"version":1,"rules":[{"name":"r","on":"boot"}]}'],
      ['policy', 'test', '--inline', '{}', '--event', '{'],
    ])
      expect((await cli.run(...argv, '--json')).json, argv.join(' ')).toMatchObject({
        code: 'invalid_argument',
      })
    expect((await cli.run('deprovision', 'nobody', '--json')).json.code).toBe('not_found')
    delete cli.env.PILOT_ADMIN_TOKEN
    asked.length = 0
    for (const argv of [['audit'], ['provision-status'], ['deprovision', 'team'], ['idp', 'get']])
      expect((await cli.run(...argv, '--json')).json.code).toBe('auth_required')
    expect(asked).toEqual([])
  })

  it('looks at policies as v1.9 does, and says what it cannot', async () => {
    const rule = { name: 'r', on: 'dial', match: 'port == 22', actions: [{ type: 'deny' }] }
    const path = file({ version: 1, rules: [rule] })
    expect((await cli.run('policy', 'validate', '--file', path, '--json')).json).toEqual({
      valid: true,
      version: 1,
      rules: 1,
      events: { dial: true },
    })
    const test = ['policy', 'test', '--file', path, '--event', '{"type":"dial"}', '--json']
    expect(await cli.run(...test)).toMatchObject({ code: 1, json: { code: 'unavailable' } })
  })

  it('hears from a daemon of ours that it runs no engine', async () => {
    const facts = {
      version: '0',
      owner: '',
      hasIdentity: true,
      beacon: '',
      transport: 'udp',
    } as const
    const node = new FakeNetwork().add(1)
    const server = await IpcServer.listen({ node, facts, socketPath: cli.socket })
    try {
      const { json } = await cli.run('managed', 'status', '--json')
      expect(json.message).toContain('no active managed networks')
      expect((await cli.run('policy', 'get', '--net', '3', '--json')).json).toMatchObject({
        network_id: 3,
        engine: 'none',
      })
      const scored = await cli.run('managed', 'score', '9', '--net', '3', '--delta', '-2', '--json')
      expect(scored.json.message).toContain('no engine for network 3')
    } finally {
      await server.close()
    }
  })
})

function words(text: string): string[] {
  return text.split(' ').filter((word) => word !== '')
}
