/** The runtimes of the suite and the matrix, and how a worker starts in each. */
import { join } from 'node:path'
import type { Launch } from './runner.ts'
import type { WorkerSettings } from './worker.ts'

export type Transport = WorkerSettings['transport']

export const TRANSPORTS: readonly Transport[] = ['udp', 'compat']

const bin = join(import.meta.dirname, '../../node_modules/.bin')
const file = (name: string): string => join(import.meta.dirname, name)

/** Those that are processes; `home` is the directory they may use. */
export const PROCESSES: Readonly<Record<string, (home: string) => Launch>> = {
  node: () => ({ command: process.execPath, arguments: [file('worker-node.ts')] }),
  deno: (home) => ({
    command: join(bin, 'deno'),
    arguments: [
      'run',
      '--no-prompt',
      '--unstable-net',
      // Every permission that is documented, and no other.
      '--allow-net=127.0.0.1',
      `--allow-read=${home}`,
      `--allow-write=${home}`,
      file('worker-deno.ts'),
    ],
  }),
  bun: () => ({ command: join(bin, 'bun'), arguments: ['run', file('worker-bun.ts')] }),
  workerd: () => ({ command: process.execPath, arguments: [file('worker-workerd.ts')] }),
}

/** Those that are pages (pages.ts). */
export const BROWSER_NAMES: readonly string[] = ['chromium', 'firefox']

/** Rows and columns of the tables, in order. */
export const KIND_NAMES: readonly string[] = [...Object.keys(PROCESSES), ...BROWSER_NAMES].flatMap(
  (runtime) => TRANSPORTS.map((transport) => `${runtime}-${transport}`),
)
