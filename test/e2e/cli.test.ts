import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { generated } from '../support.ts'
import { PILOTCTL, Rendezvous, User } from './programs.ts'

let rendezvous: Rendezvous
beforeAll(async () => {
  rendezvous = await Rendezvous.start()
})
afterAll(() => rendezvous.stop())

describe('two agents', () => {
  let a: User
  let b: User

  beforeAll(async () => {
    a = new User(rendezvous)
    b = new User(rendezvous)
    const started = await Promise.all([
      a.ctl('daemon', 'start', '--hostname', 'agent-a', '--keepalive', '1s', '--json'),
      b.ctl('daemon', 'start', '--hostname', 'agent-b', '--keepalive', '1s', '--json'),
    ])
    for (const { code, json, stderr } of started) {
      expect(stderr).toBe('')
      expect(code).toBe(0)
      expect(Object.keys(json).sort()).toEqual([
        'address',
        'hostname',
        'log_file',
        'node_id',
        'pid',
        'socket',
      ])
    }
  })
  afterAll(async () => {
    await a.dispose()
    await b.dispose()
  })

  it('does not reach a private node without trust, and says what to do', async () => {
    const ran = await b.ctl('connect', 'agent-a', '--message', 'hello', '--json')
    expect(ran).toMatchObject({ code: 1, stdout: '', json: { code: 'connection_failed' } })
    expect(ran.json.hint).toBe('establish trust first: pilotctl handshake agent-a "reason"')
  })

  it('the story as typed: handshake, approve, connect', async () => {
    expect((await b.ctl('handshake', 'agent-a', 'let me in', '--json')).json).toMatchObject({
      status: 'sent',
    })
    const approved = await a.eventually(20_000, 'approve', 'agent-b', '--json')
    expect(approved.json).toMatchObject({ status: 'approved' })
    const answer = await b.eventually(
      20_000,
      'connect',
      'agent-a',
      '--message',
      'hello, peer',
      '--json',
    )
    expect(answer.json).toMatchObject({
      port: 1000,
      sent: 'hello, peer',
      response: 'ACK TEXT 11 bytes\n',
    })
    expect((await a.ctl('inbox', '--json')).json.messages).toMatchObject([
      { type: 'TEXT', data: 'hello, peer' },
    ])
    for (const user of [a, b])
      expect((await user.ctl('trust', '--json')).json.trusted).toHaveLength(1)
  })

  it('ping, traceroute, bench, peers', async () => {
    const ping = await a.ctl('ping', 'agent-b', '--count', '3', '--json')
    expect((ping.json.results as { rtt_ms: number }[]).map(({ rtt_ms }) => rtt_ms > 0)).toEqual([
      true,
      true,
      true,
    ])
    // Two private nodes may meet through the relay first.
    let path: unknown
    for (let i = 0; i < 60 && path !== 'direct'; i++) {
      const { json } = await b.ctl('traceroute', 'agent-a', '--json')
      expect(json.rtt_samples).toHaveLength(3)
      path = json.path
    }
    expect(path).toBe('direct')
    const bench = await b.ctl('bench', 'agent-a', '5', '--json')
    expect(bench.json).toMatchObject({ sent_bytes: 5 * 2 ** 20, recv_bytes: 5 * 2 ** 20 })
    expect((await b.ctl('peers', '--json')).json).toMatchObject({
      peers: [{ encrypted: true, authenticated: true }],
      total: 1,
    })
  })

  it('send-message and send-file are done when the other side has it', async () => {
    expect((await b.ctl('send-message', 'agent-a', '--data', 'note', '--json')).json.ack).toBe(
      'ACK TEXT 4 bytes',
    )
    const path = join(b.home, 'data.bin')
    const data = generated(5_000_000)
    writeFileSync(path, data)
    const { json } = await b.ctl('send-file', 'agent-a', path, '--json')
    expect(json).toMatchObject({ bytes: 5_000_000, method: 'filestream' })
    const files = (await a.ctl('received', '--json')).json.files as { path: string }[]
    expect(readFileSync(files[0]!.path).equals(data)).toBe(true)
  })

  it('send-file goes on where a killed attempt stopped', async () => {
    const path = join(b.home, 'large.bin')
    const data = generated(60_000_000)
    writeFileSync(path, data)
    const partial = join(a.home, '.pilot/received/.partial')
    const first = b.spawn(process.execPath, [PILOTCTL, 'send-file', 'agent-a', path])
    const arrived = (): number =>
      existsSync(partial)
        ? Math.max(0, ...readdirSync(partial).map((name) => statSync(join(partial, name)).size))
        : 0
    while (arrived() < 1_000_000 && first.exitCode === null)
      await new Promise((resolve) => setTimeout(resolve, 5))
    first.kill('SIGKILL')
    await new Promise((resolve) => first.once('exit', resolve))
    const { json, code, stderr } = await b.eventually(
      10_000,
      'send-file',
      'agent-a',
      path,
      '--json',
    )
    expect(stderr).toBe('')
    expect(code).toBe(0)
    expect(json.resumed_from).toBeGreaterThanOrEqual(1_000_000)
    const files = (await a.ctl('received', '--json')).json.files as {
      path: string
      bytes: number
    }[]
    const copy = files.find(({ bytes }) => bytes === data.length)
    expect(readFileSync(copy!.path).equals(data)).toBe(true)
  })

  it('a program takes port 1000 over while it listens', async () => {
    const taken = a.ctl('recv', '1000', '--timeout', '20s', '--json')
    let answer = ''
    for (let i = 0; i < 40 && answer !== 'none'; i++) {
      const { json } = await b.ctl(
        'connect',
        'agent-a',
        '--message',
        'direct',
        '--timeout',
        '2s',
        '--json',
      )
      answer = json.response === '' ? 'none' : `${json.response}`
    }
    expect(answer).toBe('none') // recv reads and closes
    expect((await taken).json).toMatchObject({ messages: [{ data: 'direct', port: 1000 }] })
    expect(
      (await b.ctl('connect', 'agent-a', '--message', 'again', '--json')).json.response,
    ).toMatch(/^ACK TEXT/)
  })

  it('subscribe, publish; listen, dgram', async () => {
    const heard = b.ctl(
      'subscribe',
      'agent-a',
      'news',
      '--count',
      '1',
      '--timeout',
      '20s',
      '--json',
    )
    const datagram = b.ctl('listen', '6000', '--count', '1', '--timeout', '20s', '--json')
    // Nothing confirms a subscription, so the event is published until it is heard.
    let isHeard = false
    void Promise.all([heard, datagram]).then(() => {
      isHeard = true
    })
    const c = new User(rendezvous)
    try {
      await c.ctl('daemon', 'start', '--hostname', 'agent-c', '--public', '--keepalive', '1s')
      await c.ctl('handshake', 'agent-a')
      await a.eventually(20_000, 'approve', 'agent-c')
      await c.eventually(20_000, 'ping', 'agent-a', '--count', '1')
      while (!isHeard) {
        await c.ctl('publish', 'agent-a', 'news', '--data', 'event')
        await a.ctl('dgram', 'agent-b', '6000', '--data', 'datagram')
      }
      expect((await heard).json.events).toMatchObject([{ topic: 'news', data: 'event' }])
      expect((await datagram).json.messages).toMatchObject([{ data: 'datagram' }])
    } finally {
      await c.dispose()
    }
  })

  it('untrust ends it', async () => {
    const { json } = await a.ctl('info', '--json')
    expect((await b.ctl('untrust', 'agent-a', '--json')).json).toEqual({ node_id: json.node_id })
    expect((await b.ctl('trust', '--json')).json.trusted).toEqual([])
  })
})

describe('life of a daemon', () => {
  let user: User
  beforeEach(() => {
    user = new User(rendezvous)
  })
  afterEach(() => user.dispose())

  it('start, status, stop; the same node comes back; files are private', async () => {
    const first = await user.ctl('daemon', 'start', '--json')
    const status = await user.ctl('daemon', 'status', '--json')
    expect(status.json).toMatchObject({
      running: true,
      responsive: true,
      pid: first.json.pid,
      node_id: first.json.node_id,
    })
    expect((await user.ctl('daemon', 'status', '--check')).code).toBe(0)
    for (const name of ['identity.json', 'pilot.pid', 'pilot.log'])
      expect(statSync(join(user.home, '.pilot', name)).mode & 0o777, name).toBe(0o600)
    expect(await user.ctl('daemon', 'start', '--json')).toMatchObject({
      code: 1,
      json: {
        code: 'already_exists',
        message: `daemon is already running (pid ${first.json.pid})`,
      },
    })
    expect((await user.ctl('daemon', 'stop', '--json')).json).toEqual({ pid: first.json.pid })
    expect(existsSync(user.socket)).toBe(false)
    expect((await user.ctl('daemon', 'status', '--json')).json).toMatchObject({ running: false })
    const second = await user.ctl('daemon', 'start', '--json')
    expect(second.json.node_id).toBe(first.json.node_id)
  })

  it('starts over the socket and pid file of a killed daemon', async () => {
    const { json } = await user.ctl('daemon', 'start', '--json')
    process.kill(Number(json.pid), 'SIGKILL')
    const again = await user.eventually(5000, 'daemon', 'start', '--json')
    expect(again.code).toBe(0)
    expect(again.json.pid).not.toBe(json.pid)
  })

  it('two starts at once: one wins, the other says so', async () => {
    const ran = await Promise.all([
      user.ctl('daemon', 'start', '--json'),
      user.ctl('daemon', 'start', '--json'),
    ])
    expect(ran.map(({ code }) => code).sort()).toEqual([0, 1])
    expect(ran.find(({ code }) => code === 1)!.json.code).toBe('already_exists')
  })

  it('never signals a process that only has the pid of a dead daemon', async () => {
    const stranger = user.spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
    try {
      mkdirSync(join(user.home, '.pilot'))
      writeFileSync(join(user.home, '.pilot/pilot.pid'), `${stranger.pid}`)
      writeFileSync(join(user.home, '.pilot/pilot.pid.start'), '1')
      expect(await user.ctl('daemon', 'stop', '--json')).toMatchObject({
        code: 1,
        json: { code: 'not_running' },
      })
      expect(stranger.exitCode).toBeNull()
      expect(stranger.signalCode).toBeNull()
    } finally {
      stranger.kill('SIGKILL')
    }
  })

  it('an identity that cannot be read is refused by name and left alone, at once', async () => {
    mkdirSync(join(user.home, '.pilot'))
    const identity = join(user.home, '.pilot/identity.json')
    writeFileSync(identity, '{broken')
    const started = performance.now()
    const { code, json } = await user.ctl('daemon', 'start', '--json')
    expect(performance.now() - started).toBeLessThan(8000)
    expect(code).toBe(1)
    expect(json.message).toContain(identity)
    expect(readFileSync(identity, 'utf8')).toBe('{broken')
    expect(existsSync(join(user.home, '.pilot/pilot.pid'))).toBe(false)
  })

  it('a registry that nobody serves is named, with what to do', async () => {
    const { code, json } = await user.ctl('daemon', 'start', '--registry', '127.0.0.1:1', '--json')
    expect(code).toBe(1)
    expect(json.message).toContain('127.0.0.1:1')
    expect(json.message).toContain('pilot-rendezvous')
  })

  it('a UDP port that is taken is named', async () => {
    const other = new User(rendezvous)
    try {
      await other.ctl('daemon', 'start')
      const { endpoint } = (await other.ctl('info', '--json')).json
      const port = `${endpoint}`.split(':').at(-1)
      const { code, json } = await user.ctl('daemon', 'start', '--listen', `:${port}`, '--json')
      expect(code).toBe(1)
      expect(json.message).toContain('in use')
    } finally {
      await other.dispose()
    }
  })
})
