/**
 * `sudo node test/bench/link/run.ts`: our streams beside the kernel's TCP through one and the same bad link, which is made
 * of two network namespaces and `tun_link.py` between them. Linux, root, iproute2, util-linux and Python 3. Environment:
 * LINK_LOSS (0.02), LINK_RTT (30 ms), LINK_MBITS (100), LINK_BUFFER (262144 bytes), LINK_SECONDS (10), LINK_RUNS (3).
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createInterface, type Interface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const number = (name: string, value: number): number => Number(process.env[`LINK_${name}`] ?? value)
const loss = number('LOSS', 0.02)
const rttMs = number('RTT', 30)
const megabits = number('MBITS', 100)
const bufferBytes = number('BUFFER', 262_144)
const seconds = number('SECONDS', 10)
const runs = number('RUNS', 3)
const HERE = '10.77.0.1'
const THERE = '10.77.0.2'
const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

if (process.argv[2] !== 'inside') {
  const command = ['--net', process.execPath, file('run.ts'), 'inside']
  const child = spawn('unshare', command, { stdio: 'inherit' })
  child.once('exit', (code) => process.exit(code ?? 1))
} else await measure()

interface Line {
  readonly child: ChildProcess
  next(): Promise<string>
}

/** A process that talks in lines. */
function start(command: string, args: readonly string[]): Line {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines: Interface = createInterface({ input: child.stdout! })
  const iterator = lines[Symbol.asyncIterator]()
  return {
    child,
    async next() {
      const { value, done } = await iterator.next()
      if (done === true) throw new Error(`${command} ${args[0]} ended`)
      return value as string
    },
  }
}

interface Way {
  readonly packets: number
  readonly bytes: number
  readonly lost: number
  readonly overflowed: number
}

async function measure(): Promise<void> {
  const far = spawn('unshare', ['--net', 'sleep', '100000'], { stdio: 'ignore' })
  const link = start('python3', [
    file('tun_link.py'),
    String(loss),
    String(rttMs / 2),
    String(megabits),
    String(bufferBytes),
  ])
  try {
    await link.next()
    const inFar = ['-t', String(far.pid), '-n']
    const here = (line: string): unknown => execFileSync('sh', ['-c', line])
    const there = (line: string): unknown => execFileSync('nsenter', [...inFar, 'sh', '-c', line])
    here(`ip link set lo up; ip addr add ${HERE} peer ${THERE} dev pilot0; ip link set pilot0 up`)
    here(`ip link set pilot1 netns ${far.pid}`)
    there(`ip link set lo up; ip addr add ${THERE} peer ${HERE} dev pilot1; ip link set pilot1 up`)

    const results: Record<string, { megabits: number; overhead: number; back: number }[]> = {}
    for (let run = 0; run < runs; run++)
      for (const [name, kind, set] of [
        ['kernel TCP, CUBIC', 'tcp', 'cubic'],
        ['kernel TCP, BBR', 'tcp', 'bbr'],
        ['ours, auto', 'pilot', 'auto'],
        ['ours, cubic', 'pilot', 'cubic'],
        ['ours, bbr', 'pilot', 'bbr'],
      ] as const) {
        if (kind === 'tcp') {
          const route = `ip route replace ${THERE} dev pilot0 src ${HERE} congctl ${set}`
          // What is known of a path from the run before would begin the next one.
          here(`${route}; ip tcp_metrics flush all > /dev/null 2>&1 || true`)
        }
        const result = await transfer(kind, set, inFar, link)
        results[name] ??= []
        results[name].push(result)
        process.stderr.write(`${name}: ${result.megabits.toFixed(2)} Mbit/s\n`)
      }
    print(results)
  } finally {
    link.child.kill()
    far.kill()
  }
}

async function transfer(
  kind: string,
  congestion: string,
  inFar: readonly string[],
  link: Line,
): Promise<{ megabits: number; overhead: number; back: number }> {
  const setup = { host: THERE, local: HERE, durationMs: seconds * 1000, congestion }
  const worker = (role: string, more: object): string[] => [
    process.execPath,
    file('worker.ts'),
    `${kind}-${role}`,
    JSON.stringify({ ...setup, ...more }),
  ]
  const server = start('nsenter', [...inFar, ...worker('server', {})])
  const children = [server.child]
  try {
    const { ready } = JSON.parse(await server.next()) as { ready: object }
    link.child.stdin!.write('\n')
    await link.next()
    const [node, ...args] = worker('client', { ready })
    children.push(start(node!, args).child)
    const { received, ms } = JSON.parse(await server.next()) as { received: number; ms: number }
    link.child.stdin!.write('\n')
    const [out, reverse] = JSON.parse(await link.next()) as [Way, Way]
    // What is still in the queue and on the wire was sent but is not counted as received: at most this much.
    return {
      megabits: (received * 8) / 1000 / ms,
      overhead: out.bytes / received - 1,
      back: reverse.bytes / received,
    }
  } finally {
    for (const child of children) child.kill()
  }
}

function print(
  results: Record<string, { megabits: number; overhead: number; back: number }[]>,
): void {
  const median = (values: readonly number[]): number =>
    [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN
  const base = median((results['kernel TCP, CUBIC'] ?? []).map((one) => one.megabits))
  console.log(
    `\n${loss * 100} % loss each way, ${rttMs} ms, ${megabits} Mbit/s, ${bufferBytes} bytes of queue, median of ${runs}\n`,
  )
  console.log('                     Mbit/s   x CUBIC   bytes sent beyond payload   bytes back')
  for (const [name, list] of Object.entries(results)) {
    const of = (key: 'megabits' | 'overhead' | 'back'): number =>
      median(list.map((one) => one[key]))
    const cells = [
      of('megabits').toFixed(2).padStart(8),
      (of('megabits') / base).toFixed(2).padStart(9),
      `${(of('overhead') * 100).toFixed(1)} %`.padStart(27),
      `${(of('back') * 100).toFixed(1)} %`.padStart(12),
    ]
    console.log(`${name.padEnd(19)}${cells.join(' ')}`)
  }
}
