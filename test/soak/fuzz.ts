/**
 * `npm run fuzz`: a rendezvous and two daemons under a hail of bad input while they work. Ends with 1
 * when one of them died, leaked, believed something it should not, or failed at its work.
 *
 *   node test/soak/fuzz.ts [--minutes 10] [--seed <n>]
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Rendezvous, User } from '../e2e/programs.ts'
import { Random } from '../sim/random.ts'
import { Attack } from './attack.ts'
import { Middle } from './middle.ts'
import { type Memory, ProcessWatch, probeEnvironment } from './process-watch.ts'
import { Workload } from './workload.ts'

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string' } },
})
const minutes = Number(values.minutes)
const seed = Number(values.seed ?? Date.now() % 1_000_000)
if (!(minutes > 0) || !Number.isInteger(seed)) {
  console.error('fuzz: --minutes is a number above 0, --seed an integer')
  process.exit(2)
}

/** Memory is compared with what it was after this part of the run. */
const WARM_UP = 0.25
const GROWTH_MAX = 1.3
/** Below this it is no growth, but what a heap has between two collections in a short run. */
const GROWTH_FREE_MB = 25
const QUIET_MS = 3000
const DESCRIPTORS_FREE = 8

interface Agent {
  readonly name: string
  readonly user: User
  readonly middle: Middle
  readonly watch: ProcessWatch
  readonly nodeId: number
}

const random = new Random(seed, 'fuzz')
const violations: string[] = []
const check = (isTrue: boolean, what: string): void => {
  if (!isTrue) violations.push(what)
}

async function startAgent(name: string, rendezvous: Rendezvous, directory: string): Promise<Agent> {
  const [address = '', port = ''] = rendezvous.beacon.split(':')
  const middle = await Middle.create(new Random(seed, name), { address, port: Number(port) })
  const user = new User({ registry: rendezvous.registry, beacon: await middle.beaconFace() })
  Object.assign(user.env, probeEnvironment(directory))
  const started = await user.ctl('daemon', 'start', '--hostname', name, '--json')
  if (started.code !== 0) throw new Error(`${name} did not start: ${started.stderr}`)
  const watch = new ProcessWatch(name, Number(started.json.pid), directory)
  return { name, user, middle, watch, nodeId: Number(started.json.node_id) }
}

/** Both trust each other, keys pinned: from now on neither file may change. */
async function makeTrust(a: Agent, b: Agent): Promise<void> {
  await b.user.ctl('handshake', `${a.nodeId}`)
  const approved = await a.user.eventually(20_000, 'approve', `${b.nodeId}`, '--json')
  if (approved.code !== 0) throw new Error(`no trust: ${approved.stderr}`)
  const isPinned = (one: Agent): boolean =>
    /"public_key": "[^"]{44}"/.test(one.user.read('.pilot/trust.json') ?? '')
  for (let i = 0; i < 200 && !(isPinned(a) && isPinned(b)); i++) await sleep(100)
  check(isPinned(a) && isPinned(b), 'trust was not established')
  for (const [one, other] of [
    [a, b],
    [b, a],
  ] as const) {
    const ping = await one.user.eventually(20_000, 'ping', `${other.nodeId}`, '--count', '1')
    if (ping.code !== 0) throw new Error(`${one.name} cannot ping: ${ping.stdout}`)
  }
}

async function run(rendezvous: Rendezvous, a: Agent, b: Agent, directory: string): Promise<void> {
  const agents = [a, b]
  const files = (): string[] =>
    agents.flatMap(({ user }) =>
      ['identity.json', 'trust.json'].map((name) =>
        readFileSync(join(user.home, '.pilot', name), 'utf8'),
      ),
    )
  const before = files()
  const watches = [
    ...agents.map(({ watch }) => watch),
    new ProcessWatch('rendezvous', rendezvous.pid, directory),
  ]
  const descriptors = watches.map((watch) => watch.descriptors)
  const workloads = [
    new Workload('agent-a to agent-b', a.user.socket, b.nodeId, new Random(seed, 'a')),
    new Workload('agent-b to agent-a', b.user.socket, a.nodeId, new Random(seed, 'b')),
  ]
  const work = Promise.all(workloads.map((workload) => workload.run(100)))
  work.catch((error: unknown) => check(false, `the work broke off: ${error}`))
  const targets = [
    { middle: a.middle, socket: a.user.socket, nodeId: a.nodeId, peerId: b.nodeId },
    { middle: b.middle, socket: b.user.socket, nodeId: b.nodeId, peerId: a.nodeId },
  ]
  const attack = await Attack.start({ random, rendezvous, targets })
  const durationMs = minutes * 60_000
  let warm: readonly Memory[] = []
  try {
    await watchFor(WARM_UP * durationMs, watches, workloads)
    warm = await Promise.all(watches.map((watch) => watch.memory()))
    await watchFor((1 - WARM_UP) * durationMs, watches, workloads)
  } finally {
    const thrown = await attack.stop()
    await sleep(QUIET_MS)
    for (const workload of workloads) workload.stop()
    await work.catch(() => {})
    report(thrown, workloads)
  }
  for (const { failures } of workloads) violations.push(...failures.slice(0, 20))
  const after = files()
  before.forEach((text, i) => {
    const [name, file] = [agents[i >> 1]!.name, i % 2 === 0 ? 'identity.json' : 'trust.json']
    check(text === after[i], `${name}: ${file} was changed`)
  })
  for (const [i, watch] of watches.entries()) {
    const last = await watch.memory()
    compareMemory(watch.name, warm[i]!, last)
    const now = watch.descriptors
    check(
      now <= descriptors[i]! + DESCRIPTORS_FREE,
      `${watch.name}: ${descriptors[i]} descriptors became ${now}`,
    )
  }
  for (const agent of agents) await inspect(agent)
  check(!ERROR_LINE.test(rendezvous.log), `rendezvous: ${errorsIn(rendezvous.log)}`)
}

/** Looks on for a while. @throws {Error} when a program ends, or the work fails again and again. */
async function watchFor(
  ms: number,
  watches: readonly ProcessWatch[],
  workloads: readonly Workload[],
): Promise<void> {
  const until = performance.now() + ms
  while (performance.now() < until) {
    await sleep(Math.min(500, ms))
    for (const { name, isAlive } of watches) if (!isAlive) throw new Error(`${name} died`)
    if (workloads.some(({ failures }) => failures.length > 100)) throw new Error('the work fails')
  }
}

function compareMemory(name: string, warm: Memory, last: Memory): void {
  const growth = ((last.rss / warm.rss - 1) * 100).toFixed(0)
  const text = ({ rss, heap, buffers }: Memory): string =>
    `${rss.toFixed(0)} MB (heap ${heap.toFixed(1)}, buffers ${buffers.toFixed(1)})`
  console.log(`  ${name.padEnd(11)} warm ${text(warm)}, at the end ${text(last)}: ${growth} %`)
  check(
    last.rss <= Math.max(warm.rss * GROWTH_MAX, warm.rss + GROWTH_FREE_MB),
    `${name}: memory grew from ${text(warm)} to ${text(last)}`,
  )
}

/** What the daemon says of itself afterwards. */
async function inspect({ name, user, nodeId }: Agent): Promise<void> {
  const { json, code } = await user.ctl('info', '--json')
  check(code === 0 && json.node_id === nodeId, `${name}: info fails, or it is another node now`)
  check(json.hostname === name, `${name}: the hostname is ${json.hostname}`)
  const drops = (json.drops ?? {}) as Record<string, number>
  console.log(
    `  ${name} dropped: ${Object.entries(drops)
      .map(([why, n]) => `${n} ${why}`)
      .join(', ')}`,
  )
  for (const reason of ['malformed', 'replayed', 'forged', 'plaintext', 'key-mismatch'])
    check((drops[reason] ?? 0) > 0, `${name}: no drop was counted as ${reason}`)
  const log = user.read('.pilot/pilot.log') ?? ''
  check(!ERROR_LINE.test(log), `${name}: ${errorsIn(log)}`)
}

function report(thrown: Readonly<Record<string, number>>, workloads: readonly Workload[]): void {
  console.log('\nthrown:')
  for (const [what, count] of Object.entries(thrown))
    console.log(`  ${String(count).padStart(9)}  ${what}`)
  console.log('worked:')
  for (const { counts, latencies, failures } of workloads) {
    const sorted = [...latencies].sort((x, y) => x - y)
    const at = (part: number): string =>
      (sorted[Math.floor(part * (sorted.length - 1))] ?? 0).toFixed(1)
    console.log(
      `  ${counts.pings} pings (median ${at(0.5)} ms, 99 % ${at(0.99)} ms), ${counts.echoes} echoes of ${(counts.echoedBytes / 1e6).toFixed(1)} MB, ${counts.messages} messages, ${counts.lines} on the open stream, ${failures.length} failures`,
    )
  }
}

/** Of the daemon's log, and of the rendezvous's. */
const ERROR_LINE = /^.*(?: level=ERROR |^\S+ error ).*$/m

function errorsIn(log: string): string {
  return log
    .split('\n')
    .filter((line) => ERROR_LINE.test(line))
    .slice(0, 3)
    .join(' | ')
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

console.log(`fuzz: ${minutes} min, seed ${seed}`)
const directory = mkdtempSync(join(tmpdir(), 'pilot-fuzz-'))
const rendezvous = await Rendezvous.start({ http: true, env: probeEnvironment(directory) })
const agents: Agent[] = []
try {
  for (const name of ['agent-a', 'agent-b'])
    agents.push(await startAgent(name, rendezvous, directory))
  const [a, b] = agents as [Agent, Agent]
  await makeTrust(a, b)
  await run(rendezvous, a, b, directory)
} catch (error) {
  violations.push(error instanceof Error ? error.message : String(error))
  for (const { name, user } of agents)
    console.log(
      `${name}, end of the log:\n${(user.read('.pilot/pilot.log') ?? '').split('\n').slice(-15).join('\n')}`,
    )
} finally {
  for (const { user, middle } of agents) {
    await user.dispose()
    await middle.close()
  }
  await rendezvous.stop()
  rmSync(directory, { recursive: true })
}
for (const violation of violations) console.log(`VIOLATION  ${violation}`)
console.log(
  violations.length === 0
    ? 'fuzz: nothing broke'
    : `fuzz: ${violations.length} violations, seed ${seed}`,
)
process.exit(violations.length === 0 ? 0 : 1)
