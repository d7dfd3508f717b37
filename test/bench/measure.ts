/** One measurement of one system: a server and a client, or a client for each kind of work, in processes of their own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Figures, Setup } from './channel.ts'
import { usedBy, Worker } from './processes.ts'
import type { Row } from './systems.ts'

export type Kind = 'speed' | 'memory'

export type Common = Pick<Setup, 'root' | 'cert' | 'key' | 'registry' | 'beacon' | 'amount'>

const DAEMON_READY_MS = 20_000

export async function measure(
  row: Row,
  kind: Kind,
  common: Common,
  programs: string,
): Promise<Figures> {
  const workers: Worker[] = []
  const start = (role: string, setup: object): Worker => {
    const isCompiled = row.module.endsWith('.ts')
    const module = isCompiled
      ? new URL(row.module.replace(/\.ts$/, '.js'), programs).href
      : new URL(row.module, import.meta.url).href
    const worker = new Worker(fileURLToPath(new URL('worker.js', programs)), role, module, setup)
    workers.push(worker)
    return worker
  }
  const daemons = row.daemon === undefined ? undefined : await Daemons.start(row.daemon, common)
  try {
    const options = { ...row.options, ...(daemons && { sockets: daemons.sockets }) }
    let setup: object = { ...common, options }
    if (row.hasBroker === true) setup = { ...setup, broker: await start('broker', setup).said }
    const server = start('server', setup)
    const client = start(kind, { ...setup, ready: await server.said })
    client.onsample = async () => {
      const [sender, receiver] = [await client.used(), await server.used()]
      const [a, b] = daemons?.used() ?? []
      return {
        senderCpuUs: sender.cpuUs + (a?.cpuUs ?? 0),
        receiverCpuUs: receiver.cpuUs + (b?.cpuUs ?? 0),
        // Of the daemon where there is one: that is what holds the connections.
        senderRss: a?.rss ?? sender.rss,
        receiverRss: b?.rss ?? receiver.rss,
      }
    }
    const stopped = server.said.then(() => server.ended)
    const figures = (await Promise.race([client.said, stopped])) as Figures
    // The driver's heap says nothing of the daemon's.
    if (daemons === undefined) return figures
    const { heapPerConnectionKb: _driver, ...rest } = figures
    return rest
  } finally {
    for (const worker of workers.reverse()) await worker.end()
    await daemons?.end()
  }
}

/** Those that would outlive this program when it is stopped; measuring processes end with their parent by themselves. */
const living = new Set<Daemons>()
process.once('exit', () => {
  for (const daemons of living) daemons.kill()
})

/** Two daemons of ours in homes of their own. */
class Daemons {
  readonly sockets: string[] = []
  readonly #home: string
  readonly #children: ChildProcess[] = []

  private constructor(home: string) {
    this.#home = home
  }

  static async start(args: readonly string[], common: Common): Promise<Daemons> {
    const daemons = new Daemons(await mkdtemp(join(tmpdir(), 'pilot-bench-')))
    living.add(daemons)
    try {
      for (const name of ['a', 'b']) await daemons.#add(name, args, common)
      return daemons
    } catch (error) {
      await daemons.end()
      throw error
    }
  }

  used(): ReturnType<typeof usedBy>[] {
    return this.#children.map(({ pid }) => usedBy(pid ?? 0))
  }

  async end(): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), 5000)
      await gone
      clearTimeout(timer)
    }
    await rm(this.#home, { recursive: true, force: true })
    living.delete(this)
  }

  /** At once, for a program that ends. */
  kill(): void {
    for (const child of this.#children) child.kill('SIGKILL')
    rmSync(this.#home, { recursive: true, force: true })
  }

  async #add(name: string, args: readonly string[], common: Common): Promise<void> {
    const socket = join(this.#home, `${name}.sock`)
    const program = fileURLToPath(new URL('dist/runtimes/node/bin/pilot-daemon.js', common.root))
    const child = spawn(
      process.execPath,
      [
        program,
        ...['-registry', common.registry, '-beacon', common.beacon, '-listen', '127.0.0.1:0'],
        ...['-socket', socket, '-identity', join(this.#home, `${name}.json`), '-public'],
        ...['-trust-auto-approve', ...args],
      ],
      { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, HOME: this.#home } },
    )
    this.#children.push(child)
    this.sockets.push(socket)
    await new Promise<void>((resolve, reject) => {
      let log = ''
      const timer = setTimeout(() => reject(new Error(`no daemon: ${log}`)), DAEMON_READY_MS)
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        log = (log + text).slice(-4000)
        if (log.includes('daemon running')) resolve()
      })
      child.once('exit', (code) => reject(new Error(`the daemon ended with ${code}: ${log}`)))
      child.once('exit', () => clearTimeout(timer))
    })
  }
}
