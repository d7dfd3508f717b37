/** The engine as its tab holds it, wherever it runs. */
import type { Signer } from '../../core/index.ts'
import type { CallOptions } from '../shared/api.ts'
import type { Lane } from '../shared/remote/lane.ts'
import { portLane } from '../shared/remote/lane.ts'
import type { PeerConnection } from '../shared/rtc/peer-connection.ts'
import { Engine, type StopOptions, type WakeReason } from './engine.ts'
import type { EngineSettings, Profile } from './settings.ts'

export interface StartEngineOptions extends CallOptions {
  readonly id: string
  readonly settings: EngineSettings
  readonly profile: Profile
  readonly storageName: string | undefined
  readonly identity: Signer | undefined
  readonly recoveryPassphrase: string | undefined
  readonly ontabs: (count: number) => void
}

export interface EngineHandle {
  /** To the node's host, for this tab. */
  readonly lane: Lane
  wake(reason: WakeReason): void
  stop(options: StopOptions): Promise<void>
  /** At once, without a word to anybody. */
  kill(): void
}

/** @throws {PilotError} as `createNode`. */
export type StartEngine = (options: StartEngineOptions) => Promise<EngineHandle>

/** Browsers fire the timers of a hidden page once a minute. */
const PAGE_TIMER_TOLERANCE_MS = 75_000

/** On the page's own thread. */
export const startPageEngine: StartEngine = async (options) => {
  const { settings } = options
  const engine = await Engine.start({
    ...options,
    createPeerConnection:
      settings.directPaths === false ? undefined : () => newPeerConnection(settings),
    timerToleranceMs: PAGE_TIMER_TOLERANCE_MS,
  })
  const { port1, port2 } = new MessageChannel()
  engine.host.serve(portLane(port2))
  return {
    lane: portLane(port1),
    wake: (reason) => engine.wake(reason),
    stop: (how) => engine.stop(how),
    // What runs here cannot be killed, only told.
    kill: () => void engine.stop({ timeoutMs: 0, isHandover: true }),
  }
}

export function newPeerConnection({ iceServers = [] }: EngineSettings): PeerConnection {
  return new RTCPeerConnection({ iceServers: iceServers as RTCIceServer[] })
}
