/** The programs over WebSockets alone: two daemons that are told of no TCP and no UDP of the rendezvous (spec/09). */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RENDEZVOUS, User } from './programs.ts'

/** Nothing listens there. */
const NOWHERE = { registry: '127.0.0.1:9', beacon: '127.0.0.1:9' }

let folder: string
let port: number
let rendezvous: ChildProcess
let log = ''
let a: User
let b: User

async function startRendezvous(): Promise<void> {
  const argv = [
    ...['-registry-addr', '127.0.0.1:0', '-beacon-addr', '127.0.0.1:0'],
    ...['-http', `127.0.0.1:${port}`, '-store', join(folder, 'store.sqlite')],
    ...['-origins', 'https://example.org', '-trusted-proxies', '10.0.0.0/8'],
  ]
  const child = spawn(process.execPath, [RENDEZVOUS, ...argv], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  rendezvous = child
  log = ''
  await new Promise<void>((resolve, reject) => {
    child.stderr.on('data', (chunk) => {
      log += chunk
      if (log.includes('relay for nodes without UDP')) resolve()
    })
    child.once('exit', () => reject(new Error(`rendezvous ended: ${log}`)))
  })
}

async function stopRendezvous(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (rendezvous.exitCode !== null || rendezvous.signalCode !== null) return
  const exited = new Promise((resolve) => rendezvous.once('exit', resolve))
  rendezvous.kill(signal)
  await exited
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer()
    server.listen(0, '127.0.0.1', () => {
      const { port: free } = server.address() as { port: number }
      server.close(() => resolve(free))
    })
  })
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'pilot-compat-'))
  port = await freePort()
  await startRendezvous()
  ;[a, b] = [new User(NOWHERE), new User(NOWHERE)]
  for (const [user, hostname] of [
    [a, 'a'],
    [b, 'b'],
  ] as const) {
    const argv = ['daemon', 'start', '--transport', 'compat', '--hostname', hostname, '--public']
    const url = `ws://127.0.0.1:${port}`
    const started = await user.ctl(...argv, '--rendezvous-url', url, '--json')
    expect(started.stderr).toBe('')
    expect(started.code).toBe(0)
  }
})
afterAll(async () => {
  await a?.dispose()
  await b?.dispose()
  await stopRendezvous('SIGTERM')
  rmSync(folder, { recursive: true, force: true })
})

describe('two daemons on WebSockets', () => {
  it('are told where to connect', () => {
    expect(log).toContain(`url=ws://127.0.0.1:${port}`)
  })

  it('make trust, ping and send messages', async () => {
    const { node_id } = (await a.ctl('info', '--json')).json
    expect((await a.ctl('handshake', 'b', 'hello', '--json')).code).toBe(0)
    expect((await b.eventually(15_000, 'approve', `${node_id}`)).code).toBe(0)
    const ping = await a.ctl('ping', 'b', '--count', '2', '--json')
    expect(ping.json.results).toMatchObject([{ bytes: 6 }, { bytes: 6 }])
    const sent = await b.ctl('send-message', 'a', '--data', 'hi', '--json')
    expect(sent.json.ack).toBe('ACK TEXT 2 bytes')
    const { peers } = (await a.ctl('peers', '--json')).json as { peers: object[] }
    expect(peers).toMatchObject([{ encrypted: true, authenticated: true, endpoint: '' }])
  })

  it('come back when the rendezvous was killed and started again', async () => {
    await stopRendezvous('SIGKILL')
    await startRendezvous()
    // A direct path between the two outlives the relay, so that a ping alone would prove nothing.
    for (const user of [a, b])
      await expect
        .poll(() => readFileSync(join(user.home, '.pilot', 'pilot.log'), 'utf8'), {
          timeout: 30_000,
          interval: 100,
        })
        .toMatch(/relay lost, trying again.*\n(.*\n)*.*connected to the relay/)
    const ping = await a.eventually(
      20_000,
      'ping',
      'b',
      '--count',
      '1',
      '--timeout',
      '3s',
      '--json',
    )
    expect(ping.json.results).toMatchObject([{ bytes: 6 }])
  })

  it('say what is wrong when there is no such rendezvous', async () => {
    const user = new User(NOWHERE)
    const url = 'ws://127.0.0.1:9'
    const argv = ['daemon', 'start', '--transport=compat', '--rendezvous-url', url]
    const { code, stderr } = await user.ctl(...argv)
    expect(code).not.toBe(0)
    expect(stderr).toContain(`is a rendezvous with -http running at ${url}?`)
    expect(stderr).toContain('ECONNREFUSED')
    await user.dispose()
  })
})
