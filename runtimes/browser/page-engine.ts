/** The engine on the page's own thread: a module of its own, because a page whose worker runs it does not load it. */
import { portLane } from '../shared/remote/lane.ts'
import { Engine } from './engine.ts'
import { newPeerConnection, type StartEngine } from './engine-handle.ts'

/** Browsers fire the timers of a hidden page once a minute. */
const PAGE_TIMER_TOLERANCE_MS = 75_000

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
