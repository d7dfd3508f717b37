import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { IpcServer } from '../../../../runtimes/node/ipc/server.ts'
import { serveEcho } from '../../../../runtimes/shared/services/echo.ts'
import { serveStdio } from '../../../../runtimes/shared/services/stdio.ts'
import { FakeNetwork, type FakeNode } from '../fake-node.ts'
import { CliHarness } from './harness.ts'

const facts = { version: '0', owner: '', hasIdentity: true, beacon: '', transport: 'udp' } as const
const NOT_RUNNING = {
  code: 'not_running',
  hint: 'start the daemon with: pilotctl daemon start',
  message: 'daemon is not running',
  status: 'error',
}

let cli: CliHarness

beforeEach(() => {
  cli = new CliHarness()
})
afterEach(() => cli.dispose())

describe('without a daemon', () => {
  it.each([
    ['info'],
    ['peers'],
    ['connections'],
    ['ping', '2'],
    ['connect', '2', '--message', 'x'],
    ['send', '2', '7', '--data', 'x'],
    ['recv', '1000'],
    ['send-message', '2', '--data', 'x'],
    ['subscribe', '2', 't'],
    ['publish', '2', 't', '--data', 'x'],
    ['listen', '5'],
    ['pending'],
    ['trust'],
    ['handshake', '2'],
    ['set-public'],
    ['find', 'bob'],
    ['disconnect', '3'],
    ['health'],
    ['bench', '2'],
  ])('%s says that none runs, on standard error, exit 1', async (...argv) => {
    const ran = await cli.run(...argv, '--json')
    expect(ran).toMatchObject({ code: 1, stdout: '', json: NOT_RUNNING })
    const human = await cli.run(...argv)
    expect(human).toMatchObject({
      code: 1,
      stdout: '',
      stderr: 'error: daemon is not running\nhint:  start the daemon with: pilotctl daemon start\n',
    })
  })

  it('knows the keys of its envelopes in order, and escapes as the reference does', async () => {
    const ran = await cli.run('config', '--set', 'note=<&>', '--json')
    expect(ran.stdout).toBe(
      '{"data":{"key":"note","value":"\\u003c\\u0026\\u003e"},"status":"ok"}\n',
    )
  })

  it('unknown words: usage and exit 2 for people, an object and exit 1 with --json', async () => {
    const human = await cli.run('bogus')
    expect(human.code).toBe(2)
    expect(human.stderr).toMatch(/^unknown command: bogus\n/)
    expect(human.stdout).toBe('')
    expect(await cli.run('bogus', '--json')).toMatchObject({
      code: 1,
      json: {
        code: 'invalid_argument',
        message: 'unknown command: bogus',
        hint: "run 'pilotctl context' for the full command list",
      },
    })
    expect((await cli.run()).code).toBe(2)
  })

  it('helps with exit 0, and says what is missing with exit 1', async () => {
    for (const argv of [
      ['--help'],
      ['help'],
      ['help', 'send'],
      ['send', '--help'],
      ['daemon', 'start', '-h'],
    ]) {
      const ran = await cli.run(...argv)
      expect(ran, argv.join(' ')).toMatchObject({ code: 0, stderr: '' })
      expect(ran.stdout).toContain('Usage: pilotctl')
    }
    expect(await cli.run('send', '2', '--json')).toMatchObject({
      code: 1,
      json: { code: 'invalid_argument' },
    })
    expect((await cli.run('version')).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  it('describes every command for programs', async () => {
    const { json } = await cli.run('context', '--json')
    const commands = json.commands as Record<string, { returns: string }>
    expect(Object.keys(commands).length).toBeGreaterThan(35)
    for (const [name, { returns }] of Object.entries(commands)) expect(returns, name).not.toBe('')
  })

  it('keeps a configuration that it cannot read, and writes others with mode 0600', async () => {
    const path = join(cli.home, '.pilot', 'config.json')
    expect((await cli.run('init', '--registry', 'h:9000', '--json')).json).toEqual({
      beacon: 'h:9001',
      config_path: path,
      hostname: '',
      registry: 'h:9000',
      socket: '/tmp/pilot.sock',
    })
    expect(statSync(path).mode & 0o777).toBe(0o600)
    await cli.run('config', '--set', 'other=1')
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ registry: 'h:9000', other: '1' })
    writeFileSync(path, '{broken')
    expect(await cli.run('config', '--set', 'a=b', '--json')).toMatchObject({
      code: 1,
      json: { code: 'internal' },
    })
    expect(readFileSync(path, 'utf8')).toBe('{broken')
    cli.env = {} // the socket is to be read from the file
    for (const [text, message] of [
      ['{broken', `${path} is not a JSON object`],
      ['[]', `${path} is not a JSON object`],
      ['{"registry":9000}', `${path}: "registry" must be a string`],
    ] as const) {
      writeFileSync(path, text)
      for (const argv of [['info'], ['config'], ['init'], ['daemon', 'start']])
        expect(await cli.run(...argv, '--json'), argv.join(' ')).toMatchObject({
          code: 1,
          json: { code: 'internal', message, hint: 'repair the file, or move it away' },
        })
      expect(readFileSync(path, 'utf8')).toBe(text)
    }
  })

  it('takes socket and registry from environment, then configuration, then defaults', async () => {
    await cli.run('init', '--registry', 'conf:9000', '--socket', '/conf.sock')
    expect((await cli.run('config', '--json')).json).toMatchObject({
      registry: '127.0.0.1:1',
      socket: cli.socket,
    })
    cli.env = {}
    expect((await cli.run('config', '--json')).json).toMatchObject({
      registry: 'conf:9000',
      socket: '/conf.sock',
    })
  })

  it('reads and clears the mailbox', async () => {
    const inbox = join(cli.home, '.pilot', 'inbox')
    expect((await cli.run('inbox', '--json')).json).toMatchObject({ messages: [], total: 0 })
    expect(await cli.run('inbox', '--clear', '--json')).toMatchObject({
      code: 1,
      json: { code: 'not_found' },
    })
    mkdirSync(inbox, { recursive: true })
    const message = (from: string, at: string, data: string): string =>
      JSON.stringify({ bytes: data.length, data, from, received_at: at, type: 'TEXT' })
    writeFileSync(
      join(inbox, 'TEXT-2.json'),
      message('0:0000.0000.0002', '2026-01-02T00:00:00Z', 'new'),
    )
    writeFileSync(
      join(inbox, 'JSON-1.json'),
      message('0:0000.0000.0001', '2026-01-01T00:00:00Z', 'old'),
    )
    writeFileSync(join(inbox, 'junk.json'), '{')
    const { json } = await cli.run('inbox', '--json')
    expect((json.messages as { data: string }[]).map(({ data }) => data)).toEqual(['old', 'new'])
    expect((await cli.run('inbox', '--from', '2', '--json')).json.total).toBe(1)
    expect((await cli.run('inbox', '--latest', '--json')).json.messages).toMatchObject([
      { data: 'new' },
    ])
    expect((await cli.run('inbox', 'read', 'TEXT-2')).stdout).toContain('new')
    expect((await cli.run('inbox', '--clear', '--json')).json).toEqual({ cleared: 3 })
    expect((await cli.run('received', '--json')).json).toEqual({ files: [], total: 0 })
  })

  it('daemon status tells that nothing runs, exit 0; --check exits 1 silently', async () => {
    expect(await cli.run('daemon', 'status', '--json')).toMatchObject({
      code: 0,
      json: { running: false, responsive: false, pid: 0 },
    })
    expect((await cli.run('daemon', 'status')).stdout).toBe(
      'Daemon: stopped\n  start with: pilotctl daemon start\n',
    )
    expect(await cli.run('daemon', 'status', '--check')).toMatchObject({
      code: 1,
      stdout: '',
      stderr: '',
    })
    expect(await cli.run('daemon', 'stop', '--json')).toMatchObject({
      code: 1,
      json: { code: 'not_running' },
    })
  })
})

describe('with a daemon', () => {
  let near: FakeNode
  let far: FakeNode
  let server: IpcServer

  beforeEach(async () => {
    const network = new FakeNetwork()
    near = network.add(1, 'alice')
    far = network.add(2, 'bob')
    server = await IpcServer.listen({ node: near, facts, socketPath: cli.socket })
  })
  afterEach(() => server.close())

  it('info, health, peers, connections', async () => {
    const { json } = await cli.run('info', '--json')
    expect(json).toMatchObject({ node_id: 1, address: '0:0000.0000.0001', hostname: 'alice' })
    const human = await cli.run('info')
    expect(human.stdout).toContain('Pilot Protocol Daemon\n')
    expect(human.stdout).toMatch(/Uptime: +00:01:01/)
    expect((await cli.run('health', '--json')).json).toMatchObject({
      status: 'ok',
      uptime_seconds: 61,
    })
    expect((await cli.run('peers', '--json')).json).toEqual({ peers: [], total: 0 })
    const peer = {
      endpoint: '',
      encrypted: true,
      authenticated: true,
      rttMs: 1.5,
      bytesSent: 0,
      bytesReceived: 0,
      directReason: '',
    }
    near.fakePeers = [
      { ...peer, nodeId: 2, path: 'direct', transport: 'websocket' },
      { ...peer, nodeId: 3, path: 'direct', transport: 'udp', endpoint: '192.0.2.3:4000' },
      {
        ...peer,
        nodeId: 4,
        path: 'relay',
        transport: 'relay',
        directReason: 'WebRTC: ICE found no path',
      },
    ]
    const { stdout: peers } = await cli.run('peers')
    expect(peers).toMatch(/^2 .*direct \(websocket\)/m)
    expect(peers).toMatch(/^3 .*192\.0\.2\.3:4000 .*direct +1\.5ms/m)
    expect(peers).toContain('4 is relayed: WebRTC: ICE found no path')
    near.fakeConnections = 60
    const connections = await cli.run('connections')
    expect(connections.stdout).toContain('Active connections: 60')
    expect(connections.stdout).toContain('... and 10 more')
  })

  it('connect by id, address and name; the answer alone on standard output', async () => {
    const messages: string[] = []
    far.listen(1000).onconnection = (connection) =>
      serveStdio(connection, {
        deliver: async (message) => {
          messages.push(Buffer.from(message).toString())
        },
        setTimer: (work, ms) => {
          const timer = setTimeout(work, ms)
          return () => clearTimeout(timer)
        },
      })
    expect((await cli.run('connect', 'bob', '--message', 'hello, peer', '--json')).json).toEqual({
      target: '0:0000.0000.0002',
      port: 1000,
      sent: 'hello, peer',
      response: 'ACK TEXT 11 bytes\n',
    })
    const human = await cli.run('connect', '0:0000.0000.0002', '--message', 'again')
    expect(human).toMatchObject({ code: 0, stdout: 'ACK TEXT 5 bytes\n', stderr: '' })
    cli.stdin = 'line 1\nline 2\n'
    await cli.run('connect', '2', '1000')
    expect(messages).toEqual(['hello, peer', 'again', 'line 1\nline 2'])
    const named = await cli.run('connect', 'bob', '--message', 'x')
    expect(named.stderr).toBe('resolved "bob" → 0:0000.0000.0002\n')
  })

  it('refuses stdin at a terminal, says when nobody listens, and when a name is unknown', async () => {
    expect(await cli.run('connect', '2', '--json')).toMatchObject({
      code: 1,
      json: {
        code: 'invalid_argument',
        message: '--message is required (interactive mode not supported)',
      },
    })
    expect(await cli.run('connect', '2', '--message', 'x', '--json')).toMatchObject({
      code: 1,
      json: {
        code: 'connection_failed',
        message:
          'cannot connect to 0:0000.0000.0002 port 1000: connection refused (nothing listens there)',
        hint: 'over there: pilotctl recv 1000',
      },
    })
    expect(await cli.run('connect', 'nobody', '--message', 'x', '--json')).toMatchObject({
      code: 1,
      json: { code: 'not_found' },
    })
    expect(await cli.run('connect', '1:2', '--message', 'x', '--json')).toMatchObject({
      code: 1,
      json: { code: 'invalid_argument' },
    })
    expect(await cli.run('connect', '9', '--message', 'x', '--json')).toMatchObject({
      code: 1,
      json: { hint: 'establish trust first: pilotctl handshake 9 "reason"' },
    })
  })

  it('ping: times, and exit codes when all fail', async () => {
    far.listen(7).onconnection = serveEcho
    const { json, code } = await cli.run('ping', 'bob', '--count', '2', '--json')
    expect(code).toBe(0)
    expect(json).toMatchObject({
      target: '0:0000.0000.0002',
      results: [
        { seq: 0, bytes: 6 },
        { seq: 1, bytes: 6 },
      ],
      timeout: false,
    })
    const unanswered = await cli.run('ping', '9', '--count', '1', '--json')
    expect(unanswered).toMatchObject({ code: 1, stderr: '', json: { results: [{ seq: 0 }] } })
    expect((await cli.run('ping', '9', '--count', '1')).code).toBe(1)
    const trace = await cli.run('traceroute', 'bob', '--json')
    expect((trace.json.rtt_samples as unknown[]).length).toBe(3)
  })

  it('bench compares what comes back', async () => {
    far.listen(7).onconnection = serveEcho
    const { json, code } = await cli.run('bench', '2', '3', '--json')
    expect(code).toBe(0)
    expect(json).toMatchObject({ sent_bytes: 3 * 2 ** 20, recv_bytes: 3 * 2 ** 20 })
    expect(json.total_mib_per_s).toBe(json.total_mbps)
    far.listeners.get(7)!.onconnection = (connection) => {
      connection.onreadable = () => {
        for (let chunk = connection.read(); chunk !== undefined; chunk = connection.read())
          connection.write(chunk.map((byte) => byte ^ (chunk.length > 64 ? 1 : 0)))
      }
    }
    expect(await cli.run('bench', '2', '1', '--json')).toMatchObject({
      code: 1,
      json: { code: 'connection_failed' },
    })
  })

  it('recv takes what comes, and times out with exit 0 under --json', async () => {
    const received = cli.run('recv', '5000', '--count', '1', '--timeout', '5s', '--json')
    for (let i = 0; i < 50 && !near.listeners.has(5000); i++)
      await new Promise((resolve) => setTimeout(resolve, 20))
    const connection = await far.dial({ address: near.address, port: 5000 })
    connection.write(Buffer.from('hello'))
    expect((await received).json).toEqual({
      messages: [{ seq: 0, port: 5000, data: 'hello', bytes: 5 }],
      timeout: false,
    })
    expect(await cli.run('recv', '5000', '--timeout', '50ms', '--json')).toMatchObject({
      code: 0,
      json: { messages: [], timeout: true },
    })
    expect((await cli.run('recv', '5000', '--timeout', '50ms')).code).toBe(1)
  })

  it('listen shows datagrams of its port only; dgram needs data', async () => {
    const heard = cli.run('listen', '6000', '--count', '1', '--timeout', '5s', '--json')
    await new Promise((resolve) => setTimeout(resolve, 100))
    far.sendDatagram({ address: near.address, port: 5999 }, Buffer.from('no'))
    far.sendDatagram({ address: near.address, port: 6000 }, Buffer.from([0xff, 0x41]))
    expect((await heard).json).toEqual({
      messages: [
        {
          src_addr: '0:0000.0000.0002',
          src_port: 49152,
          data: '\ufffdA',
          data_b64: '/0E=',
          bytes: 2,
        },
      ],
      timeout: false,
    })
    expect(await cli.run('dgram', '2', '6000', '--json')).toMatchObject({ code: 1 })
  })

  it('trust: pending is checked before approve and reject', async () => {
    expect(await cli.run('approve', '2', '--json')).toMatchObject({
      code: 1,
      json: { code: 'not_found', message: 'node 2 has no pending trust request' },
    })
    near.pendingRequests.set(2, 'let me in')
    expect((await cli.run('pending')).stdout).toMatch(/2 +let me in/)
    expect((await cli.run('approve', 'bob', '--json')).json).toEqual({
      status: 'approved',
      node_id: 2,
    })
    expect((await cli.run('approve', '2')).code).toBe(0) // trusted already: still true
    expect((await cli.run('handshake', 'bob', 'why', '--json')).json).toMatchObject({
      status: 'already_trusted',
    })
    expect((await cli.run('trust', '--json')).json.trusted).toMatchObject([
      { node_id: 2, mutual: true },
    ])
    expect((await cli.run('untrust', '2', '--json')).json).toEqual({ node_id: 2 })
    expect(await cli.run('untrust', '2', '--json')).toMatchObject({
      code: 1,
      json: { code: 'not_found', message: 'node 2 is not trusted' },
    })
    expect((await cli.run('handshake', '2', 'two', 'words', '--json')).json).toMatchObject({
      status: 'sent',
      node_id: 2,
    })
  })

  it('names and tags', async () => {
    expect((await cli.run('set-hostname', 'carol', '--json')).json).toEqual({
      hostname: 'carol',
      node_id: 1,
    })
    expect(JSON.parse(readFileSync(join(cli.home, '.pilot/config.json'), 'utf8')).hostname).toBe(
      'carol',
    )
    expect((await cli.run('clear-hostname', '--json')).json).toEqual({ hostname: '' })
    expect((await cli.run('set-tags', '#a', 'b')).stdout).toBe('tags set: #a #b\n')
    expect((await cli.run('set-tags', 'a', 'b', 'c', 'd')).code).toBe(1)
    expect((await cli.run('clear-tags', '--json')).json).toEqual({ tags: [] })
    expect((await cli.run('find', 'bob', '--json')).json).toEqual({
      hostname: 'bob',
      node_id: 2,
      address: '0:0000.0000.0002',
      public: false,
    })
    expect(await cli.run('find', 'nobody', '--json')).toMatchObject({
      code: 1,
      json: { code: 'not_found' },
    })
    expect((await cli.run('set-public', '--json')).json).toMatchObject({ visibility: 'public' })
  })

  it('disconnect needs a connection that is there', async () => {
    near.fakeConnections = 3
    expect((await cli.run('disconnect', '2', '--json')).json).toEqual({ conn_id: 2 })
    expect(await cli.run('disconnect', '77', '--json')).toMatchObject({
      code: 1,
      json: { code: 'not_found' },
    })
  })

  it('daemon start refuses a second daemon', async () => {
    expect(await cli.run('daemon', 'start', '--json')).toMatchObject({
      code: 1,
      json: { code: 'already_exists', hint: 'stop it first with: pilotctl daemon stop' },
    })
  })
})
