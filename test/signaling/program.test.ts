/** `pilot-rendezvous` as a process: flags, errors, signals, and nothing lost by a kill. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { normaliseArguments } from '../../signaling/bin/arguments.ts'
import { identity } from './registry-bench.ts'
import { RegistrySocket } from './registry-socket.ts'

const PROGRAM = fileURLToPath(new URL('../../signaling/bin/pilot-rendezvous.ts', import.meta.url))

let home: string
const running = new Set<ChildProcess>()
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'pilot-program-'))
})
afterEach(async () => {
  for (const child of running) {
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }
  rmSync(home, { recursive: true, force: true })
})

interface Started {
  readonly child: ChildProcess
  readonly registryPort: number
  readonly log: string
}

function launch(args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    env: { ...process.env, HOME: home },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

/** Runs to its end. */
async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const child = launch(args)
  let [out, err] = ['', '']
  child.stdout!.on('data', (chunk) => (out += chunk))
  child.stderr!.on('data', (chunk) => (err += chunk))
  const [code] = (await once(child, 'close')) as [number]
  return { code, out, err }
}

/** Runs until it has said where its state is. */
async function start(...args: string[]): Promise<Started> {
  const child = launch(['-registry-addr', '127.0.0.1:0', '-beacon-addr', '127.0.0.1:0', ...args])
  let log = ''
  await new Promise<void>((resolve, reject) => {
    child.stderr!.on('data', (chunk) => {
      log += chunk
      if (/state is (kept|NOT kept).*\n/.test(log)) resolve()
    })
    child.once('exit', () => reject(new Error(log)))
  })
  const port = /registry listening.*?(?:tcp=|"tcp":")[^ "]*:(\d+)/.exec(log)?.[1]
  return { child, registryPort: Number(port), log }
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  const exited = once(child, 'exit')
  child.kill(signal)
  return ((await exited) as [number | null])[0]
}

describe('a kill -9 right after an answer', () => {
  it('loses nothing that was answered', async () => {
    const store = join(home, 'store.sqlite')
    const names = new Map<string, number>()
    const [alice, bob] = [identity('alice'), identity('bob')]
    for (let round = 0; round < 3; round++) {
      const { child, registryPort } = await start('-store', store)
      const socket = await RegistrySocket.open(registryPort)
      if (round === 0) {
        await socket.register(alice)
        await socket.register(bob)
        await socket.signed(alice, 'set_visibility', 1, { public: true })
        await socket.signed(alice, 'set_hostname', 1, { hostname: 'alice' })
        await socket.signed(bob, 'set_tags', 2, { tags: ['gpu'] })
        await socket.signed(bob, 'set_task_exec', 2, { enabled: true })
        await socket.request({ type: 'update_polo_score', node_id: 2, delta: 5 })
        await socket.request({
          type: 'report_trust',
          node_id: 1,
          peer_id: 2,
          signature: alice.signBase64('report_trust:1:2'),
        })
        await socket.request({
          type: 'request_handshake',
          from_node_id: 1,
          to_node_id: 2,
          justification: 'hello',
          signature: alice.signBase64('handshake:1:2'),
        })
      } else {
        expect(await socket.request({ type: 'lookup', node_id: 1 })).toMatchObject({
          public: true,
          hostname: 'alice',
          real_addr: '127.0.0.1:4000',
        })
        expect(await socket.request({ type: 'lookup', node_id: 2 })).toMatchObject({
          tags: ['gpu'],
          task_exec: true,
          polo_score: 5,
        })
        expect(
          await socket.request({
            type: 'resolve',
            node_id: 1,
            requester_id: 2,
            signature: bob.signBase64('resolve:2:1'),
          }),
        ).toMatchObject({ type: 'resolve_ok' })
        // Delivered in the first round, and acknowledged by what follows there.
        expect((await socket.signed(bob, 'poll_handshakes', 2))!.requests).toMatchObject(
          round === 1 ? [{ from_node_id: 1, justification: 'hello' }] : [],
        )
        for (const [name, id] of names)
          expect((await socket.request({ type: 'lookup', node_id: id }))!.public_key, name).toBe(
            Buffer.from(identity(name).publicKey).toString('base64'),
          )
      }
      // Many registrations on the wire at once; the process dies on the first answer after some.
      const fresh = Array.from({ length: 8 }, (_, i) => `r${round}-${i}`)
      const answers = fresh.map((name) => socket.register(identity(name)))
      answers[5]!.then(() => child.kill('SIGKILL'))
      for (const [i, answer] of (await Promise.all(answers)).entries())
        if (typeof answer?.node_id === 'number') {
          expect([...names.values()]).not.toContain(answer.node_id)
          names.set(fresh[i]!, answer.node_id)
        }
      await socket.closed
      if (running.has(child)) await once(child, 'exit')
    }
    expect(names.size).toBeGreaterThan(12)
  }, 60_000)

  it('loses nothing when it comes at any moment of many writers', async () => {
    const store = join(home, 'store.sqlite')
    const a = identity('a')
    let { child, registryPort } = await start('-store', store)
    let socket = await RegistrySocket.open(registryPort)
    await socket.register(a)
    for (let round = 0; round < 4; round++) {
      let answered = -1
      let timer: NodeJS.Timeout | undefined
      for (let i = 0; ; i++) {
        const reply = await socket.signed(a, 'set_hostname', 1, { hostname: `h${round}-${i}` })
        if (reply === undefined) break
        // Counted from the second answer, however slow the machine is.
        if (i === 1) timer ??= setTimeout(() => child.kill('SIGKILL'), 20 + 37 * round)
        if (reply.type === 'set_hostname_ok') answered = i
        else i-- // beyond the node's rate
      }
      clearTimeout(timer)
      if (running.has(child)) await once(child, 'exit')
      ;({ child, registryPort } = await start('-store', store))
      socket = await RegistrySocket.open(registryPort)
      const lookup = await socket.request({ type: 'lookup', node_id: 1 })
      const kept = Number(/^h\d+-(\d+)$/.exec(String(lookup!.hostname))?.[1] ?? -1)
      expect(answered).toBeGreaterThan(0)
      // The last change may be on disk without its answer having left, never the reverse.
      expect([answered, answered + 1]).toContain(kept)
    }
  }, 60_000)
})

describe('flags', () => {
  it('take one or two dashes, and values either way', async () => {
    const { child, log, registryPort } = await start('--store=', '-http=127.0.0.1:0', '-tls=false')
    expect(log).toMatch(/status page url=http:\/\/127\.0\.0\.1:\d+/)
    expect(log).toContain('state is NOT kept')
    const socket = await RegistrySocket.open(registryPort)
    expect((await socket.register(identity('a')))!.node_id).toBe(1)
    expect(await stop(child, 'SIGTERM')).toBe(0)
  })

  it('keep the state in the home folder by default, as JSON lines if asked, until SIGINT', async () => {
    const { child, log } = await start('-log-format', 'json')
    const lines = log
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines.find((line) => line.msg === 'state is kept').file).toBe(
      join(home, '.pilot', 'rendezvous.sqlite'),
    )
    expect(await stop(child, 'SIGINT')).toBe(0)
  })

  it('come from the configuration where the command line is silent', async () => {
    const config = join(home, 'config.json')
    writeFileSync(
      config,
      JSON.stringify({ store: ':memory:', log_format: 'json', 'beacon-addr': 'nonsense', x: 1 }),
    )
    const { child, log } = await start('-config', config)
    expect(log).toContain('state is NOT kept')
    expect(log).toContain(
      '"level":"warn","msg":"the configuration names an unknown flag","flag":"x"',
    )
    await stop(child, 'SIGTERM')
  })

  it.each<[string[], number, RegExp]>([
    [['-bogus'], 2, /unknown option '--bogus'/],
    [['extra'], 2, /too many arguments/],
    [['-registry-addr'], 2, /argument missing/],
    [['-registry-addr', 'x'], 2, /-registry-addr: expected a listen address/],
    [['-log-level', 'loud'], 2, /'loud' is invalid/],
    [['-tls=maybe'], 2, /--tls/],
    [['-config', '/nonexistent.json'], 2, /configuration \/nonexistent\.json: /],
    [['-standby', 'x:1'], 2, /-standby needs the -repl-token/],
    [['-standby', 'x', '-repl-token', 't'], 2, /-standby: expected the primary's host:port/],
    [['-tls', '-tls-key', 'x'], 2, /belong together/],
    [['-tls', '-tls-cert', PROGRAM, '-tls-key', PROGRAM], 2, /expected PEM files/],
    [['-tls-cert', 'x'], 2, /need -tls/],
    [['-tls', '-tls-cert', '/no.pem', '-tls-key', '/no.pem'], 2, /-tls-cert: .*no\.pem/],
    [['-registry-addr', '192.0.2.1:0', '-store', ''], 1, /does not have that address/],
    [['-store', '/dev/null/x'], 1, /store \/dev\/null\/x/],
    [['-store', '/proc/nowhere/x/y'], 1, /store \/proc\/nowhere\/x\/y/],
    [['-registrations-per-minute', '0'], 2, /integer from 1/],
  ])('%j end with code %i and one line', async (args, code, text) => {
    const result = await run(...args)
    expect(result.code).toBe(code)
    expect(result.err).toMatch(text)
    expect(result.err).toMatch(/^pilot-rendezvous: [^\n]+\n$/)
    expect(result.out).toBe('')
  })

  it('-tls alone makes a certificate and says its fingerprint', async () => {
    const { child, log, registryPort } = await start('-tls', '-store', '')
    const socket = connectTls({ port: registryPort, host: '127.0.0.1', rejectUnauthorized: false })
    await once(socket, 'secureConnect')
    const { raw } = socket.getPeerCertificate()
    const certificate = new X509Certificate(raw)
    socket.destroy()
    expect(log).toContain(`fingerprint=${createHash('sha256').update(raw).digest('hex')}`)
    expect(log).toContain('changes at every start')
    expect(certificate.verify(certificate.publicKey)).toBe(true)
    expect(certificate.ca).toBe(false)
    expect(certificate.subject).toBe('O=Pilot Protocol')
    expect(certificate.subjectAltName).toBe(
      'DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1',
    )
    expect(certificate.checkIP('127.0.0.1')).toBe('127.0.0.1')
    expect(certificate.validToDate.getTime() - certificate.validFromDate.getTime()).toBe(
      365 * 86_400_000,
    )
    expect(await stop(child, 'SIGTERM')).toBe(0)
  })

  it('--help and --version end well', async () => {
    const help = await run('-help')
    expect(help.code).toBe(0)
    for (const flag of ['registry-addr', 'beacon-addr', 'http', 'store', 'tls-cert', 'config'])
      expect(help.out).toContain(`--${flag} `)
    const version = await run('--version')
    expect([version.code, version.out]).toEqual([0, expect.stringMatching(/^\d+\.\d+\.\d+\n$/)])
  })
})

describe('what is in the way', () => {
  it('a taken port is named with the flag that changes it', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as { port: number }
    const result = await run('-store', '', '-registry-addr', `127.0.0.1:${port}`)
    taken.close()
    expect(result).toMatchObject({ code: 1, out: '' })
    expect(result.err).toBe(
      `pilot-rendezvous: registry cannot listen on 127.0.0.1:${port}: another program does; stop it or choose another port with -registry-addr\n`,
    )
  })

  it('a damaged store is named and not touched', async () => {
    const store = join(home, 'store.sqlite')
    writeFileSync(store, 'not a database')
    const result = await run('-store', store)
    expect(result.code).toBe(1)
    expect(result.err).toContain(`store ${store} is not usable`)
  })

  it('a store in use is named', async () => {
    mkdirSync(join(home, 'd'))
    const store = join(home, 'd', 'store.sqlite')
    await start('-store', store)
    const args = ['-registry-addr', '127.0.0.1:0', '-beacon-addr', '127.0.0.1:0']
    const result = await run(...args, '-store', store)
    expect(result.code).toBe(1)
    expect(result.err).toContain('another process has it open')
  })
})

it('leaves alone what is no flag when normalising', () => {
  const valued = new Set(['store'])
  const booleans = new Set(['tls'])
  const normalise = (...args: string[]): string[] => normaliseArguments(args, valued, booleans)
  expect(normalise('-store', '-tls', '-tls')).toEqual(['--store', '-tls', '--tls'])
  expect(normalise('-store=a=b', '-tls=T', '-tls=0')).toEqual(['--store=a=b', '--tls'])
  expect(normalise('-h', 'x', '--', '-tls')).toEqual(['-h', 'x', '--', '-tls'])
})
