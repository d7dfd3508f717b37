/** A gateway of ours beside any daemon: HTTP to a local address, answered by a program at the other node. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { DaemonClient } from '../../runtimes/node/ipc/client.ts'
import type { DaemonConnection } from '../../runtimes/node/ipc/client-connection.ts'
import { type Checks, eventually, expectEqual } from './checks.ts'
import type { Json, LiveNode } from './live-node.ts'
import { endProgram } from './processes.ts'

const PORT = 8080
const BODY_BYTES = 200_000

let serial = 0

/** `near` is driven by our pilotctl, the only one whose gateway needs no root. */
export function gateway(checks: Checks, near: LiveNode, far: LiveNode): Promise<boolean> {
  return checks.check(`gateway HTTP ${near.name}>${far.name}`, async () => {
    await using daemon = await DaemonClient.connect(far.socketPath)
    const web = createServer((request, response) => {
      response.end(`${request.url} ${'x'.repeat(BODY_BYTES)}`)
    })
    await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve))
    const listener = await daemon.listen(PORT)
    const serving = serve(listener, (web.address() as AddressInfo).port)
    // A subnet of its own: scenarios run side by side.
    const subnet = `127.${64 + (process.pid % 64)}.${++serial}.0/24`
    const child = near.spawn([
      ...['gateway', 'start', '--subnet', subnet, '--ports', `${PORT}`, far.address],
    ])
    try {
      const ip = await eventually(8000, 'the gateway maps', async () => {
        const { mappings } = await near.ctl(['gateway', 'list'])
        return mappings.find((one: Json) => one.pilot_addr === far.address)?.local_ip
      })
      const texts = await Promise.all(
        ['/a', '/b', '/c'].map(async (path) => {
          const response = await fetch(`http://${ip}:${PORT}${path}`, {
            headers: { connection: 'close' },
            signal: AbortSignal.timeout(15_000),
          })
          expectEqual(response.status, 200, `status of ${path}`)
          return response.text()
        }),
      )
      for (const [i, path] of ['/a', '/b', '/c'].entries()) {
        expectEqual(texts[i]?.length, path.length + 1 + BODY_BYTES, `length of ${path}`)
        expectEqual(texts[i]?.startsWith(`${path} x`), true, `answer to ${path}`)
      }
      return `${ip}`
    } finally {
      await endProgram(child, 'SIGTERM')
      listener.close()
      web.closeAllConnections()
      web.close()
      await serving
    }
  })
}

/** Every stream becomes a TCP connection to `port`. */
async function serve(listener: AsyncIterable<DaemonConnection>, port: number): Promise<void> {
  for await (const connection of listener) {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.on('close', () => connection.close())
    socket.on('data', (chunk) => {
      socket.pause()
      connection.write(chunk).then(
        () => socket.resume(),
        () => socket.destroy(),
      )
    })
    void (async () => {
      try {
        for await (const chunk of connection) socket.write(chunk)
      } catch {
        socket.destroy()
      }
    })()
  }
}
