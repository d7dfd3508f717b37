/** Memory and descriptors of a process under test. */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const PROBE = fileURLToPath(new URL('./memory-probe.cjs', import.meta.url))
const ANSWER_MS = 10_000

/** In MB. */
export interface Memory {
  /** Resident: everything, the program itself included. */
  readonly rss: number
  /** Of it JavaScript objects in use. */
  readonly heap: number
  /** Of it buffers. */
  readonly buffers: number
}

/**
 * For a process that is to be watched; `directory` is where it answers. Its young generation is kept small:
 * left alone it takes minutes to find its size, and looks like a leak all the while.
 */
export function probeEnvironment(directory: string): Record<string, string> {
  return {
    NODE_OPTIONS: `--require ${PROBE} --max-semi-space-size=1`,
    PILOT_TEST_MEMORY: directory,
  }
}

export class ProcessWatch {
  readonly name: string
  readonly pid: number
  readonly #directory: string

  constructor(name: string, pid: number, directory: string) {
    this.name = name
    this.pid = pid
    this.#directory = directory
  }

  get isAlive(): boolean {
    try {
      process.kill(this.pid, 0)
      return true
    } catch {
      return false
    }
  }

  get descriptors(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length
  }

  /** Resident memory in MB as it is now, garbage included. */
  get residentMb(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8')
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024
  }

  /** What it holds once its garbage is collected. @throws {Error} when it does not answer. */
  async memory(): Promise<Memory> {
    const path = join(this.#directory, `${this.pid}.json`)
    rmSync(path, { force: true })
    process.kill(this.pid, 'SIGUSR2')
    const until = performance.now() + ANSWER_MS
    while (!existsSync(path)) {
      if (performance.now() > until) throw new Error(`${this.name} does not tell its memory`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    const { rss, heapUsed, arrayBuffers } = JSON.parse(readFileSync(path, 'utf8')) as Record<
      'rss' | 'heapUsed' | 'arrayBuffers',
      number
    >
    const mb = (bytes: number): number => bytes / 2 ** 20
    return { rss: mb(rss), heap: mb(heapUsed), buffers: mb(arrayBuffers) }
  }
}
