/** What one runtime alone has, and the examples, each by its command line as the documents give it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { buildPackage } from '../build-package.ts'
import { edgeAgentScenario, edgeRendezvousScenario, serviceScenario } from './edge-example.ts'
import { pinnedScenario, rendezvousScenario } from './rendezvous.ts'
import type { RunnerPlaces } from './runner.ts'
import { equal, within } from './tools.ts'

const COMMAND_MS = 20_000
const root = join(import.meta.dirname, '../..')

export interface ExtrasOptions extends RunnerPlaces {
  readonly home: string
  /** Path of the runtime's program by its name; `undefined` where it is not installed. */
  command(runtime: string): string | undefined
}

export type Extra = readonly [name: string, run: () => Promise<void>]

/** Empty for what is not installed. */
export async function extrasOf(options: ExtrasOptions): Promise<readonly Extra[]> {
  const needsBuild = ['deno', 'bun', 'workerd'].some((name) => options.command(name) !== undefined)
  if (needsBuild) await buildPackage()
  const [deno, bun] = [options.command('deno'), options.command('bun')]
  return [
    ...(deno === undefined ? [] : denoExtras(deno, options)),
    ...(bun === undefined
      ? []
      : [rendezvousExtra('Bun', [bun, 'run'], options), pinnedExtra('bun', [bun, 'run'])]),
    ...(deno === undefined || bun === undefined ? [] : exampleExtras(deno, bun, options)),
    ...(options.command('workerd') === undefined ? [] : workerdExtras(options)),
  ]
}

function workerdExtras({ rendezvousUrl }: ExtrasOptions): readonly Extra[] {
  return [
    ['examples: the edge agent in workerd', () => edgeAgentScenario(rendezvousUrl)],
    ['examples: the rendezvous in workerd, and the agent there', edgeRendezvousScenario],
    ['nodes and rendezvous of one worker, by its stub', serviceScenario],
  ]
}

function denoExtras(
  deno: string,
  { home, registry, beacon, rendezvousUrl }: ExtrasOptions,
): Extra[] {
  const file = (name: string): string => join(import.meta.dirname, name)
  const start = (flags: readonly string[], node: object): Promise<string> =>
    output(deno, [
      'run',
      '--no-prompt',
      ...flags,
      file('start-node.ts'),
      'deno',
      JSON.stringify(node),
    ])
  const udp = { registry, beacon, listen: '127.0.0.1:0' }
  const net = '--allow-net=127.0.0.1'
  const needs = async (flag: string, flags: readonly string[], node: object): Promise<void> => {
    const text = await start(flags, node)
    if (!text.startsWith('ERR_PERMISSION ') || !text.includes(flag))
      throw new Error(`expected ERR_PERMISSION with ${flag}, got ${text}`)
  }
  return [
    ['Deno without --unstable-net', () => needs('--unstable-net', [net], udp)],
    ['Deno without --allow-net', () => needs(`--allow-net=${registry}`, ['--unstable-net'], udp)],
    [
      'Deno without --allow-net, compat',
      () =>
        needs(`--allow-net=${new URL(rendezvousUrl).host}`, [], {
          transport: 'compat',
          rendezvousUrl,
        }),
    ],
    [
      'Deno without --allow-write',
      () =>
        needs(`--allow-write=${home}`, ['--unstable-net', net, `--allow-read=${home}`], {
          ...udp,
          identity: `${home}/identity.json`,
        }),
    ],
    rendezvousExtra('Deno', [deno, 'run', '--unstable-net', '--allow-all'], { home }),
    pinnedExtra('deno', [deno, 'run', '--unstable-net', net]),
    [
      'Deno takes WebSockets where there is no UDP',
      async () => equal(await start([net], { rendezvousUrl }), 'started', 'output'),
    ],
    [
      'the edge entry in Deno, as on Deploy',
      async () =>
        equal(
          await output(deno, [
            'run',
            '--no-prompt',
            net,
            file('start-node.ts'),
            'edge',
            JSON.stringify({ rendezvousUrl }),
          ]),
          'started',
          'output',
        ),
    ],
    [
      'Deno keeps an identity for its owner alone',
      async () => {
        const flags = ['--unstable-net', net, `--allow-read=${home}`, `--allow-write=${home}`]
        const identity = `${home}/private/identity.json`
        equal(await start(flags, { ...udp, identity }), 'started', 'output')
        equal((statSync(identity).mode & 0o777).toString(8), '600', 'mode')
      },
    ],
    [
      'Deno.Kv',
      async () => {
        const path = join(home, 'deno.kv')
        const flags = ['--unstable-kv', net, `--allow-read=${home}`, `--allow-write=${home}`]
        const text = await output(deno, ['run', ...flags, file('kv-deno.ts'), rendezvousUrl, path])
        const [first, second] = text.split('\n')
        equal(Number(first) > 0, true, `a node id, got ${text}`)
        equal(second, first, 'node id after a reload')
      },
    ],
  ]
}

function pinnedExtra(runtime: string, command: readonly [string, ...string[]]): Extra {
  const [program, ...args] = command
  const script = join(import.meta.dirname, 'start-node.ts')
  const begin = (options: object): Promise<string> =>
    output(program, [...args, script, runtime, JSON.stringify(options)])
  return [`pinned TLS to the registry from ${runtime}`, () => pinnedScenario(begin)]
}

function rendezvousExtra(
  runtime: string,
  command: readonly [string, ...string[]],
  { home }: { readonly home: string },
): Extra {
  const run = (): Promise<void> => rendezvousScenario(command, join(home, `rendezvous-${runtime}`))
  return [`rendezvous on ${runtime}`, run]
}

function exampleExtras(
  deno: string,
  bun: string,
  { registry, beacon }: ExtrasOptions,
): readonly Extra[] {
  const agents = {
    deno: [deno, 'run', '--unstable-net', '--allow-net', 'examples/deno-agent/agent.ts'],
    bun: [bun, 'run', 'examples/bun-agent/agent.ts'],
  } as const
  return (['deno', 'bun'] as const).map((from) => {
    const to = from === 'deno' ? 'bun' : 'deno'
    const run = async (): Promise<void> => {
      const [command, ...args] = agents[to]
      const child = spawn(command, [...args, registry, beacon], { cwd: root })
      try {
        const [line] = (await within(COMMAND_MS, `${to} agent`, once(child.stdout, 'data'))) as [
          Buffer,
        ]
        const [asking, ...rest] = agents[from]
        const text = await output(asking, [...rest, registry, beacon, line.toString().trim()])
        equal(text, `${to} heard: hello from ${from}`, 'answer')
      } finally {
        child.kill('SIGKILL')
      }
    }
    return [`examples: ${from} asks ${to}`, run] as const
  })
}

/** What a command prints, on both outputs, before it ends. */
async function output(command: string, args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  const pieces: Buffer[] = []
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (piece: Buffer) => pieces.push(piece))
  try {
    await within(COMMAND_MS, args.join(' '), once(child, 'close'))
  } finally {
    child.kill('SIGKILL')
  }
  return Buffer.concat(pieces).toString().trim()
}
