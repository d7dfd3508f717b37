/** `set-webhook` and `clear-webhook` (spec/08 §3.3): kept in the configuration, and told to a daemon that runs. */
import type { Command } from 'commander'
import { PilotError } from '../../../../core/errors.ts'
import { parseWebhookUrl } from '../../webhook/webhook-url.ts'
import type { Cli } from '../cli.ts'
import { updateConfig } from '../config-file.ts'
import { CliError, messageOf, requestFailure, usageError } from '../failure.ts'

export function addWebhookCommands(program: Command, cli: Cli): void {
  program
    .command('set-webhook')
    .description('Post what happens at this node to a URL, as JSON')
    .argument('<url>', 'http:// or https://')
    .action(async (url: string) => {
      if (!/^https?:\/\//i.test(url))
        throw usageError('webhook URL must start with http:// or https://')
      try {
        parseWebhookUrl(url)
      } catch (error) {
        throw usageError(messageOf(error))
      }
      await setWebhook(cli, url)
    })

  program
    .command('clear-webhook')
    .description('Post nothing any more')
    .action(() => setWebhook(cli, ''))
}

async function setWebhook(cli: Cli, url: string): Promise<void> {
  const applied = await apply(cli, url)
  updateConfig(cli.paths.config, { webhook: url === '' ? undefined : url })
  cli.result({ webhook: url, applied }, [
    url === '' ? 'webhook cleared' : `webhook set: ${url}`,
    applied ? 'applied to running daemon' : 'will take effect on next daemon start',
  ])
}

/** False when no daemon runs, or it knows no webhooks. @throws {CliError} when it refuses this one. */
async function apply(cli: Cli, url: string): Promise<boolean> {
  try {
    const daemon = await cli.daemon()
    await daemon.requestJson({ type: 'set-webhook', url })
    return true
  } catch (error) {
    const isAbsent = error instanceof CliError && error.code === 'not_running'
    const isUnknown = error instanceof PilotError && error.message.startsWith('unknown command')
    if (isAbsent || isUnknown) return false
    throw requestFailure('set-webhook', error)
  }
}
