/** A worker of ours in workerd, by miniflare: bundled as a user's bundler does, without Node's compatibility. */
import { createInterface } from 'node:readline'
import { build } from 'esbuild'
import { Miniflare, type MiniflareOptions } from 'miniflare'

const WORKER_NAME = 'worker'
export const COMPATIBILITY_DATE = '2026-07-01'

export interface WorkerdOptions {
  /** The worker's module. */
  readonly entry: string
  /** Durable Objects with SQLite: class names by binding. */
  readonly objects?: Readonly<Record<string, string>>
  /** Where their storage is kept; without it, it goes with the process. */
  readonly directory?: string
  readonly bindings?: Readonly<Record<string, string>>
  /** 0 or absent: any. */
  readonly port?: number
  /** Takes the lines that the worker logs; without it they go to standard error. */
  readonly onlog?: (line: string) => void
}

export interface Workerd {
  /** `http://host:port`, without a slash at its end. */
  readonly url: string
  /**
   * Takes an object's memory, as workerd does when nothing has happened for ten seconds: its WebSockets stay open
   * (`hibernate`), or are closed as when it is moved.
   */
  evict(className: string, name: string, webSockets: 'hibernate' | 'close'): Promise<void>
  close(): Promise<void>
}

export async function startWorkerd(options: WorkerdOptions): Promise<Workerd> {
  const { objects = {}, directory, bindings = {}, port = 0 } = options
  const settings: MiniflareOptions = {
    name: WORKER_NAME,
    modules: [{ type: 'ESModule', path: 'worker.js', contents: await bundle(options.entry) }],
    compatibilityDate: COMPATIBILITY_DATE,
    durableObjects: Object.fromEntries(
      Object.entries(objects).map(([name, className]) => [name, { className, useSQLite: true }]),
    ),
    ...(directory === undefined ? {} : { durableObjectsPersist: directory }),
    bindings: { ...bindings },
    cf: false,
    host: '127.0.0.1',
    port,
    handleRuntimeStdio: (stdout, stderr) => {
      for (const input of [stdout, stderr])
        createInterface({ input }).on('line', options.onlog ?? ((line) => console.error(line)))
    },
  }
  const miniflare = new Miniflare(settings)
  const url = await miniflare.ready
  return {
    url: url.origin,
    evict: (className, name, webSockets) =>
      miniflare.unsafeEvictDurableObject(WORKER_NAME, className, { name, webSockets }),
    close: () => miniflare.dispose(),
  }
}

/** Fails where anything of Node's would be needed. */
export async function bundle(entry: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2024',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    conditions: ['workerd', 'worker'],
    external: ['cloudflare:*'],
    logLevel: 'error',
  })
  return outputFiles[0]!.text
}
