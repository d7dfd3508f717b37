/** What an operator asks of a registry, with its admin token (spec/08 §6.1, spec/05 §15 to §17). */
import type { Command } from 'commander'
import type { RegistryMessage } from '../../../../core/wire/registry-message.ts'
import { requireAdminToken } from '../admin-token.ts'
import type { Cli } from '../cli.ts'
import { CliError, usageError } from '../failure.ts'
import { requestRegistry } from '../registry-request.ts'
import { cellText, formatTable, rowsOf } from '../table.ts'
import { parseJsonText, readTextFile } from '../text-file.ts'
import { isTrue, parseCount, parseNetworkId } from '../values.ts'

export function addOperatorCommands(program: Command, cli: Cli): void {
  const byAdmin = (label: string, message: RegistryMessage): Promise<RegistryMessage> =>
    requestRegistry(cli.registry, { ...message, admin_token: requireAdminToken(cli) }, label)

  program
    .command('audit')
    .description('Who did what at the registry, newest first')
    .option('--network <id>', 'only of this network')
    .option('--limit <n>', 'at most so many, up to 1000 (default: 100)')
    .action(async ({ network, limit }: { network?: string; limit?: string }) => {
      const reply = await byAdmin('audit', {
        type: 'get_audit_log',
        ...(network !== undefined && { network_id: parseNetworkId(network) }),
        ...(limit !== undefined && { limit: parseCount(limit, 'limit') }),
      })
      const rows = rowsOf(reply, 'entries').map((one) => [
        cellText(one.timestamp),
        cellText(one.action),
        cellText(one.node_id),
        cellText(one.network_id),
        cellText(one.details),
      ])
      const heads = ['TIME', 'ACTION', 'NODE', 'NETWORK', 'DETAILS']
      cli.result(reply, rows.length === 0 ? ['No entries'] : formatTable(heads, rows))
    })

  program
    .command('provision')
    .description('Make a network as a document says, or bring it up to date')
    .argument('<blueprint.json>')
    .action(async (path: string) => {
      const blueprint = parseJsonText(readTextFile(path), 'the blueprint')
      const reply = await byAdmin('provision', { type: 'provision_network', blueprint })
      const actions = Array.isArray(reply.actions) ? reply.actions.map((one) => `  ${one}`) : []
      cli.result(reply, [
        `provisioned network ${cellText(reply.network_id)} (${cellText(reply.name)})`,
        ...actions,
      ])
    })

  program
    .command('deprovision')
    .description('Delete a network by its name')
    .argument('<network-name>')
    .action(async (name: string) => {
      requireAdminToken(cli)
      const known = await requestRegistry(cli.registry, { type: 'list_networks' }, 'deprovision')
      const found = rowsOf(known, 'networks').find((one) => one.name === name)
      if (found === undefined)
        throw new CliError('not_found', `network ${JSON.stringify(name)} not found`)
      const message = { type: 'delete_network', network_id: found.id }
      const reply = await byAdmin('deprovision', message)
      cli.result(reply, [
        `deprovisioned network ${JSON.stringify(name)} (id=${cellText(found.id)})`,
      ])
    })

  program
    .command('provision-status')
    .description('Networks of the registry, as provision sees them')
    .action(async () => {
      const reply = await byAdmin('provision-status', { type: 'get_provision_status' })
      const rows = rowsOf(reply, 'networks').map((one) => [
        cellText(one.network_id),
        cellText(one.name),
        one.enterprise === true ? 'yes' : 'no',
        cellText(one.members),
        cellText(one.join_rule),
      ])
      const heads = ['ID', 'NAME', 'ENTERPRISE', 'MEMBERS', 'RULE']
      cli.result(reply, rows.length === 0 ? ['No networks'] : formatTable(heads, rows))
    })

  addExportCommands(program, cli, byAdmin)
  addIdentityCommands(program, cli, byAdmin)
}

type ByAdmin = (label: string, message: RegistryMessage) => Promise<RegistryMessage>

interface ExportFlags {
  readonly format?: string
  readonly endpoint?: string
  readonly splunkToken: string
  readonly index: string
  readonly source: string
}

const EXPORT_FORMATS = ['json', 'splunk_hec', 'syslog_cef']

function addExportCommands(program: Command, cli: Cli, byAdmin: ByAdmin): void {
  const group = program
    .command('audit-export')
    .description('Where the registry sends its audit log besides')
  group
    .command('get')
    .description('Where it sends it now')
    .action(async () => {
      const reply = await byAdmin('audit-export get', { type: 'get_audit_export' })
      cli.result(reply, [
        reply.enabled === true
          ? `audit export: ${cellText(reply.format)} → ${cellText(reply.endpoint)}`
          : 'no audit export',
      ])
    })
  group
    .command('set')
    .description('Send every entry to a URL from now on')
    .option('--format <name>', EXPORT_FORMATS.join(', '))
    .option('--endpoint <url>', 'where it is posted')
    .option('--splunk-token <text>', 'sent as Authorization', '')
    .option('--index <text>', 'of Splunk', '')
    .option('--source <text>', 'of Splunk', '')
    .action(async ({ format, endpoint, splunkToken: token, index, source }: ExportFlags) => {
      if (format === undefined || !EXPORT_FORMATS.includes(format))
        throw usageError(`--format is one of ${EXPORT_FORMATS.join(', ')}`)
      if (endpoint === undefined || !/^https?:\/\//.test(endpoint))
        throw usageError('--endpoint is a URL, http:// or https://')
      const message = { type: 'set_audit_export', format, endpoint, token, index, source }
      const reply = await byAdmin('audit-export set', message)
      cli.result(reply, [`audit export configured: ${format} → ${endpoint}`])
    })
  group
    .command('disable')
    .description('Send it nowhere')
    .action(async () => {
      const none = { format: '', endpoint: '', token: '', index: '', source: '' }
      const reply = await byAdmin('audit-export disable', { type: 'set_audit_export', ...none })
      cli.result(reply, ['audit export disabled'])
    })
}

interface IdpFlags {
  readonly type?: string
  readonly url?: string
  readonly issuer: string
  readonly clientId: string
  readonly tenantId: string
  readonly domain: string
}

/** Of registries of v1.9: ours has no identities of others (spec/10 §12), and says so. */
function addIdentityCommands(program: Command, cli: Cli, byAdmin: ByAdmin): void {
  const idp = program.command('idp').description('Identity provider of the registry')
  idp
    .command('get')
    .description('Which one it uses')
    .action(async () => cli.result(await byAdmin('idp get', { type: 'get_idp_config' })))
  idp
    .command('set')
    .description('Use one')
    .option('--type <name>', 'oidc, saml, entra_id, ldap or webhook')
    .option('--url <url>', 'where it answers')
    .option('--issuer <url>', 'who signs', '')
    .option('--client-id <text>', 'audience of tokens', '')
    .option('--tenant-id <text>', 'of Entra', '')
    .option('--domain <text>', 'of accounts', '')
    .action(async (flags: IdpFlags) => {
      if (flags.type === undefined || flags.url === undefined)
        throw usageError('--type and --url are required')
      const reply = await byAdmin('idp set', {
        type: 'set_idp_config',
        idp_type: flags.type,
        url: flags.url,
        issuer: flags.issuer,
        client_id: flags.clientId,
        tenant_id: flags.tenantId,
        domain: flags.domain,
      })
      cli.result(reply, [`identity provider configured: ${flags.type} (${flags.url})`])
    })

  program
    .command('directory-sync')
    .description('Bring the members of a network in line with a directory')
    .argument('<directory.json>', '{"entries":[{"external_id", "role", "disabled", ...}]}')
    .option('--network <id>', 'the network')
    .option('--remove-unlisted [bool]', 'remove members that the directory does not name')
    .action(
      async (path: string, flags: { network?: string; removeUnlisted?: string | boolean }) => {
        const document = parseJsonText(readTextFile(path), 'the directory')
        const {
          entries,
          network_id: named,
          remove_unlisted: removes,
        } = (document ?? {}) as RegistryMessage
        const network = flags.network ?? (typeof named === 'number' ? `${named}` : undefined)
        if (network === undefined) throw usageError('--network is required')
        if (!Array.isArray(entries)) throw usageError('the directory has no list "entries"')
        const reply = await byAdmin('directory-sync', {
          type: 'directory_sync',
          network_id: parseNetworkId(network),
          entries,
          remove_unlisted: isTrue(flags.removeUnlisted ?? removes === true),
        })
        cli.result(reply, [
          `directory sync complete: ${cellText(reply.mapped)} mapped, ${cellText(reply.updated)} updated, ${cellText(reply.disabled)} disabled, ${cellText(reply.unmapped)} unmapped`,
        ])
      },
    )

  program
    .command('directory-status')
    .description('How far a network is in line with its directory')
    .argument('<network_id>')
    .action(async (typed: string) => {
      const id = parseNetworkId(typed)
      const message = { type: 'directory_status', network_id: id }
      cli.result(await byAdmin('directory-status', message))
    })
}
