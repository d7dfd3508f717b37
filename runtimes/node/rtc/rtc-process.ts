/**
 * WebRTC in a process of its own: native code that crashes, or TypeScript that is busy, takes nothing else with it.
 * Started when the first connection is wanted, ended when none was for a while, started again after it died.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import type { PeerConnection, PeerConnectionSettings } from '../../shared/rtc/peer-connection.ts'
import { RemoteConnections } from '../../shared/rtc/remote-connection.ts'
import type { ClientMessage, HostMessage } from '../../shared/rtc/remote-messages.ts'
import type { NodePart, WebRtcEvent } from '../../shared/transport.ts'
import { ownScript } from '../own-files.ts'
import type { WebRtcBackend } from './backend.ts'
import { type ControlMessage, PipeLane } from './pipe-lane.ts'

const BACKOFF_MIN_MS = 500
const BACKOFF_MAX_MS = 60_000
/** A process that lived so long makes up for those before it. */
const STABLE_MS = 60_000
/** How often a process is asked whether it lives. */
const PING_MS = 5000
const HANG_MS = 20_000
const IDLE_MS = 60_000
const STOP_MS = 1000
/** How much of the last words of a process is kept. */
const LAST_WORDS_MAX = 2000

interface Running {
  readonly child: ChildProcess
  readonly pipe: Socket
  readonly lane: PipeLane<ClientMessage, HostMessage>
  readonly connections: RemoteConnections
  readonly startedAt: number
  heardAt: number
  idleSince: number
  lastWords: string
}

export interface RtcProcessOptions {
  /** Tried in order until one works. At least one. */
  readonly backends: readonly WebRtcBackend[]
  readonly settings: PeerConnectionSettings
  /** Default 20 000: silence after which the process is taken to hang, and killed. */
  readonly hangMs?: number
  /** Default 60 000: without a connection for so long, the process ends, and its memory is free. */
  readonly idleMs?: number
}

export class RtcProcess implements NodePart {
  onevent: ((event: WebRtcEvent) => void) | undefined
  readonly #options: RtcProcessOptions
  #running: Running | undefined
  #failures = 0
  #nextStartAt = 0
  #problem = ''
  #backend: string | undefined
  #isClosed = false
  #timer: NodeJS.Timeout | undefined

  constructor(options: RtcProcessOptions) {
    this.#options = options
  }

  /** Of the process, while there is one. */
  get pid(): number | undefined {
    return this.#running?.child.pid
  }

  /** What the process loaded last. */
  get backend(): string | undefined {
    return this.#backend
  }

  /** A connection in the process, which is started for it. Closed from the start while there can be none. */
  create(): PeerConnection {
    const running = this.#running ?? this.#start()
    if (running === undefined) return closedConnection(this.#problem)
    running.idleSince = performance.now()
    return running.connections.create()
  }

  /** Ends the process, insisting if need be. Settles when it is gone. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#problem = 'the node is closed'
    const running = this.#running
    if (running === undefined) return
    this.#forget(running, this.#problem)
    await stop(running)
  }

  #start(): Running | undefined {
    const { backends, settings } = this.#options
    if (this.#isClosed || performance.now() < this.#nextStartAt) return undefined
    let program: string
    try {
      program = ownScript('runtimes/node/rtc/rtc-child')
    } catch (error) {
      this.#problem = (error as Error).message
      return undefined
    }
    const child = spawn(process.execPath, [program, ...backends], {
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      // Options of ours, e.g. a debugger's port, are not for it.
      env: { ...process.env, NODE_OPTIONS: '' },
    })
    const pipe = child.stdio[3] as Socket
    const lane = new PipeLane<ClientMessage, HostMessage>(pipe)
    const now = performance.now()
    const running: Running = {
      child,
      pipe,
      lane,
      connections: new RemoteConnections(lane, settings),
      startedAt: now,
      heardAt: now,
      idleSince: now,
      lastWords: '',
    }
    this.#running = running
    this.#watch(running)
    return running
  }

  #watch(running: Running): void {
    const { child, pipe, lane } = running
    const stderr = child.stderr as Socket
    // None of this keeps the process that started it alive.
    for (const one of [child, pipe, stderr]) one.unref()
    pipe.on('error', () => {})
    pipe.on('close', () => void child.kill('SIGKILL')) // its exit says why, unless it is over already
    stderr.on('error', () => {})
    stderr.on('data', (text) => {
      running.lastWords = `${running.lastWords}${text}`.slice(-LAST_WORDS_MAX)
    })
    child.on('error', (error) => this.#lost(running, error.message))
    child.on('exit', (code, signal) =>
      this.#lost(running, signal === null ? `exit status ${code}` : `signal ${signal}`),
    )
    lane.oncontrol = (message) => this.#handleControl(running, message)
    clearInterval(this.#timer)
    const { hangMs = HANG_MS, idleMs = IDLE_MS } = this.#options
    const everyMs = Math.min(PING_MS, hangMs / 4, idleMs / 2)
    this.#timer = setInterval(() => this.#check(running, hangMs, idleMs), everyMs)
    this.#timer.unref()
  }

  #handleControl(running: Running, message: ControlMessage): void {
    running.heardAt = performance.now()
    if (message.kind === 'ready') this.#backend = message.backend
    else if (message.kind === 'unusable') this.#lost(running, message.reason)
  }

  #check(running: Running, hangMs: number, idleMs: number): void {
    const now = performance.now()
    if (running.connections.size > 0) running.idleSince = now
    if (now - running.idleSince > idleMs) {
      this.#forget(running, 'WebRTC is idle')
      void stop(running)
    } else if (now - running.heardAt > hangMs) this.#lost(running, 'it does not answer')
    else running.lane.postControl({ kind: 'ping' })
  }

  #lost(running: Running, why: string): void {
    if (this.#running !== running) return
    const now = performance.now()
    if (now - running.startedAt > STABLE_MS) this.#failures = 0
    this.#nextStartAt = now + Math.min(BACKOFF_MIN_MS * 2 ** this.#failures, BACKOFF_MAX_MS)
    this.#failures++
    const words = running.lastWords.trim().split('\n').at(-1) ?? ''
    const reason = `the WebRTC process is gone (${why})${words === '' ? '' : `: ${words}`}`
    this.#problem = reason
    this.#forget(running, reason)
    running.child.kill('SIGKILL')
    this.onevent?.({ type: 'webrtc-lost', reason })
  }

  #forget(running: Running, reason: string): void {
    this.#running = undefined
    clearInterval(this.#timer)
    running.connections.end(reason)
  }
}

async function stop({ child, pipe }: Running): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  pipe.end()
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
    child.once('exit', () => {
      clearTimeout(timer)
      resolve()
    })
    child.once('error', () => resolve()) // it never ran
  })
}

function closedConnection(reason: string): PeerConnection {
  const connections = new RemoteConnections({ post: () => {}, onmessage: undefined })
  connections.end(reason)
  return connections.create()
}
