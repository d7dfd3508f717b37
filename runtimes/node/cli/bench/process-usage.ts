/** What processes of this machine use: CPU time and resident memory, by the system's own books. */
import { execFile } from 'node:child_process'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { promisify } from 'node:util'
import { parseEndpoint } from '../../../../core/index.ts'

export interface Usage {
  /** User and system time since the start, in ms. */
  readonly cpuMs: number
  readonly rssBytes: number
}

/** Of Linux, whatever its own clock is (`USER_HZ`). */
const TICK_MS = 10
const SAMPLE_MS = 1000

/** `undefined` when there is no such process, or nobody tells. */
export async function usageOf(pid: number): Promise<Usage | undefined> {
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined
  if (process.platform !== 'linux') return await usageByPs(pid)
  try {
    const [stat, status] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'utf8'),
      readFile(`/proc/${pid}/status`, 'utf8'),
    ])
    // After the name in parentheses, which may hold anything: user time is the 12th field, system time the 13th.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]
    const cpuMs = (Number(fields[11]) + Number(fields[12])) * TICK_MS
    return kib === undefined || Number.isNaN(cpuMs)
      ? undefined
      : { cpuMs, rssBytes: Number(kib) * 1024 }
  } catch {
    return undefined
  }
}

/** `rss` in KiB and `[[days-]hours:]minutes:seconds[.hundredths]`. */
export async function usageByPs(pid: number): Promise<Usage | undefined> {
  try {
    const { stdout } = await run('ps', ['-o', 'rss=', '-o', 'time=', '-p', `${pid}`])
    const match = /^\s*(\d+)\s+(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)\s*$/.exec(stdout)
    if (match === null) return undefined
    const [kib, days, hours, minutes, seconds] = match.slice(1).map((text) => Number(text ?? 0))
    const cpuMs = (((days! * 24 + hours!) * 60 + minutes!) * 60 + seconds!) * 1000
    return { cpuMs, rssBytes: kib! * 1024 }
  } catch {
    return undefined
  }
}

/**
 * The process of this machine that has the UDP socket at `endpoint`; `undefined` where that is another machine, or
 * cannot be told: elsewhere than on Linux, when the process is another user's, or when there are several.
 */
export async function findUdpOwner(endpoint: string): Promise<number | undefined> {
  if (process.platform !== 'linux') return undefined
  try {
    const place = parseEndpoint(endpoint)
    if (place === undefined || !isOwnAddress(place.address)) return undefined
    const { address, port } = place
    const inodes = new Set<string>()
    for (const file of ['/proc/net/udp', '/proc/net/udp6'])
      for (const line of (await readFile(file, 'utf8').catch(() => '')).split('\n').slice(1)) {
        const fields = line.trim().split(/\s+/)
        if (isBoundTo(fields[1] ?? '', address, port)) inodes.add(`socket:[${fields[9]}]`)
      }
    const owners = inodes.size === 0 ? [] : await holdersOf(inodes)
    return owners.length === 1 ? owners[0] : undefined
  } catch {
    return undefined
  }
}

/** The process that listens on a Unix socket, in the same way. */
export async function findSocketOwner(path: string): Promise<number | undefined> {
  try {
    const inodes = new Set<string>()
    // Num RefCount Protocol Flags Type St Inode Path; flag 0x10000 is a listener's.
    for (const line of (await readFile('/proc/net/unix', 'utf8')).split('\n').slice(1)) {
      const match = /^\S+ \S+ \S+ (\S+) \S+ \S+ +(\d+) (.*)$/.exec(line)
      if (match?.[3] === path && (Number.parseInt(match[1]!, 16) & 0x10000) !== 0)
        inodes.add(`socket:[${match[2]}]`)
    }
    const owners = inodes.size === 0 ? [] : await holdersOf(inodes)
    return owners.length === 1 ? owners[0] : undefined
  } catch {
    return undefined
  }
}

/** CPU time and the most memory of a process from `start` to `stop`. */
export class UsageMeter {
  readonly pid: number
  readonly #first: Usage
  readonly #startedAt: number
  #rssBytes: number
  readonly #timer: NodeJS.Timeout

  private constructor(pid: number, first: Usage) {
    this.pid = pid
    this.#first = first
    this.#rssBytes = first.rssBytes
    this.#startedAt = performance.now()
    this.#timer = setInterval(() => void this.#sample(), SAMPLE_MS).unref()
  }

  /** `undefined` for a process that nothing is known of. */
  static async start(pid: number | undefined): Promise<UsageMeter | undefined> {
    const first = pid === undefined ? undefined : await usageOf(pid)
    return first === undefined ? undefined : new UsageMeter(pid!, first)
  }

  /** `undefined` when the process has ended since. */
  async stop(): Promise<
    { readonly cpuMs: number; readonly ms: number; readonly rssBytes: number } | undefined
  > {
    clearInterval(this.#timer)
    const last = await this.#sample()
    if (last === undefined) return undefined
    return {
      cpuMs: last.cpuMs - this.#first.cpuMs,
      ms: performance.now() - this.#startedAt,
      rssBytes: this.#rssBytes,
    }
  }

  async #sample(): Promise<Usage | undefined> {
    const usage = await usageOf(this.pid)
    if (usage !== undefined) this.#rssBytes = Math.max(this.#rssBytes, usage.rssBytes)
    return usage
  }
}

function isOwnAddress(address: string): boolean {
  if (/^127\./.test(address) || address === '::1') return true
  return Object.values(networkInterfaces()).some((some) =>
    some?.some((one) => one.address === address),
  )
}

/** `local` as in `/proc/net/udp`: the address in words of four bytes, each in the machine's order, then the port. */
function isBoundTo(local: string, address: string, port: number): boolean {
  const [hex = '', portHex = ''] = local.split(':')
  if (Number.parseInt(portHex, 16) !== port) return false
  if (/^0+$/.test(hex)) return true
  if (isIP(address) !== 4 || hex.length !== 8) return false
  const bytes = hex.match(/../g)!.map((pair) => Number.parseInt(pair, 16))
  return bytes.reverse().join('.') === address
}

async function holdersOf(links: ReadonlySet<string>): Promise<number[]> {
  const owners: number[] = []
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const files = await readdir(`/proc/${name}/fd`).catch(() => [])
    for (const file of files) {
      const link = await readlink(`/proc/${name}/fd/${file}`).catch(() => '')
      if (!links.has(link)) continue
      owners.push(Number(name))
      break
    }
  }
  return owners
}

const run = promisify(execFile)
