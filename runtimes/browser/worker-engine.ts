/** Starts the worker that runs the node, and makes its WebRTC connections: pages have them, workers do not. */
import { PilotError } from '../../core/errors.ts'
import { portLane } from '../shared/remote/lane.ts'
import { unpackError } from '../shared/remote/remote-error.ts'
import { ConnectionHost } from '../shared/rtc/remote-connection-host.ts'
import {
  type ClientMessage,
  type HostMessage,
  portLane as rtcLane,
} from '../shared/rtc/remote-messages.ts'
import { signed } from '../shared/signed.ts'
import { defer } from '../shared/wait.ts'
import type { StopOptions } from './engine.ts'
import { type EngineHandle, newPeerConnection, type StartEngine } from './engine-handle.ts'
import type { FromWorker, ToWorker } from './worker-message.ts'

const LOAD_TIMEOUT_MS = 10_000
/** Beyond what a stop may take by itself, until the worker is ended. */
const STOP_GRACE_MS = 3000

/** @throws {PilotError} `ERR_WORKER_UNAVAILABLE`. */
export function workerEngine(workerUrl: string | URL | undefined): StartEngine {
  return async (options) => {
    const { settings, ontabs, signal, identity, ...rest } = options
    const worker = openWorker(workerUrl)
    const loaded = defer<void>({
      signal,
      timeoutMs: LOAD_TIMEOUT_MS,
      onTimeout: () => unavailable(`it said nothing within ${LOAD_TIMEOUT_MS / 1000} s`),
    })
    const started = defer<void>({ signal })
    started.promise.catch(() => {}) // looked at once it is loaded
    const stopped = Promise.withResolvers<void>()
    worker.onerror = (event) => {
      event.preventDefault()
      loaded.reject(unavailable(event.message || 'its script could not be loaded'))
    }
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if (data.type === 'loaded') loaded.resolve()
      else if (data.type === 'started') started.resolve()
      else if (data.type === 'failed') started.reject(unpackError(data.error))
      else if (data.type === 'tabs') ontabs(data.count)
      else if (data.type === 'sign') void sign(data.id, data.message)
      else stopped.resolve()
    }
    const tell = (message: ToWorker, transfer: Transferable[] = []): void =>
      worker.postMessage(message, transfer)
    const sign = async (id: number, message: Uint8Array): Promise<void> => {
      if (identity === undefined) return
      try {
        tell({ type: 'signature', id, signature: await signed(identity, message) })
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        tell({ type: 'not-signed', id, reason })
      }
    }
    const node = new MessageChannel()
    let connections: ConnectionHost | undefined
    const kill = (): void => {
      worker.terminate()
      connections?.close()
      node.port1.close()
    }
    try {
      await loaded.promise
      // An exception later on is the console's affair.
      worker.onerror = null
      const rtc = settings.directPaths === false ? undefined : new MessageChannel()
      if (rtc !== undefined)
        connections = new ConnectionHost({
          lane: rtcLane<HostMessage, ClientMessage>(rtc.port1),
          createConnection: () => newPeerConnection(settings),
          transferChannels: true,
        })
      const ports = rtc === undefined ? [node.port2] : [node.port2, rtc.port2]
      tell(
        {
          type: 'start',
          ...rest,
          settings,
          publicKey: identity?.publicKey,
          node: node.port2,
          rtc: rtc?.port2,
        },
        ports,
      )
      await started.promise
    } catch (error) {
      kill()
      throw error
    }
    const stop = async (how: StopOptions): Promise<void> => {
      tell({ type: 'stop', how })
      const limit = defer<void>({ timeoutMs: (how.timeoutMs ?? 2000) + STOP_GRACE_MS })
      stopped.promise.then(limit.resolve)
      await limit.promise.catch(() => {}) // it hangs: ended all the same
      kill()
    }
    const handle: EngineHandle = {
      lane: portLane(node.port1),
      wake: (reason) => tell({ type: 'wake', reason }),
      stop,
      kill,
    }
    return handle
  }
}

function openWorker(workerUrl: string | URL | undefined): Worker {
  try {
    // Written out in both cases: bundlers look for exactly this form to find the worker's script.
    return workerUrl === undefined
      ? new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'pilot-ts' })
      : new Worker(workerUrl, { type: 'module', name: 'pilot-ts' })
  } catch (cause) {
    throw unavailable(cause instanceof Error ? cause.message : String(cause), cause)
  }
}

function unavailable(why: string, cause?: unknown): PilotError {
  return new PilotError(
    'ERR_WORKER_UNAVAILABLE',
    `the worker that runs the node did not load: ${why}. Give its script as "workerUrl" (bundle pilot-ts/browser/worker), allow it in the page's Content-Security-Policy (worker-src), or run the node on the page's thread with "worker: false"`,
    cause === undefined ? {} : { cause },
  )
}
