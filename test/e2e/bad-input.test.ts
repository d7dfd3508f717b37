/**
 * What a new user gets wrong, on all three programs: each time one line that says what is wrong and what to
 * do, the exit code of spec/08, under --json code and hint on standard error; files are never overwritten.
 */
import { createSocket, type Socket } from 'node:dgram'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { DAEMON, PILOTCTL, type Ran, RENDEZVOUS, Rendezvous, User } from './programs.ts'

let rendezvous: Rendezvous
let user: User
beforeAll(async () => {
  rendezvous = await Rendezvous.start({ http: true })
})
afterAll(() => rendezvous.stop())
beforeEach(() => {
  user = new User(rendezvous)
})
afterEach(() => user.dispose())

const daemon = (...argv: string[]): Promise<Ran> => user.run(process.execPath, [DAEMON, ...argv])
const server = (...argv: string[]): Promise<Ran> =>
  user.run(process.execPath, [RENDEZVOUS, ...argv])
/** Places nobody else has. */
const FREE = ['-registry-addr', '127.0.0.1:0', '-beacon-addr', '127.0.0.1:0']

/** A failure of pilotctl: exit 1, nothing on standard output, code, message and hint. */
function expectFailure(ran: Ran, code: string, message: string | RegExp, hint: string): void {
  expect(ran).toMatchObject({ code: 1, stdout: '' })
  expect(ran.json.code).toBe(code)
  expect(ran.json.message).toMatch(message)
  expect(ran.json.hint).toContain(hint)
  expect(`${ran.json.message}${ran.json.hint}`).not.toContain('\n')
}

/** A program that does not start: one line on standard error. */
function expectRefusal(ran: Ran, code: number, text: string): void {
  expect(ran.stderr.trim().split('\n')).toHaveLength(1)
  expect(ran.stderr).toContain(text)
  expect(ran.stdout).toBe('')
  expect(ran.code).toBe(code)
}

describe('a wrong flag', () => {
  it('pilot-rendezvous and pilot-daemon name it and exit 2', async () => {
    expectRefusal(await server('-portt', '1'), 2, "unknown option '--portt'")
    expectRefusal(await server('-registry-addr', 'nowhere'), 2, '-registry-addr: expected a listen')
    expectRefusal(await daemon('-hostnam', 'x'), 2, 'unknown flag -hostnam')
    expectRefusal(await daemon('-registry', 'nowhere'), 2, '-registry: the address is host:port')
    expectRefusal(await daemon('-listen', '5'), 2, '-listen: expected an address to listen on')
    expectRefusal(await daemon('-keepalive', 'soon'), 2, 'invalid duration for --keepalive: "soon"')
  })

  it('pilotctl ignores it as the reference does, and says so; a wrong value is refused', async () => {
    const ran = await user.ctl('daemon', 'status', '--chekc')
    expect(ran).toMatchObject({ code: 0 })
    expect(ran.stderr).toBe('warning: unknown flag --chekc ignored (did you mean --check?)\n')
    expectFailure(
      await user.ctl('daemon', 'start', '--registry', 'nowhere', '--json'),
      'invalid_argument',
      /^-registry: the address is host:port, got "nowhere"$/,
      'pilotctl daemon start --help',
    )
    expect(user.read('.pilot/pilot.log')).toBeUndefined() // nothing was started
    expect(await user.ctl('nonsense')).toMatchObject({ code: 2, stdout: '' })
    expect(await user.ctl('nonsense', '--json')).toMatchObject({
      code: 1,
      json: { code: 'invalid_argument' },
    })
  })
})

describe('a place that is taken', () => {
  it('ports of the rendezvous', async () => {
    const { registry, beacon, url } = rendezvous
    const http = url.replace('http://', '')
    for (const [argv, what, flag] of [
      [['-registry-addr', registry, '-beacon-addr', '127.0.0.1:0'], 'registry', '-registry-addr'],
      [['-registry-addr', '127.0.0.1:0', '-beacon-addr', beacon], 'beacon', '-beacon-addr'],
      [[...FREE, '-http', http], 'http', '-http'],
    ] as const)
      expectRefusal(
        await server(...argv, '-store', ':memory:'),
        1,
        `${what} cannot listen on ${argv.find((word) => [registry, beacon, http].includes(word))}: another program does; stop it or choose another port with ${flag}`,
      )
  })

  it('the store of a rendezvous that runs', async () => {
    const store = join(user.home, 'store.sqlite')
    const first = await Rendezvous.start({ store })
    try {
      expectRefusal(await server(...FREE, '-store', store), 1, 'another process has it open')
    } finally {
      await first.stop()
    }
  })

  it('the UDP port and the socket of another daemon', async () => {
    const other = new User(rendezvous)
    try {
      await other.ctl('daemon', 'start')
      const { endpoint } = (await other.ctl('info', '--json')).json
      const port = `${endpoint}`.split(':').at(-1)
      expectFailure(
        await user.ctl('daemon', 'start', '--listen', `:${port}`, '--json'),
        'internal',
        `the daemon did not start: UDP 0.0.0.0:${port} is in use by another program; choose another UDP port with --listen`,
        'full log: ',
      )
      expectFailure(
        await user.ctl('daemon', 'start', '--socket', other.socket, '--json'),
        'already_exists',
        `daemon is already running (socket ${other.socket} is active)`,
        'pilotctl daemon stop',
      )
      const ran = await daemon('-socket', other.socket, '-registry', rendezvous.registry)
      expect(ran.code).toBe(1)
      expect(ran.stderr).toContain(`a daemon already answers on ${other.socket}; stop it with`)
      expect((await other.ctl('info', '--json')).code).toBe(0)
    } finally {
      await other.dispose()
    }
  })

  it('a path that is no socket stays what it is', async () => {
    const path = join(user.home, 'precious')
    writeFileSync(path, 'data')
    const { json } = await user.ctl('daemon', 'start', '--socket', path, '--json')
    expect(json.message).toContain(
      `${path} exists and is not a socket; choose another path with --socket`,
    )
    expect(readFileSync(path, 'utf8')).toBe('data')
  })
})

describe('a home that cannot be written', () => {
  // Root may write anywhere else; /proc refuses with ENOENT, on which a recursive mkdir never ends.
  const homes = [['under a file'], ...(process.platform === 'linux' ? [['/proc']] : [])]

  it.each(homes)('%s', async (kind) => {
    const file = join(user.home, 'file')
    writeFileSync(file, '')
    user.env.HOME = kind === '/proc' ? '/proc/nowhere' : join(file, 'home')
    const hint = 'set HOME to another directory'
    for (const argv of [['daemon', 'start'], ['init'], ['config', '--set', 'a=b']])
      expectFailure(await user.ctl(...argv, '--json'), 'internal', user.env.HOME, hint)
    const ran = await daemon('-registry', rendezvous.registry, '-socket', user.socket)
    expect(ran.code).toBe(1)
    expect(ran.stderr).toContain(`${user.env.HOME}/.pilot/identity.json`)
    expect(ran.stderr).toContain('choose another place with --identity')
    const refused = await server(...FREE)
    expectRefusal(refused, 1, `${user.env.HOME}/.pilot`)
    expect(refused.stderr).toContain('name another file with -store, or none with -store :memory:')
    user.env.HOME = user.home
  })

  it('a socket in a directory that is not there', async () => {
    const path = join(user.home, 'nowhere', 's')
    const started = performance.now()
    const ran = await daemon('-socket', path, '-registry', '127.0.0.1:1')
    expect(performance.now() - started).toBeLessThan(5000) // before the registry is waited for
    expect(ran.code).toBe(1)
    expect(ran.stderr).toContain(
      `cannot make the socket ${path}: there is no directory ${join(user.home, 'nowhere')}; choose another path with --socket`,
    )
  })
})

describe('a file that cannot be believed is named, and left as it is', () => {
  const write = (name: string, text: string): string => {
    mkdirSync(join(user.home, '.pilot'), { recursive: true })
    const path = join(user.home, '.pilot', name)
    writeFileSync(path, text)
    return path
  }

  it.each([
    ['identity.json', '{broken', 'not JSON; restore it from a backup, or move it away'],
    ['identity.json', '{"public_key":"AAAA"}', 'restore it from a backup'],
    ['identity.json', '', 'not JSON'],
    ['trust.json', '{broken', 'not JSON; restore it from a backup, or move it away'],
    ['trust.json', '{"trusted":[{"node_id":"x"}]}', '"node_id" is not an integer'],
    ['trust.json', '', 'not JSON'],
  ])('%s %j', async (name, text, why) => {
    const path = write(name, text)
    const { code, json } = await user.ctl('daemon', 'start', '--json')
    expect(code).toBe(1)
    expect(json.message).toContain(path)
    expect(json.message).toContain(why)
    expect(readFileSync(path, 'utf8')).toBe(text)
  })

  it.each([['{broken'], ['[]'], ['{"registry":5}']])('config.json %j', async (text) => {
    const path = write('config.json', text)
    for (const argv of [['daemon', 'start'], ['config'], ['init'], ['config', '--set', 'a=b']])
      expectFailure(
        await user.ctl(...argv, '--json'),
        'internal',
        path,
        'repair the file, or move it away',
      )
    expect(readFileSync(path, 'utf8')).toBe(text)
  })

  it('the store of the rendezvous', async () => {
    const path = write('store.sqlite', 'this is not a database, and it is long enough to be read')
    const ran = await server(...FREE, '-store', path)
    expectRefusal(ran, 1, `store ${path} is not usable`)
    expect(ran.stderr).toContain('it was left as it is: restore a backup or name another file')
    expect(readFileSync(path, 'utf8')).toContain('this is not a database')
  })
})

describe('a registry that is not one', () => {
  it('nobody there, somebody who does not answer, somebody who speaks HTTP', async () => {
    const mute = createServer(() => {})
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
    const { port } = mute.address() as { port: number }
    const places = ['127.0.0.1:1', `127.0.0.1:${port}`, rendezvous.url.replace('http://', '')]
    // Each waits as long as a rendezvous may need that starts beside it: together, to save time.
    const users = places.map(() => new User(rendezvous))
    const started = performance.now()
    const ran = await Promise.all(
      users.map((one, i) => one.ctl('daemon', 'start', '--registry', places[i]!, '--json')),
    )
    expect(performance.now() - started).toBeLessThan(20_000)
    for (const [i, { code, json }] of ran.entries()) {
      expect(code).toBe(1)
      expect(json.message).toContain(places[i])
    }
    expect(ran[0]!.json.message).toContain('nothing listens at 127.0.0.1:1')
    expect(ran[0]!.json.message).toContain('start one with: pilot-rendezvous')
    expect(ran[1]!.json.message).toContain('start one with: pilot-rendezvous')
    expect(ran[2]!.json.message).toContain('the registry sent no valid answer')
    for (const one of users) await one.dispose()
    mute.close()
  })

  it('pilotctl asks it without a daemon', async () => {
    user.env.PILOT_REGISTRY = '127.0.0.1:1'
    expectFailure(
      await user.ctl('lookup', '1', '--json'),
      'connection_failed',
      'cannot reach registry 127.0.0.1:1',
      'PILOT_REGISTRY',
    )
  })
})

describe('a name', () => {
  it('that another node has, or that is none: the daemon runs without, and says so', async () => {
    const first = new User(rendezvous)
    try {
      expect((await first.ctl('daemon', 'start', '--hostname', 'taken')).code).toBe(0)
      const { id } = { id: (await first.ctl('info', '--json')).json.node_id }
      const human = await user.ctl('daemon', 'start', '--hostname', 'taken')
      expect(human.code).toBe(0)
      expect(human.stderr).toContain(
        `warning: the hostname is not set: hostname "taken" already in use by node ${id}`,
      )
      expect(human.stdout).not.toContain('taken')
      expect((await user.ctl('info', '--json')).json).toMatchObject({
        hostname: '',
        hostname_error: `hostname "taken" already in use by node ${id}`,
      })
      expect((await user.ctl('info')).stdout).toMatch(/Hostname: +none: hostname "taken" already/)
      await user.ctl('daemon', 'stop')
      const odd = await user.ctl('daemon', 'start', '--hostname', 'Not A Name', '--json')
      expect(odd.json.hostname).toBe('')
      expect(user.read('.pilot/pilot.log')).toMatch(/level=WARN msg="the hostname is not set"/)
    } finally {
      await first.dispose()
    }
  })
})

describe('a beacon that never answers', () => {
  let beacon: Socket
  let isMute = true

  beforeEach(async () => {
    isMute = true
    const [address, port] = rendezvous.beacon.split(':')
    const upstream = createSocket('udp4')
    beacon = createSocket('udp4')
    await new Promise<void>((resolve) => beacon.bind(0, '127.0.0.1', () => resolve()))
    let from = { address: '', port: 0 }
    beacon.on('message', (datagram, sender) => {
      from = sender
      if (!isMute) upstream.send(datagram, Number(port), address)
    })
    upstream.on('message', (datagram) => beacon.send(datagram, from.port, from.address))
    beacon.once('close', () => upstream.close())
  })
  afterEach(() => {
    beacon.close()
  })

  it('is said in the log and by info, and so is its return', async () => {
    const { port } = beacon.address()
    expect(
      (await user.ctl('daemon', 'start', '--beacon', `127.0.0.1:${port}`, '--json')).code,
    ).toBe(0)
    expect((await user.ctl('info', '--json')).json.beacon_reachable).toBe(false)
    await until(
      () => user.read('.pilot/pilot.log')?.includes('the beacon does not answer') === true,
    )
    expect((await user.ctl('info', '--json')).json).toMatchObject({
      beacon_addr: `127.0.0.1:${port}`,
      beacon_reachable: false,
      beacon_status: 'silent',
    })
    expect((await user.ctl('info')).stdout).toContain('does NOT answer: no relay, no hole punching')
    isMute = false
    await until(() => user.read('.pilot/pilot.log')?.includes('the beacon answers again') === true)
    expect((await user.ctl('info', '--json')).json.beacon_reachable).toBe(true)
  })
})

describe('a peer that is not there', () => {
  beforeEach(async () => {
    expect((await user.ctl('daemon', 'start', '--hostname', 'me', '--json')).code).toBe(0)
  })

  it('a hostname nobody has', async () => {
    for (const argv of [['ping'], ['find'], ['handshake'], ['traceroute'], ['approve'], ['bench']])
      expectFailure(
        await user.ctl(...argv, 'nobody', '--json'),
        'not_found',
        'cannot find "nobody" — no node of this hostname is registered',
        'over there: pilotctl daemon start --hostname nobody',
      )
    expect((await user.ctl('send-file', 'nobody', PILOTCTL, '--json')).json).toMatchObject({
      code: 'invalid_argument', // as the reference
    })
  })

  it('an id nobody has', async () => {
    for (const argv of [
      ['handshake', '4000'],
      ['connect', '4000', '--message', 'x'],
    ])
      expectFailure(
        await user.ctl(...argv, '--json'),
        'not_found',
        'no node 4000 is registered',
        'pilotctl find',
      )
    expect((await user.ctl('lookup', '4000', '--json')).json.code).toBe('not_found')
  })

  it('this node itself, by id, address and name', async () => {
    const { node_id: id, address } = (await user.ctl('info', '--json')).json
    for (const target of [`${id}`, `${address}`, 'me'])
      for (const argv of [
        ['handshake', target],
        ['ping', target],
        ['connect', target, '--message', 'x'],
      ])
        expectFailure(
          await user.ctl(...argv, '--json'),
          'invalid_argument',
          `${target} is this node itself`,
          'name another node',
        )
  })

  it('files that cannot be sent', async () => {
    const send = (path: string): Promise<Ran> => user.ctl('send-file', '1', path, '--json')
    expect((await send('/nowhere/file')).json).toMatchObject({
      code: 'not_found',
      message: 'file not found: /nowhere/file',
    })
    expect((await send(user.home)).json).toMatchObject({
      code: 'invalid_argument',
      message: `${user.home} is not a regular file`,
    })
  })
})

it('junk on the daemon’s socket ends that client only', async () => {
  await user.ctl('daemon', 'start')
  const socket = connect(user.socket)
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.on('error', () => {})
  socket.write(Buffer.alloc(64, 0xff))
  await closed
  expect((await user.ctl('health', '--json')).json.status).toBe('ok')
})

async function until(isTrue: () => boolean, withinMs = 20_000): Promise<void> {
  const end = performance.now() + withinMs
  while (!isTrue() && performance.now() < end)
    await new Promise((resolve) => setTimeout(resolve, 100))
  expect(isTrue()).toBe(true)
}
