/** Entry of the worker that runs a page's node: browsers let it go on when the page is in the background. */
import type { LaterSigner } from '../../core/index.ts'
import { portLane } from '../shared/remote/lane.ts'
import { packError } from '../shared/remote/remote-error.ts'
import { RemoteConnections } from '../shared/rtc/remote-connection.ts'
import {
  type ClientMessage,
  type HostMessage,
  portLane as rtcLane,
} from '../shared/rtc/remote-messages.ts'
import { type Deferred, defer, settle } from '../shared/wait.ts'
import { Engine } from './engine.ts'
import type { FromWorker, ToWorker } from './worker-message.ts'

const TIMER_TOLERANCE_MS = 4000

let starting: Promise<Engine> | undefined

const signatures = new Map<number, Deferred<Uint8Array>>()
let nextSignature = 1

const tell = (message: FromWorker): void => postMessage(message)

function pageSigner(publicKey: Uint8Array): LaterSigner {
  return {
    publicKey,
    signLater: (message) => {
      const id = nextSignature++
      const signature = defer<Uint8Array>()
      signatures.set(id, signature)
      tell({ type: 'sign', id, message })
      return signature.promise
    },
  }
}

async function start(message: ToWorker & { readonly type: 'start' }): Promise<Engine> {
  const { node, rtc, publicKey, type: _, ...options } = message
  const connections =
    rtc === undefined ? undefined : new RemoteConnections(rtcLane<ClientMessage, HostMessage>(rtc))
  const engine = await Engine.start({
    ...options,
    identity: publicKey === undefined ? undefined : pageSigner(publicKey),
    createPeerConnection: connections === undefined ? undefined : () => connections.create(),
    timerToleranceMs: TIMER_TOLERANCE_MS,
    ontabs: (count) => tell({ type: 'tabs', count }),
  })
  engine.host.serve(portLane(node))
  return engine
}

addEventListener('message', ({ data }: MessageEvent<ToWorker>) => {
  switch (data.type) {
    case 'start':
      starting ??= start(data)
      starting.then(
        () => tell({ type: 'started' }),
        (error: unknown) => tell({ type: 'failed', error: packError(error) }),
      )
      break
    case 'wake':
      void starting?.then((engine) => engine.wake(data.reason))
      break
    case 'signature':
      settle(signatures, data.id)?.resolve(data.signature)
      break
    case 'not-signed':
      settle(signatures, data.id)?.reject(new Error(data.reason))
      break
    case 'stop':
      void (async () => {
        await (await starting)?.stop(data.how)
        tell({ type: 'stopped' })
      })()
  }
})

tell({ type: 'loaded' })
