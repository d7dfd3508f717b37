/** Two network namespaces, this process's and another, with `tun_link.py` between them. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Cell } from './cells.ts'

export const HERE = '10.77.0.1'
export const THERE = '10.77.0.2'

const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

/** A process that talks in lines. */
export class LineProcess {
  readonly #child: ChildProcess
  readonly #name: string
  readonly #lines: AsyncIterator<string>

  constructor(command: string, args: readonly string[]) {
    this.#child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#name = `${command} ${args[0] ?? ''}`
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]()
  }

  /** @throws {Error} when the process ended, or says nothing for `timeoutMs`. */
  async next(timeoutMs: number): Promise<string> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`${this.#name} says nothing`)), timeoutMs)
    })
    const { value, done } = await Promise.race([this.#lines.next(), late])
    clearTimeout(timer)
    if (done === true) throw new Error(`${this.#name} ended`)
    return value as string
  }

  tell(line: string): void {
    this.#child.stdin?.write(`${line}\n`)
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const gone = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill()
    await gone
  }
}

/** What entered one way of the link. */
export interface Way {
  readonly packets: number
  readonly bytes: number
  readonly lost: number
  readonly overflowed: number
  /** Milliseconds that all packets together waited in the queue. */
  readonly waitedMs: number
}

export class BadLink {
  readonly #far: ChildProcess
  readonly #link: LineProcess

  private constructor(far: ChildProcess, link: LineProcess) {
    this.#far = far
    this.#link = link
  }

  static async open({ loss, rttMs, megabits, bufferBytes }: Cell): Promise<BadLink> {
    const far = spawn('unshare', ['--net', 'sleep', '100000'], { stdio: 'ignore' })
    const numbers = [loss, rttMs / 2, megabits, bufferBytes].map(String)
    const link = new BadLink(far, new LineProcess('python3', [file('tun_link.py'), ...numbers]))
    try {
      await link.#link.next(10_000)
      await inOtherNamespace(far.pid ?? 0)
      const here = (line: string): unknown => execFileSync('sh', ['-c', line])
      const there = (line: string): unknown =>
        execFileSync('nsenter', [...link.inFar, 'sh', '-c', line])
      here(`ip link set lo up; ip addr add ${HERE} peer ${THERE} dev pilot0; ip link set pilot0 up`)
      here(`ip link set pilot1 netns ${far.pid}`)
      there(
        `ip link set lo up; ip addr add ${THERE} peer ${HERE} dev pilot1; ip link set pilot1 up`,
      )
      return link
    } catch (error) {
      await link.close()
      throw error
    }
  }

  /** Arguments of `nsenter` for the far end. */
  get inFar(): string[] {
    return ['-t', String(this.#far.pid), '-n']
  }

  /** Of TCP from here; what is known of the path from before is forgotten. */
  useController(name: string): void {
    const route = `ip route replace ${THERE} dev pilot0 src ${HERE} congctl ${name}`
    execFileSync('sh', ['-c', `${route}; ip tcp_metrics flush all > /dev/null 2>&1 || true`])
  }

  /** Both ways since the last call: from here, and back. */
  async counts(): Promise<[Way, Way]> {
    this.#link.tell('')
    return JSON.parse(await this.#link.next(10_000)) as [Way, Way]
  }

  async close(): Promise<void> {
    await this.#link.end()
    if (this.#far.exitCode !== null || this.#far.signalCode !== null) return
    const gone = new Promise((resolve) => this.#far.once('exit', resolve))
    this.#far.kill()
    await gone
  }
}

/** `unshare` needs a moment until its namespace is another one than ours. */
async function inOtherNamespace(pid: number): Promise<void> {
  const of = (process_: number | 'self'): string =>
    execFileSync('readlink', [`/proc/${process_}/ns/net`], { encoding: 'utf8' })
  for (let i = 0; i < 200; i++) {
    if (of(pid) !== of('self')) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error('no network namespace of its own for the far end')
}
