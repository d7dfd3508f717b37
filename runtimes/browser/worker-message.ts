/** What a page and the worker that runs its node tell each other, beside the lanes. */
import type { PackedError } from '../shared/remote/remote-error.ts'
import type { StopOptions, WakeReason } from './engine.ts'
import type { EngineSettings, Profile } from './settings.ts'

export type ToWorker =
  | {
      readonly type: 'start'
      readonly id: string
      readonly settings: EngineSettings
      readonly profile: Profile
      readonly storageName: string | undefined
      /** Of an identity that is not the origin's own: the page signs, and keeps its key. */
      readonly publicKey: Uint8Array | undefined
      readonly recoveryPassphrase: string | undefined
      /** Lane to the node's host, and to where WebRTC is: workers have none. */
      readonly node: MessagePort
      readonly rtc: MessagePort | undefined
    }
  | { readonly type: 'wake'; readonly reason: WakeReason }
  | { readonly type: 'stop'; readonly how: StopOptions }
  | { readonly type: 'signature'; readonly id: number; readonly signature: Uint8Array }
  | { readonly type: 'not-signed'; readonly id: number; readonly reason: string }

export type FromWorker =
  /** The script runs. */
  | { readonly type: 'loaded' }
  | { readonly type: 'started' }
  | { readonly type: 'failed'; readonly error: PackedError }
  | { readonly type: 'tabs'; readonly count: number }
  | { readonly type: 'stopped' }
  | { readonly type: 'sign'; readonly id: number; readonly message: Uint8Array }
