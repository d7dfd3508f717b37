/** The engine as its tab holds it, wherever it runs. */
import type { Signer } from '../../core/index.ts'
import type { CallOptions } from '../shared/api.ts'
import type { Lane } from '../shared/remote/lane.ts'
import type { PeerConnection } from '../shared/rtc/peer-connection.ts'
import type { StopOptions, WakeReason } from './engine.ts'
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

export function newPeerConnection({ iceServers = [] }: EngineSettings): PeerConnection {
  return new RTCPeerConnection({ iceServers: iceServers as RTCIceServer[] })
}
