/** Things that break while two agents work: daemons, the rendezvous, trust that is not there yet. */
import type { ChildProcess } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createNode } from '../../runtimes/node/create-node.ts'
import type { SharedPilotNode } from '../../runtimes/shared/pilot-node.ts'
import { DataExchangeService } from '../../runtimes/shared/services/data-exchange.ts'
import { finished, PILOTCTL, type Ran, Rendezvous, User } from './programs.ts'

let rendezvous: Rendezvous
beforeAll(async () => {
  rendezvous = await Rendezvous.start()
})
afterAll(() => rendezvous.stop())

async function timed(work: Promise<Ran>): Promise<{ readonly ran: Ran; readonly ms: number }> {
  const started = performance.now()
  return { ran: await work, ms: performance.now() - started }
}

async function start(user: User, ...argv: string[]): Promise<Record<string, unknown>> {
  const { code, json, stderr } = await user.ctl('daemon', 'start', ...argv, '--json')
  expect(stderr).toBe('')
  expect(code).toBe(0)
  return json
}

/** Until a command has its connection to the daemon: a third socket beside its two outputs. */
async function withDaemon({ pid }: ChildProcess): Promise<void> {
  const sockets = (): number =>
    readdirSync(`/proc/${pid}/fd`).filter((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:')
      } catch {
        return false // closed meanwhile
      }
    }).length
  if (process.platform !== 'linux') await new Promise((resolve) => setTimeout(resolve, 3000))
  else
    for (let i = 0; i < 500 && sockets() < 3; i++)
      await new Promise((resolve) => setTimeout(resolve, 20))
}

/** Until the tunnel is direct: then it needs no beacon. */
async function direct(user: User, target: string): Promise<void> {
  for (let i = 0; i < 100; i++)
    if ((await user.ctl('traceroute', target, '--json')).json.path === 'direct') return
  throw new Error('the tunnel did not become direct')
}

describe('trust that is not there', () => {
  let a: User
  let b: User
  beforeEach(async () => {
    a = new User(rendezvous)
    b = new User(rendezvous)
    await Promise.all([start(a, '--hostname', 'trusted-a'), start(b, '--hostname', 'trusted-b')])
  })
  afterEach(async () => {
    await a.dispose()
    await b.dispose()
  })

  it('is said soon, by every command that talks, also when the tunnel is up already', async () => {
    const argvs = [
      ['connect', 'trusted-a', '--message', 'x'],
      ['send-message', 'trusted-a', '--data', 'x'],
      ['send-file', 'trusted-a', PILOTCTL],
      ['bench', 'trusted-a'],
      ['subscribe', 'trusted-a', 'topic'],
    ]
    await b.ctl('ping', 'trusted-a', '--count', '1') // makes the tunnel
    const results = await Promise.all(argvs.map((argv) => timed(b.ctl(...argv, '--json'))))
    for (const { ran, ms } of results) {
      expect(ms).toBeLessThan(12_000)
      expect(ran).toMatchObject({ code: 1, stdout: '', json: { code: 'connection_failed' } })
      expect(ran.json.message).toContain('is private and does not trust this node')
      expect(ran.json.hint).toBe('establish trust first: pilotctl handshake trusted-a "reason"')
    }
    const ping = await b.ctl('ping', 'trusted-a')
    expect(ping.code).toBe(1)
    expect(ping.stderr).toContain('hint:  establish trust first: pilotctl handshake trusted-a')
  })

  it('the story as typed: asked for, awaited, approved, used', async () => {
    const [{ node_id: idOfA }, { node_id: idOfB }] = (await Promise.all(
      [a, b].map(async (user) => (await user.ctl('info', '--json')).json),
    )) as [Record<string, unknown>, Record<string, unknown>]
    const asked = await b.ctl('handshake', 'trusted-a', 'we should talk')
    expect(asked.code).toBe(0)
    expect(asked.stdout).toContain(`over there: pilotctl approve ${idOfB}`)
    const { ran, ms } = await timed(
      b.ctl('connect', 'trusted-a', '--message', 'too early', '--json'),
    )
    expect(ms).toBeLessThan(10_000)
    expect(ran.json).toMatchObject({
      code: 'connection_failed',
      hint: `over there: pilotctl approve ${idOfB}`,
    })
    expect(ran.json.message).toContain(
      `the request for trust is sent, and waits for approval by node ${idOfA}`,
    )
    const waiting = b.ctl('handshake', 'trusted-a', '--wait', '30s', '--json')
    expect((await a.eventually(20_000, 'approve', 'trusted-b', '--json')).json).toMatchObject({
      status: 'approved',
    })
    expect((await waiting).json).toMatchObject({ trusted: true })
    const answer = await b.ctl('connect', 'trusted-a', '--message', 'hello, peer', '--json')
    expect(answer.json.response).toBe('ACK TEXT 11 bytes\n')
    expect((await a.ctl('trust')).stdout).toMatch(/it asked, we agreed/)
    expect((await b.ctl('trust')).stdout).toMatch(/we asked, it agreed/)
    const refused = await b.ctl('connect', 'trusted-a', '4242', '--message', 'x', '--json')
    expect(refused.json).toMatchObject({
      message: expect.stringContaining('connection refused (nothing listens there)'),
      hint: 'over there: pilotctl recv 4242',
    })
  })
})

describe('a peer of an older kind', () => {
  let user: User
  let peer: SharedPilotNode
  const stored: number[] = []

  beforeAll(async () => {
    user = new User(rendezvous)
    await start(user)
    peer = await createNode({ ...rendezvous, isPublic: true })
    // As the reference: one frame per file, FILESTREAM unknown.
    const service = new DataExchangeService({
      store: {
        storeMessage: async () => {},
        storeFile: async (_name, _from, data) => {
          stored.push(data.length)
        },
      },
      unixNs: () => 0n,
      setTimer: (work, ms) => {
        const timer = setTimeout(work, ms)
        return () => clearTimeout(timer)
      },
    })
    peer.listen(1001).onconnection = (connection) => service.serve(connection)
  })
  afterAll(async () => {
    await peer.close()
    await user.dispose()
  })

  it('takes an empty file, and one of 3 MB', async () => {
    for (const bytes of [0, 3_000_000]) {
      const path = join(user.home, 'file')
      writeFileSync(path, Buffer.alloc(bytes, 7))
      const { json } = await user.ctl('send-file', `${peer.nodeId}`, path, '--json')
      expect(json).toMatchObject({ method: 'file', ack: `ACK FILE ${bytes} bytes` })
      expect(stored.at(-1)).toBe(bytes)
    }
  })

  it('is not sent a file of 20 MB: it is said what it takes', async () => {
    const path = join(user.home, 'huge')
    writeFileSync(path, Buffer.alloc(20_000_000))
    const { ran, ms } = await timed(user.ctl('send-file', `${peer.nodeId}`, path, '--json'))
    expect(ms).toBeLessThan(15_000)
    expect(ran).toMatchObject({ code: 1, stdout: '', json: { code: 'unavailable' } })
    expect(ran.json.message).toContain('takes files of at most 16 MiB, this one has 19.1 MB')
    expect(ran.json.hint).toContain('split the file, or update the peer')
  })
})

describe('what dies while commands run', () => {
  let a: User
  let b: User
  let pidOfA: number
  let own: Rendezvous
  let store: string

  beforeEach(async () => {
    store = join(new User(rendezvous).home, 'store.sqlite')
    own = await Rendezvous.start({ store })
    a = new User(own)
    b = new User(own)
    const started = await start(a, '--hostname', 'agent-a', '--public')
    pidOfA = Number(started.pid)
    await start(b, '--hostname', 'agent-b', '--public')
    await direct(b, 'agent-a')
  })
  afterEach(async () => {
    await a.dispose()
    await b.dispose()
    await own.stop()
  })

  it('the own daemon: every command ends at once and says so', async () => {
    const argvs = [
      ['recv', '5000', '--timeout', '60s'],
      ['listen', '6000'],
      ['subscribe', 'agent-a', 'topic'],
      ['bench', 'agent-a', '100000'],
      ['ping', 'agent-a', '--count', '100000', '--timeout', '60s'],
      ['handshake', 'agent-a', '--wait', '60s'],
    ]
    const running = argvs.map((argv) => {
      const child = b.spawn(process.execPath, [PILOTCTL, ...argv, '--json'])
      return { argv, child, ended: finished(child, true) }
    })
    for (const { child } of running) await withDaemon(child)
    const { pid } = (await b.ctl('info', '--json')).json
    process.kill(Number(pid), 'SIGKILL')
    const killedAt = performance.now()
    for (const { argv, ended } of running) {
      const ran = await ended
      expect(ran.code, argv[0]).toBe(1)
      expect(ran.json.code, argv[0]).toBe('connection_failed')
      expect(ran.json.message, argv[0]).toContain('daemon disconnected')
      expect(ran.json.hint, argv[0]).toBe(
        'the daemon stopped or dropped us; see: pilotctl daemon status',
      )
    }
    expect(performance.now() - killedAt).toBeLessThan(5000)
    expect((await b.ctl('daemon', 'status', '--json')).json).toMatchObject({ running: false })
  })

  it('the peer’s daemon: limits hold, and it is found again when it is back', async () => {
    const bench = b.ctl('bench', 'agent-a', '100000', '--timeout', '4s', '--json')
    const limit = ['--count', '1', '--timeout', '4s']
    const heard = b.ctl('subscribe', 'agent-a', 'topic', ...limit, '--json')
    // Both are under way: the echo of the bench, and the subscription.
    const open = async (): Promise<unknown[]> => {
      const { connections } = (await b.ctl('connections', '--json')).json
      return (connections as { remote_port: number; state: string }[])
        .filter(({ state }) => state === 'ESTABLISHED')
        .map(({ remote_port }) => remote_port)
    }
    const isUnderWay = async (): Promise<boolean> => {
      const ports = await open()
      return ports.includes(7) && ports.includes(1002)
    }
    for (let i = 0; i < 50 && !(await isUnderWay()); i++);
    process.kill(pidOfA, 'SIGKILL')
    expect(await bench).toMatchObject({ code: 1, json: { code: 'timeout' } })
    expect(await heard).toMatchObject({ code: 0, json: { events: [], timeout: true } })
    const dial = await b.ctl('connect', 'agent-a', '--message', 'x', '--timeout', '2s', '--json')
    expect(dial.json).toMatchObject({
      code: 'timeout',
      message: expect.stringContaining('no answer in time'),
      hint: expect.stringContaining('is its daemon running?'),
    })
    await start(a, '--public')
    const again = await b.ctl('connect', 'agent-a', '--message', 'back', '--json')
    expect(again.json.response).toBe('ACK TEXT 4 bytes\n')
  })

  it('the rendezvous: streams go on, names are unknown until it is back', async () => {
    const idOfA = (await a.ctl('info', '--json')).json.node_id
    const path = join(b.home, 'file')
    const data = Buffer.alloc(60_000_000, 5)
    writeFileSync(path, data)
    const sending = b.ctl('send-file', `${idOfA}`, path, '--json')
    await new Promise((resolve) => setTimeout(resolve, 700))
    await own.stop('SIGKILL')
    const sent = await sending
    expect(sent.stderr).toBe('')
    const [file] = (await a.ctl('received', '--json')).json.files as { path: string }[]
    expect(readFileSync(file!.path).equals(data)).toBe(true)

    const ping = await b.ctl('ping', `${idOfA}`, '--count', '2', '--json')
    expect(ping.json.results).toMatchObject([{ bytes: 6 }, { bytes: 6 }])
    const [named, tags] = await Promise.all([
      b.ctl('connect', 'agent-a', '--message', 'x', '--json'),
      b.ctl('set-tags', 'x', '--json'),
    ])
    expect(named).toMatchObject({ code: 1, json: { code: 'connection_failed' } })
    expect(named.json.message).toMatch(/^resolve "agent-a": the registry cannot be reached: /)
    expect(named.json.hint).toContain('is the rendezvous running?')
    expect(tags.json.message).toMatch(/^set-tags: the registry cannot be reached: nothing listens/)
    expect((await b.ctl('info')).stdout).toContain('(NOT reachable)')

    const { registry, beacon } = own
    own = await Rendezvous.start({ store, registry, beacon })
    const found = await b.eventually(30_000, 'connect', 'agent-a', '--message', 'again', '--json')
    expect(found.json.response).toBe('ACK TEXT 5 bytes\n')
    expect((await b.ctl('info', '--json')).json).toMatchObject({ registry_reachable: true })
  })
})
