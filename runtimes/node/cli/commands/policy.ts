/**
 * `managed` and `policy` (spec/08 §6.1): networks whose members daemons of v1.9 choose by rules. Our daemon runs no such
 * engine and says so; a daemon of v1.9 answers these as it does its own `pilotctl`.
 */
import type { Command } from 'commander'
import type { Cli } from '../cli.ts'
import { CliError, usageError } from '../failure.ts'
import { policyProblem, policySummary } from '../policy-document.ts'
import { parseJsonText, readTextFile } from '../text-file.ts'
import { isTrue, parseNetworkId } from '../values.ts'

const SUB = { score: 1, status: 2, rankings: 3, cycle: 4, policy: 5 } as const

export function addPolicyCommands(program: Command, cli: Cli): void {
  const ask = async (label: string, sub: number, rest: Uint8Array): Promise<void> =>
    cli.result(
      await cli.request(label, (daemon) => daemon.requestJson({ type: 'managed', sub, rest })),
    )

  const managed = program
    .command('managed')
    .description('Networks whose members a daemon of v1.9 chooses by rules')
  managed
    .command('score')
    .description('Raise or lower the score of a member')
    .argument('<peer>', 'node id, address or hostname')
    .option('--net <id>', 'network (default: the first)', '0')
    .option('--topic <text>', 'what for', '')
    .option('--delta <n>', 'by how much', '1')
    .action(async (peer: string, flags: { net: string; topic: string; delta: string }) => {
      if (!/^-?\d{1,9}$/.test(flags.delta)) throw usageError('--delta is a whole number')
      const topic = new TextEncoder().encode(flags.topic)
      const rest = new Uint8Array(10 + topic.length)
      const view = new DataView(rest.buffer)
      view.setUint16(0, networkOf(flags.net))
      view.setUint32(2, await cli.targetNode(peer))
      view.setInt32(6, Number(flags.delta))
      rest.set(topic, 10)
      await ask('managed score', SUB.score, rest)
    })
  for (const [name, description] of [
    ['status', 'How the rules stand'],
    ['rankings', 'Members by score'],
  ] as const)
    managed
      .command(name)
      .description(description)
      .option('--net <id>', 'network (default: the first)', '0')
      .action(({ net }: { net: string }) => ask(`managed ${name}`, SUB[name], networkBytes(net)))
  managed
    .command('cycle')
    .description('Apply the rules now')
    .option('--force [bool]', 'said on purpose; nothing happens without it')
    .option('--net <id>', 'network (default: the first)', '0')
    .action(async ({ force, net }: { force?: string | boolean; net: string }) => {
      if (force === undefined || !isTrue(force))
        throw usageError('usage: pilotctl managed cycle --force [--net <id>]')
      await ask('managed cycle', SUB.cycle, networkBytes(net))
    })

  const policy = program
    .command('policy')
    .description('Expression policies of networks, which daemons of v1.9 apply')
  policy
    .command('get')
    .description('The policy that the daemon applies')
    .option('--net <id>', 'network')
    .action(({ net }: { net?: string }) =>
      ask('policy get', SUB.policy, Uint8Array.of(0, ...networkBytes(required(net)))),
    )
  policy
    .command('set')
    .description('Give the daemon another one')
    .option('--net <id>', 'network')
    .option('--file <path>', 'the document')
    .option('--inline <json>', 'the same, here')
    .action(async ({ net, ...source }: DocumentFlags & { net?: string }) => {
      const network = networkBytes(required(net))
      const { text } = checked(source)
      const body = new TextEncoder().encode(text)
      await ask('policy set', SUB.policy, Uint8Array.of(1, ...network, ...body))
    })
  policy
    .command('validate')
    .description('Look whether a document is a policy')
    .option('--file <path>', 'the document')
    .option('--inline <json>', 'the same, here')
    .action((source: DocumentFlags) => {
      const { document } = checked(source)
      const { data, lines } = policySummary(document)
      cli.result(data, lines)
    })
  policy
    .command('test')
    .description('Apply a document to an event; needs the engine of v1.9')
    .option('--file <path>', 'the document')
    .option('--inline <json>', 'the same, here')
    .option('--event <json>', 'the event')
    .action(({ event, ...source }: DocumentFlags & { event?: string }) => {
      if (event === undefined) throw usageError('--event is required')
      parseJsonText(event, '--event')
      checked(source)
      throw new CliError(
        'unavailable',
        'policy test: this program has no engine for match expressions',
        'pilotctl of v1.9 has one; pilotctl policy validate looks at the rest',
      )
    })
}

interface DocumentFlags {
  readonly file?: string
  readonly inline?: string
}

function checked({ file, inline }: DocumentFlags): {
  readonly text: string
  readonly document: Record<string, unknown>
} {
  if (file === undefined && inline === undefined) throw usageError('provide --file or --inline')
  const text = inline ?? readTextFile(file ?? '')
  const document = parseJsonText(text, 'the policy')
  const problem = policyProblem(document)
  if (problem !== undefined) throw usageError(`validation failed: policy: ${problem}`)
  return { text, document: document as Record<string, unknown> }
}

function required(net: string | undefined): string {
  if (net === undefined) throw usageError('--net is required')
  return net
}

function networkOf(text: string): number {
  return text === '0' ? 0 : parseNetworkId(text)
}

function networkBytes(text: string): Uint8Array {
  const id = networkOf(text)
  return Uint8Array.of(id >>> 8, id)
}
