/**
 * The node of an origin as one of its tabs uses it. One tab leads: its engine runs the node, the others use it
 * over lanes. When the leader closes, crashes or stops answering, another takes over with the same identity.
 */
import { PilotError } from '../../../core/errors.ts'
import type { Signer } from '../../../core/identity/signer.ts'
import type { CallOptions } from '../../shared/api.ts'
import { RemoteNode } from '../../shared/remote/remote-node.ts'
import { defer } from '../../shared/wait.ts'
import type { EngineHandle, StartEngine } from '../engine-handle.ts'
import { differences, type EngineSettings, type Profile } from '../settings.ts'
import { Leadership } from './leadership.ts'
import { TabLane } from './tab-lane.ts'
import {
  laneName,
  originName,
  parseTabMessage,
  type TabMessage,
  tabLockName,
} from './tab-message.ts'

/** The leader is asked so often for a sign of life. */
const PROBE_MS = 300
/**
 * Questions without an answer after which it is believed gone. Counted, not timed: a page that was itself
 * suspended has asked nothing. Where the browser slows our timer down, fewer do.
 */
const UNANSWERED_MAX = 3
const SLOW_UNANSWERED_MAX = 2
/** A worker of this very tab is given longer: it may be at work, and nobody else waits. */
const OWN_UNANSWERED_MAX = 25
/** An engine that does not start is tried again; on the first time `createNode` fails. */
const RESTART_MS = 1000
const RESTART_MAX_MS = 15_000
const CLOSE_TIMEOUT_MS = 2000

export interface TabNodeOptions {
  readonly storageName: string | undefined
  readonly settings: EngineSettings
  /** The one that was given. */
  readonly identity: Signer | undefined
  readonly recoveryPassphrase: string | undefined
  readonly startEngine: StartEngine
  /** How long `join` waits for a leader that answers but does not get ready. */
  readonly joinTimeoutMs: number
}

export class TabNode extends RemoteNode {
  readonly #options: TabNodeOptions
  readonly #tab: string = crypto.randomUUID()
  readonly #channel: BroadcastChannel
  readonly #leadership: Leadership
  readonly #life = new AbortController()
  readonly #letGo: () => void
  #timer: ReturnType<typeof setInterval> | undefined
  /** What the node runs with: the leader's settings, once there is one. */
  #settings: EngineSettings
  #engine: EngineHandle | undefined
  #engineId = ''
  #lane: TabLane | undefined
  #laneId = ''
  #otherTabs = 0
  #probedAt: number = performance.now()
  #unanswered = 0
  /** Counts what ends an attempt to lead: one that was overtaken must not go on. */
  #term = 0
  #failures = 0
  /** Why it could not be joined, though there is an engine. */
  #lastError: unknown
  #isJoining = false
  #isLeaving = false
  readonly #left: PromiseWithResolvers<void> = Promise.withResolvers<void>()
  #hasJoined = false
  #joined: { resolve(): void; reject(error: unknown): void } | undefined

  private constructor(options: TabNodeOptions) {
    super({ isResumable: true })
    this.#options = options
    this.#settings = options.settings
    this.#channel = new BroadcastChannel(originName(options.storageName))
    this.#channel.onmessage = ({ data }) => this.#hear(data)
    this.#leadership = new Leadership({
      name: originName(options.storageName),
      onelected: () => void this.#lead(),
      ondeposed: () => this.#deposed(),
    })
    const held = Promise.withResolvers<void>()
    this.#letGo = held.resolve
    // As long as it is held this tab lives.
    void navigator.locks.request(tabLockName(options.storageName, this.#tab), () => {
      if (!this.#isLeaving) this.#begin()
      return held.promise
    })
  }

  /** @throws {PilotError} as `createNode`. */
  static async join(options: TabNodeOptions, { signal }: CallOptions = {}): Promise<TabNode> {
    const node = new TabNode(options)
    const joined = defer<void>({
      signal,
      timeoutMs: options.joinTimeoutMs,
      onTimeout: () =>
        new PilotError(
          'ERR_ENGINE_LOST',
          'the tab that runs the node of this origin did not get ready',
          { cause: node.#lastError },
        ),
    })
    node.#joined = joined
    try {
      await joined.promise
    } catch (error) {
      await node.#leave({ timeoutMs: 0 })
      throw error
    }
    return node
  }

  /** This tab runs the node. */
  get isLeader(): boolean {
    return this.#leadership.isLeader
  }

  /** The page or its network came back: everything is proven again at once. */
  wake(reason: 'network' | 'visible'): void {
    this.#engine?.wake(reason)
    if (!this.isLeader) this.#post({ type: 'probe' })
    if (!this.isAttached && !this.#isLeaving && this.#tabIsReady) {
      this.#leadership.stand()
      this.#join()
    }
  }

  /** The page is about to be frozen: another tab, where there is one, goes on at once. */
  sleep(): void {
    if (!this.isLeader || this.#otherTabs === 0) return
    const engine = this.#engine
    this.#term++
    this.#engine = undefined
    this.#engineId = ''
    engine?.kill()
    this.#leadership.resign()
    this.detach(new PilotError('ERR_ENGINE_LOST', 'the browser froze this page'))
    this.#leadership.stand()
  }

  /** This tab lets go of the node; it ends with its last tab. */
  override async close(options: { readonly timeoutMs?: number } = {}): Promise<void> {
    if (this.#isLeaving) return this.closed
    this.#isLeaving = true
    await super.close(options)
    await this.#leave(options)
  }

  override get closed(): Promise<void> {
    return this.#left.promise
  }

  get #tabIsReady(): boolean {
    return this.#timer !== undefined
  }

  #begin(): void {
    this.#leadership.stand()
    this.#timer = setInterval(() => this.#tick(), PROBE_MS)
    this.#unanswered = 0
    this.#join()
  }

  async #leave({ timeoutMs = CLOSE_TIMEOUT_MS }: { readonly timeoutMs?: number }): Promise<void> {
    this.#isLeaving = true
    this.#term++
    this.#life.abort()
    clearInterval(this.#timer)
    const engine = this.#engine
    this.#engine = undefined
    this.#lane?.close()
    await engine?.stop({ timeoutMs, isHandover: this.#otherTabs > 0 })
    this.#leadership.resign()
    this.#channel.close()
    this.#letGo()
    await super.close({ timeoutMs: 0 })
    this.#left.resolve()
  }

  // Leading

  /** Names and visibility may have been set since the first engine began. */
  get #profile(): Profile {
    if (!this.#hasJoined) return {}
    const { hostname, isPublic } = this
    return { hostname, isPublic }
  }

  async #lead(): Promise<void> {
    if (this.#isLeaving) return this.#leadership.resign()
    this.detach(new PilotError('ERR_ENGINE_LOST', 'the tab that ran the node is gone'))
    const { storageName, identity, recoveryPassphrase, startEngine } = this.#options
    const id = crypto.randomUUID()
    const term = ++this.#term
    this.#otherTabs = 0
    let engine: EngineHandle | undefined
    try {
      engine = await startEngine({
        id,
        settings: this.#settings,
        profile: this.#profile,
        storageName,
        identity,
        recoveryPassphrase,
        ontabs: (count) => {
          this.#otherTabs = count
        },
        signal: this.#life.signal,
      })
      if (this.#term !== term || this.#isLeaving) return engine.kill()
      this.#engine = engine
      this.#engineId = id
      this.#unanswered = 0
      await this.#use(engine.lane)
      this.#failures = 0
    } catch (error) {
      engine?.kill()
      if (this.#term !== term) return
      this.#engine = undefined
      if (!this.#hasJoined) this.#joined?.reject(error)
      else this.#leadAgain()
    }
  }

  /** Whoever leads goes on trying: another tab would not fare better. */
  #leadAgain(): void {
    const wait = Math.min(RESTART_MS * 2 ** this.#failures++, RESTART_MAX_MS)
    const term = this.#term
    const timer = setTimeout(() => {
      if (this.#term === term) void this.#lead()
    }, wait)
    this.#life.signal.addEventListener('abort', () => clearTimeout(timer), { once: true })
  }

  /** Another tab took over, because nothing was heard of this one. */
  #deposed(): void {
    this.#term++
    this.#engine?.kill()
    this.#engine = undefined
    this.#engineId = ''
    this.detach(new PilotError('ERR_ENGINE_LOST', 'another tab took over'))
    if (this.#isLeaving) return
    this.#leadership.stand()
    this.#unanswered = 0
    this.#join()
  }

  // Following

  #hear(data: unknown): void {
    const message = parseTabMessage(data)
    if (message === undefined || this.#isLeaving) return
    switch (message.type) {
      case 'alive':
        this.#unanswered = 0
        if (message.engine !== '' && message.engine !== this.#engineId) this.#joinNew()
        break
      case 'engine':
        this.#unanswered = 0
        this.#joinNew()
        break
      case 'joined':
        if (message.tab === this.#tab && message.lane === this.#laneId && !this.isLeader)
          void this.#joinedAs(message)
        break
      case 'probe':
        // The engine answers for itself, once there is one.
        if (this.isLeader && this.#engine === undefined) this.#post({ type: 'alive', engine: '' })
    }
  }

  #joinNew(): void {
    if (this.isLeader || this.#isJoining || this.#isLeaving) return
    this.#laneId = ''
    this.#join()
  }

  /** Asks for a lane; the answer is `joined`. Asked again, it is the same one. */
  #join(): void {
    if (this.isLeader || this.#isJoining || this.#isLeaving) return
    if (this.#laneId === '') this.#laneId = crypto.randomUUID()
    this.#post({ type: 'join', tab: this.#tab, lane: this.#laneId })
  }

  async #joinedAs(message: TabMessage & { readonly type: 'joined' }): Promise<void> {
    const { engine, lane: id, settings } = message
    if (this.#isJoining || (this.isAttached && this.#engineId === engine)) return
    const differing = differences(this.#options.settings, settings)
    if (differing.length > 0 && !this.#hasJoined) {
      const text = `another tab runs the node of this origin with another ${differing.join(', ')}: ask for the same, leave it out, or give another storageName`
      this.#joined?.reject(new PilotError('ERR_OPTIONS_DIFFER', text))
      return
    }
    this.#isJoining = true
    this.detach(new PilotError('ERR_ENGINE_LOST', 'another tab took over'))
    this.#settings = settings
    this.#engineId = engine
    this.#laneId = ''
    const lane = new TabLane(laneName(this.#options.storageName, id))
    this.#lane = lane
    try {
      await this.#use(lane)
    } catch (error) {
      this.#lastError = error // asked again at the next tick
      const code = error instanceof PilotError ? error.code : ''
      if (code === 'ERR_LIMIT' || code === 'ERR_ENGINE_VERSION') this.#joined?.reject(error)
      lane.close()
      this.#lane = undefined
      this.#engineId = ''
    } finally {
      this.#isJoining = false
    }
  }

  async #use(lane: EngineHandle['lane']): Promise<void> {
    await this.attach(lane, { signal: this.#life.signal })
    const { isLeader } = this
    if (this.#hasJoined) this.emit({ type: 'leader-changed', isLeader })
    this.#hasJoined = true
    this.#joined?.resolve()
  }

  override detach(reason: PilotError): void {
    const wasAttached = this.isAttached
    super.detach(reason)
    if (this.#isJoining || this.#isLeaving) return
    this.#lane = undefined
    if (!this.isLeader) {
      this.#engineId = ''
      this.#join()
    } else if (wasAttached && this.#engine !== undefined) this.#replaceEngine()
  }

  #tick(): void {
    const now = performance.now()
    const isSlow = now - this.#probedAt > 2 * PROBE_MS
    if (this.#lane !== undefined && this.#lane.heardAt > this.#probedAt) this.#unanswered = 0
    this.#probedAt = now
    if (this.isLeader) {
      // While it is being started there is nobody to ask.
      if (this.#engine === undefined) this.#unanswered = 0
      else if (this.#unanswered >= OWN_UNANSWERED_MAX) return this.#replaceEngine()
    } else if (this.#unanswered >= (isSlow ? SLOW_UNANSWERED_MAX : UNANSWERED_MAX)) {
      this.#unanswered = 0
      return this.#leadership.seize()
    }
    this.#unanswered++
    this.#post({ type: 'probe' })
    if (!this.isAttached) this.#join()
  }

  /** The worker is gone, or does not answer any more. */
  #replaceEngine(): void {
    this.#engine?.kill()
    this.#engine = undefined
    this.detach(new PilotError('ERR_ENGINE_LOST', 'the worker that ran the node stopped answering'))
    void this.#lead()
  }

  #post(message: TabMessage): void {
    if (!this.#isLeaving) this.#channel.postMessage(message)
  }
}
