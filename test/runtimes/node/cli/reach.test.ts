/** What pilotctl says of nodes that cannot be reached, and of itself as a target. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { IpcServer } from '../../../../runtimes/node/ipc/server.ts'
import { FakeNetwork, type FakeNode } from '../fake-node.ts'
import { CliHarness } from './harness.ts'

let cli: CliHarness
let near: FakeNode
let far: FakeNode
let server: IpcServer

const facts = {
  version: '0',
  owner: '',
  hasIdentity: true,
  beacon: '127.0.0.1:9001',
  transport: 'udp',
} as const

beforeEach(async () => {
  cli = new CliHarness()
  const network = new FakeNetwork()
  near = network.add(1, 'alice')
  far = network.add(2, 'bob')
  server = await IpcServer.listen({ node: near, facts, socketPath: cli.socket })
})
afterEach(async () => {
  await server.close()
  cli.dispose()
})

describe('this node as target', () => {
  it.each([
    ['ping', '1'],
    ['ping', 'alice'],
    ['traceroute', '1'],
    ['connect', 'alice', '--message', 'x'],
    ['send', '1', '7', '--data', 'x'],
    ['send-message', 'alice', '--data', 'x'],
    ['send-file', '1', import.meta.filename],
    ['dgram', '1', '5', '--data', 'x'],
    ['bench', '1'],
    ['subscribe', '1', 't'],
    ['publish', 'alice', 't', '--data', 'x'],
    ['handshake', 'alice'],
  ])('%s %s is refused by name', async (...argv) => {
    expect(await cli.run(...argv, '--json')).toMatchObject({
      code: 1,
      stdout: '',
      json: {
        code: 'invalid_argument',
        message: `${argv[1]} is this node itself (node 1)`,
        hint: `the daemon on ${cli.socket} answers; for one of your own: pilotctl daemon start`,
      },
    })
  })
})

describe('a private node that is silent', () => {
  beforeEach(() => {
    for (const port of [7, 1000]) {
      far.listen(port)
      near.dialDelays.set(port, 600_000)
    }
  })

  it('is given up soon when trust was asked for, and the answer is awaited', async () => {
    near.outgoingRequests.add(2)
    const { code, json } = await cli.run('connect', 'bob', '--message', 'x', '--json')
    expect(code).toBe(1)
    expect(json).toMatchObject({
      code: 'connection_failed',
      message:
        'cannot connect to 0:0000.0000.0002 port 1000: the request for trust is sent, and waits for approval by node 2',
      hint: 'over there: pilotctl approve 1',
    })
    expect(await cli.run('approve', 'bob', '--json')).toMatchObject({
      code: 1,
      json: {
        code: 'not_found',
        message: 'node 2 has not asked: this node asked it',
        hint: 'it decides over there: pilotctl approve 1',
      },
    })
  })

  it('is given up soon when nobody asked for trust, with what to do', async () => {
    const { json, code } = await cli.run('ping', 'bob', '--json')
    expect(code).toBe(1)
    const why = 'node 2 is private and does not trust this node'
    expect(json.results).toEqual([0, 1, 2, 3].map((seq) => ({ seq, error: why })))
    const human = await cli.run('ping', 'bob')
    expect(human).toMatchObject({
      code: 1,
      stdout: `PING 0:0000.0000.0002\nseq=0 error: ${why}\n4 sent, 0 received\n`,
    })
    expect(human.stderr).toContain(
      'hint:  establish trust first: pilotctl handshake bob "reason"\n',
    )
  })

  it('is waited for as long as the user wants when it is public or trusted', async () => {
    far.isPublic = true
    expect(
      await cli.run('connect', 'bob', '--message', 'x', '--timeout', '100ms', '--json'),
    ).toMatchObject({
      code: 1,
      json: {
        code: 'timeout',
        message: 'cannot connect to 0:0000.0000.0002 port 1000: no answer in time',
      },
    })
  })
})

describe('what people read', () => {
  it('trust says who asked; what --json prints stays the file’s', async () => {
    near.trusted.set(2, { approvedAt: 1 })
    expect((await cli.run('trust')).stdout).toBe(
      'NODE ID  TRUST                NETWORK  SINCE\n2        we asked, it agreed  -        1970-01-01T00:00:01Z\n',
    )
    expect((await cli.run('trust', '--json')).json.trusted).toEqual([
      { node_id: 2, public_key: '', approved_at: 1, mutual: true, network: 0 },
    ])
  })

  it('handshake says who has to do what', async () => {
    expect((await cli.run('handshake', 'bob', 'why')).stdout).toBe(
      'handshake request sent to node 2\n  over there: pilotctl approve 1     (or a handshake back)\n  to wait for it here: pilotctl handshake bob --wait 60s\n',
    )
  })

  it('info tells of a silent beacon', async () => {
    near.beacon = 'silent'
    expect((await cli.run('info')).stdout).toContain(
      'Beacon:      127.0.0.1:9001 (does NOT answer: no relay, no hole punching)\n',
    )
    expect((await cli.run('info', '--json')).json).toMatchObject({
      beacon_reachable: false,
      beacon_status: 'silent',
      drops: {},
    })
    expect((await cli.run('health')).stdout).toMatch(/Beacon: +does NOT answer/)
    near.beacon = 'answering'
    expect((await cli.run('info', '--json')).json.beacon_reachable).toBe(true)
    expect((await cli.run('info')).stdout).toMatch(/Beacon: +127\.0\.0\.1:9001\n/)
  })

  it('refusals name the reason and no layers', async () => {
    expect(await cli.run('set-hostname', 'BAD', '--json')).toMatchObject({
      code: 1,
      json: { message: 'set-hostname: request failed' },
    })
    expect(await cli.run('recv', '5000', '--timeout', '10ms', '--json')).toMatchObject({ code: 0 })
    near.listen(7)
    expect(await cli.run('recv', '7', '--json')).toMatchObject({
      code: 1,
      json: {
        code: 'already_exists',
        message: 'recv: port 7 already bound',
        hint: "the daemon's own service answers there; choose another port, or start the daemon with --no-echo",
      },
    })
  })

  it('empty standard input is nothing to send', async () => {
    cli.stdin = ''
    expect(await cli.run('connect', 'bob', '--json')).toMatchObject({
      code: 1,
      json: { code: 'invalid_argument', message: 'nothing to send: standard input is empty' },
    })
  })
})
