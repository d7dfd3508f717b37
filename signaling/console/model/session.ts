/** In or out of the overlay: joining, coming back by itself after a reload, leaving. */
import { type Signal, signal } from '@preact/signals'
import { createNode, type PilotNode } from '../../../runtimes/browser/index.ts'
import type { Database } from './database.ts'
import { Joined } from './joined.ts'
import { joinProblem, mixedContentProblem, type Problem } from './plain-words.ts'
import { type Settings, saveSettings } from './settings.ts'

declare const __WORKER_FILE__: string

export type SessionState =
  | { readonly name: 'out'; readonly problem?: Problem | undefined }
  /** `problem`: why the last attempt failed, when the next follows by itself. */
  | { readonly name: 'joining'; readonly problem?: Problem | undefined }
  | { readonly name: 'in'; readonly joined: Joined }
  | { readonly name: 'leaving' }

export interface JoinOptions {
  /** Try again while nobody answers. */
  readonly keepTrying?: boolean
  /** On the first visit: what the new identity can be saved under later. */
  readonly recoveryPassphrase?: string | undefined
}

const RETRY_FIRST_MS = 1000
const RETRY_MAX_MS = 15_000
/** A second is plenty where the rendezvous answers; somebody is looking at the page. */
const JOIN_TIMEOUT_MS = 6000

export class Session {
  readonly state: Signal<SessionState> = signal({ name: 'out' })
  readonly settings: Signal<Settings>
  /** Whom the user agreed to ask for trust when joining, by a pairing link. */
  pairingConfirmed: string | undefined
  readonly #database: Database
  #attempt: AbortController | undefined

  constructor(settings: Settings, database: Database) {
    this.settings = signal(settings)
    this.#database = database
  }

  /** Joins; what stood in the way is then in the state. */
  async join(
    settings: Settings,
    { keepTrying = false, recoveryPassphrase }: JoinOptions = {},
  ): Promise<void> {
    if (this.state.value.name !== 'out') return
    this.#save(settings)
    const mixed = mixedContentProblem(location.href, settings.rendezvous)
    if (mixed !== undefined) {
      this.state.value = { name: 'out', problem: mixed }
      return
    }
    const attempt = new AbortController()
    this.#attempt = attempt
    this.state.value = { name: 'joining' }
    for (let waitMs = RETRY_FIRST_MS; ; waitMs = Math.min(2 * waitMs, RETRY_MAX_MS)) {
      try {
        const node = await start(settings, attempt.signal, recoveryPassphrase)
        const { hostname, isPublic } = node
        this.#save({ ...settings, hostname, isPublic, isJoined: true })
        const joined = new Joined(node, settings.rendezvous, this.#database)
        this.state.value = { name: 'in', joined }
        return
      } catch (error) {
        const problem = joinProblem(error, settings.rendezvous)
        if (attempt.signal.aborted) this.state.value = { name: 'out' }
        else if (!keepTrying || problem.isPassing !== true)
          this.state.value = { name: 'out', problem }
        else this.state.value = { name: 'joining', problem }
        if (this.state.value.name === 'out') return
        await pause(waitMs, attempt.signal)
        if (attempt.signal.aborted) {
          this.state.value = { name: 'out', problem }
          return
        }
      }
    }
  }

  /** Ends an attempt to join. */
  cancel(): void {
    this.#save({ ...this.settings.value, isJoined: false })
    this.#attempt?.abort()
  }

  async leave(): Promise<void> {
    const state = this.state.value
    if (state.name !== 'in') return
    this.state.value = { name: 'leaving' }
    this.#save({ ...this.settings.value, isJoined: false })
    await state.joined.close()
    this.state.value = { name: 'out' }
  }

  /** The name and visibility changed while joined. */
  remember(changed: Partial<Settings>): void {
    this.#save({ ...this.settings.value, ...changed })
  }

  #save(settings: Settings): void {
    this.settings.value = settings
    saveSettings(settings)
  }
}

async function start(
  settings: Settings,
  signal: AbortSignal,
  recoveryPassphrase: string | undefined,
): Promise<PilotNode> {
  const { rendezvous, isPublic, hostname } = settings
  const node = await createNode({
    rendezvous,
    signal,
    registrationTimeoutMs: JOIN_TIMEOUT_MS,
    ...(recoveryPassphrase === undefined ? {} : { recoveryPassphrase }),
    workerUrl: new URL(__WORKER_FILE__, document.baseURI),
  })
  // Another tab of this browser runs it: it is what it is there.
  if (!node.isLeader) return node
  try {
    // By itself, not with the registration: only so is a refusal an error. Also takes an old name away.
    await node.setHostname(hostname)
    if (node.isPublic !== isPublic) await node.setVisibility(isPublic)
    return node
  } catch (error) {
    await node.close()
    throw error
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
  })
}
