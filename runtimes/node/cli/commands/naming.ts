/** This node at the registry: name, visibility, tags (spec/08 §3.3). */
import type { Command } from 'commander'
import type { Cli } from '../cli.ts'
import { updateConfig } from '../config-file.ts'
import { requestFailure, usageError } from '../failure.ts'

export function addNamingCommands(program: Command, cli: Cli): void {
  program
    .command('set-hostname')
    .description('Name this node; peers may use the name instead of the address')
    .argument('<hostname>', 'lower-case letters, digits and hyphens; empty clears the name')
    .action((hostname: string) => setHostname(cli, 'set-hostname', hostname))

  program
    .command('clear-hostname')
    .description("Remove this node's name")
    .action(() => setHostname(cli, 'clear-hostname', ''))

  for (const visibility of ['public', 'private'] as const)
    program
      .command(`set-${visibility}`)
      .description(
        visibility === 'public'
          ? 'Let every node reach this one, without trust'
          : 'Let only trusted nodes reach this one',
      )
      .action(async () => {
        const label = `set-${visibility}`
        const reply = await cli.request(label, (daemon) =>
          daemon.requestJson({ type: 'set-visibility', isPublic: visibility === 'public' }),
        )
        // The daemon asserts it again at its next start.
        remember(cli, { public: visibility === 'public' })
        cli.result(reply)
      })

  program
    .command('set-tags')
    .description('Describe this node with up to three tags')
    .argument('<tags...>', 'words; a leading # is allowed')
    .action(async (typed: string[]) => {
      const tags = typed.map((tag) => tag.replace(/^#/, ''))
      if (tags.length > 3) throw usageError('maximum 3 tags allowed')
      const reply = await setTags(cli, 'set-tags', tags)
      cli.result({ node_id: reply.node_id, tags }, [
        `tags set: ${tags.map((tag) => `#${tag}`).join(' ')}`,
      ])
    })

  program
    .command('clear-tags')
    .description('Remove all tags')
    .action(async () => {
      await setTags(cli, 'clear-tags', [])
      cli.result({ tags: [] }, ['tags cleared'])
    })

  program
    .command('deregister')
    .description('Take this node out of the registry until the daemon is started again')
    .action(async () => {
      cli.result(
        await cli.request('deregister', (daemon) => daemon.requestJson({ type: 'deregister' })),
      )
    })
}

async function setHostname(cli: Cli, label: string, hostname: string): Promise<void> {
  const reply = await cli.request(label, (daemon) =>
    daemon.requestJson({ type: 'set-hostname', hostname }),
  )
  remember(cli, { hostname: hostname === '' ? undefined : hostname })
  if (hostname === '') cli.result({ hostname: '' }, ['hostname cleared'])
  else cli.result({ hostname, node_id: reply.node_id }, [`hostname set: ${hostname}`])
}

function remember(cli: Cli, changes: Record<string, unknown>): void {
  try {
    updateConfig(cli.paths.config, changes)
  } catch (error) {
    cli.note(`warning: set for now, but not remembered: ${requestFailure('config', error).message}`)
  }
}

function setTags(cli: Cli, label: string, tags: string[]): Promise<Record<string, unknown>> {
  return cli.request(label, (daemon) => daemon.requestJson({ type: 'set-tags', tags }))
}
