/**
 * Addresses on the loopback interface, and a note of those that are ours: what a gateway that was killed left behind
 * goes at the next start, and what somebody else added stays.
 */
import { execFile } from 'node:child_process'
import { readFile, rm } from 'node:fs/promises'
import { promisify } from 'node:util'
import { StorageError } from '../../../core/errors.ts'
import { writeFileAtomic } from '../file-storage.ts'
import { isIpv4 } from './subnet.ts'

const run = promisify(execFile)
const COMMAND_MS = 5000

export class LoopbackAliases {
  readonly #notePath: string
  readonly #ours = new Set<string>()

  constructor(notePath: string) {
    this.#notePath = notePath
  }

  /** Removes what a former gateway left. Only when none runs. Returns how many that were. */
  async removeLeftOver(): Promise<number> {
    const text = await readFile(this.#notePath, 'utf8').catch(() => '[]')
    let left: unknown
    try {
      left = JSON.parse(text)
    } catch {
      left = []
    }
    const ips = Array.isArray(left) ? left.filter((ip) => typeof ip === 'string' && isIpv4(ip)) : []
    for (const ip of ips) await change('del', ip).catch(() => {})
    await rm(this.#notePath, { force: true })
    return ips.length
  }

  /** @throws {StorageError} `ERR_GATEWAY` without the right to do it. */
  async add(ip: string): Promise<void> {
    // Noted first: killed in between, the next start removes what may be there.
    this.#ours.add(ip)
    await this.#write()
    try {
      await change('add', ip)
    } catch (cause) {
      this.#ours.delete(ip)
      await this.#write()
      const reason = reasonOf(cause)
      if (/File exists|already assigned/i.test(reason)) return // somebody else's, and there
      throw new StorageError(
        'ERR_GATEWAY',
        `cannot add ${ip} to the loopback interface: ${reason}`,
        { cause },
      )
    }
  }

  /** Never rejects. What is not ours stays. */
  async remove(ip: string): Promise<void> {
    if (!this.#ours.has(ip)) return
    await change('del', ip).catch(() => {})
    this.#ours.delete(ip)
    await this.#write().catch(() => {})
  }

  async #write(): Promise<void> {
    if (this.#ours.size === 0) await rm(this.#notePath, { force: true })
    else await writeFileAtomic(this.#notePath, Buffer.from(JSON.stringify([...this.#ours])))
  }
}

async function change(verb: 'add' | 'del', ip: string): Promise<void> {
  if (process.platform === 'darwin')
    await run('ifconfig', ['lo0', verb === 'add' ? 'alias' : '-alias', ip], { timeout: COMMAND_MS })
  else await run('ip', ['addr', verb, `${ip}/32`, 'dev', 'lo'], { timeout: COMMAND_MS })
}

function reasonOf(error: unknown): string {
  const { stderr, code, message } = error as { stderr?: string; code?: unknown; message?: string }
  if (code === 'ENOENT') return 'there is no program "ip"'
  return (stderr ?? '').trim() || `${message}`
}
