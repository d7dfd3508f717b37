/**
 * What the workers talk to: one rendezvous that can be restarted, and HTTP for commands and reports. Pages are served
 * there too.
 */
import { spawn } from 'node:child_process'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { RendezvousHost } from './hosts.ts'
import type { PageFiles } from './pages.ts'
import type { WorkerCommand, WorkerReport, WorkerSettings } from './worker.ts'

/** Longest wait for a worker, its start included. */
const REPORT_MS = 60_000

export interface Launch {
  readonly command: string
  readonly arguments: readonly string[]
}

/** A worker that runs: a process, or a page. */
export interface Task {
  /** Settles with how it ended. */
  readonly ended: Promise<string>
  stop(): Promise<void>
}

/** Opens a page at a URL. */
export type OpenPage = (url: string) => Task

/** Where the rendezvous is; the same after a restart. */
export interface RunnerPlaces {
  readonly registry: string
  readonly beacon: string
  readonly rendezvousUrl: string
}

export class Runner {
  readonly #host: RendezvousHost
  readonly #server: Server
  readonly #home: string
  readonly #pages: PageFiles
  readonly #workers = new Map<string, Worker>()

  private constructor(host: RendezvousHost, home: string, pages: PageFiles) {
    this.#host = host
    this.#pages = pages
    this.#home = home
    this.#server = createServer((request, response) => {
      const file = this.#pages.get(request.url ?? '')
      if (request.method === 'GET' && file !== undefined) {
        response.writeHead(200, { 'content-type': file.type }).end(file.body)
        return
      }
      const [, what = '', name = ''] = (request.url ?? '').split('/')
      this.#answer(what, name, request).then(
        (body) => response.end(JSON.stringify(body ?? {})),
        (error: unknown) => {
          response.statusCode = 500
          response.end(String(error))
        },
      )
    })
  }

  /** @param home a directory for all that is kept. @param host is closed with the runner. */
  static async start(
    home: string,
    host: RendezvousHost,
    pages: PageFiles = new Map(),
  ): Promise<Runner> {
    const runner = new Runner(host, home, pages)
    await new Promise<void>((resolve) => runner.#server.listen(0, '127.0.0.1', resolve))
    return runner
  }

  get places(): RunnerPlaces {
    return this.#host.places
  }

  launch(
    launch: Launch | OpenPage,
    settings: Pick<WorkerSettings, 'mode' | 'transport' | 'name'>,
  ): Worker {
    const control = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
    const home = join(this.#home, settings.name)
    const text = JSON.stringify({ ...settings, ...this.places, control, home })
    const task =
      typeof launch === 'function'
        ? launch(`${control}/#${encodeURIComponent(text)}`)
        : startProcess(launch, text)
    const worker = new Worker(task, settings.name)
    this.#workers.set(settings.name, worker)
    return worker
  }

  async close(): Promise<void> {
    await Promise.all([...this.#workers.values()].map((worker) => worker.stop()))
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
    await this.#host.close()
  }

  async #answer(what: string, name: string, request: IncomingMessage): Promise<unknown> {
    const pieces: Buffer[] = []
    for await (const piece of request) pieces.push(piece as Buffer)
    const worker = this.#workers.get(name)
    if (worker === undefined) throw new Error(`there is no worker ${name}`)
    if (what === 'report')
      return worker.take(JSON.parse(Buffer.concat(pieces).toString()) as WorkerReport)
    if (what === 'command') return worker.nextCommand()
    if (what !== 'restart') throw new Error(`there is no ${what}`)
    await this.#host.restart()
    return {}
  }
}

function startProcess({ command, arguments: args }: Launch, settings: string): Task {
  const child = spawn(command, [...args, settings], { stdio: ['ignore', 'inherit', 'inherit'] })
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('exit', (code, signal) => resolve(`the process ended (${code ?? signal})`))
  })
  return {
    ended,
    stop: async () => {
      if (child.exitCode !== null || child.pid === undefined) return
      child.kill('SIGKILL')
      await ended
    },
  }
}

/** One process or page: its reports in order, and its commands. */
export class Worker {
  readonly #task: Task
  readonly #name: string
  readonly #reports: WorkerReport[] = []
  #wakeReader: () => void = () => {}
  #giveCommand: ((command: WorkerCommand) => void) | undefined
  readonly #commands: WorkerCommand[] = []

  constructor(task: Task, name: string) {
    this.#task = task
    this.#name = name
    void task.ended.then((reason) => this.take({ type: 'failed', reason }))
  }

  take(report: WorkerReport): void {
    this.#reports.push(report)
    this.#wakeReader()
  }

  nextCommand(): Promise<WorkerCommand> {
    const command = this.#commands.shift()
    if (command !== undefined) return Promise.resolve(command)
    return new Promise((resolve) => {
      this.#giveCommand = resolve
    })
  }

  command(command: WorkerCommand): void {
    const give = this.#giveCommand
    this.#giveCommand = undefined
    if (give === undefined) this.#commands.push(command)
    else give(command)
  }

  /** What it tells next. @throws when that is a failure, or another type, or nothing in time. */
  async report<T extends WorkerReport['type']>(
    ...types: readonly T[]
  ): Promise<Extract<WorkerReport, { readonly type: T }>> {
    const deadline = setTimeout(
      () => this.take({ type: 'failed', reason: `nothing in ${REPORT_MS} ms` }),
      REPORT_MS,
    )
    try {
      while (this.#reports.length === 0)
        await new Promise<void>((resolve) => {
          this.#wakeReader = resolve
        })
    } finally {
      clearTimeout(deadline)
    }
    const report = this.#reports.shift()!
    if (!(types as readonly string[]).includes(report.type))
      throw new Error(
        `${this.#name}: expected ${types.join(' or ')}, got ${report.type === 'failed' ? report.reason : report.type}`,
      )
    return report as Extract<WorkerReport, { readonly type: T }>
  }

  /** Waits a little for it to end by itself, which a closed node must not hinder; false when it does not. */
  async ends(): Promise<boolean> {
    const late = new Promise<boolean>((resolve) => setTimeout(resolve, 5000, false).unref())
    return Promise.race([this.#task.ended.then(() => true), late])
  }

  stop(): Promise<void> {
    return this.#task.stop()
  }
}
