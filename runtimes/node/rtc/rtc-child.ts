/**
 * The process in which WebRTC runs: loads the first backend of its arguments that works, has the connections, and
 * ends with the pipe to its parent (descriptor 3), however the parent ends.
 */
import { Socket } from 'node:net'
import { ConnectionHost } from '../../shared/rtc/remote-connection-host.ts'
import type { ClientMessage, HostMessage } from '../../shared/rtc/remote-messages.ts'
import { type CreateConnection, loadBackend, type WebRtcBackend } from './backend.ts'
import { PipeLane } from './pipe-lane.ts'

/** For the farewells of connections. */
const FAREWELL_MS = 50

const pipe = new Socket({ fd: 3, readable: true, writable: true })
const lane = new PipeLane<HostMessage, ClientMessage>(pipe)
let host: ConnectionHost | undefined
pipe.on('error', () => {}) // `close` follows
pipe.on('close', leave)
pipe.on('end', leave)

// Signals to the whole group of a terminal are for the parent, which then closes the pipe.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})

const waiting: ClientMessage[] = []
lane.onmessage = (message) => void waiting.push(message)
lane.oncontrol = ({ kind }) => {
  if (kind === 'ping') lane.postControl({ kind: 'pong' })
}
const loaded = await loadFirst(process.argv.slice(2) as WebRtcBackend[])
if (loaded !== undefined) {
  lane.postControl({ kind: 'ready', backend: loaded.backend })
  host = new ConnectionHost({ lane, createConnection: loaded.create })
  for (const message of waiting.splice(0)) lane.onmessage?.(message)
}

async function loadFirst(
  backends: readonly WebRtcBackend[],
): Promise<{ backend: WebRtcBackend; create: CreateConnection } | undefined> {
  const problems: string[] = []
  for (const backend of backends)
    try {
      return { backend, create: await loadBackend(backend) }
    } catch (error) {
      problems.push(`${backend}: ${error instanceof Error ? error.message : String(error)}`)
    }
  lane.postControl({ kind: 'unusable', reason: problems.join('; ') })
  return undefined
}

function leave(): void {
  host?.close()
  host = undefined
  // Destructors of native code on the way out may hang or crash; there is nothing left to save.
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), FAREWELL_MS)
}
