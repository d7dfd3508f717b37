import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type DaemonConfig, parseDaemonArguments } from '../../../../runtimes/node/daemon/config.ts'
import { createLog } from '../../../../runtimes/node/daemon/log.ts'
import { LogFile } from '../../../../runtimes/node/daemon/log-file.ts'

let home: string
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'pilot-daemon-'))
})
afterEach(() => rmSync(home, { recursive: true }))

function config(...argv: string[]): DaemonConfig {
  const parsed = parseDaemonArguments(argv, home)
  if ('exitCode' in parsed) throw new Error(parsed.text)
  return parsed.config
}

function refused(...argv: string[]): string {
  const parsed = parseDaemonArguments(argv, home)
  if (!('exitCode' in parsed)) throw new Error('accepted')
  expect(parsed.exitCode).toBe(2)
  expect(parsed.text).not.toContain('\n')
  return parsed.text
}

describe('flags of the daemon', () => {
  it('has the documented defaults', () => {
    expect(config()).toMatchObject({
      registry: '127.0.0.1:9000',
      beacon: '127.0.0.1:9001',
      listen: ':0',
      socket: '/tmp/pilot.sock',
      encrypt: true,
      isPublic: false,
      identity: join(home, '.pilot', 'identity.json'),
      keepaliveMs: 30_000,
      services: { echo: true, dataExchange: true, eventStream: true, stdio: true },
      logLevel: 'info',
      logFile: undefined,
    })
  })

  it('takes the times of streams, and keeps idle ones unless told', () => {
    expect(config()).toMatchObject({
      timeWaitMs: 10_000,
      idleTimeoutMs: undefined,
      streamKeepaliveMs: undefined,
    })
    expect(
      config('-idle-timeout', '2m', '-time-wait=500ms', '-keepalive', '20', '-webhook-secret', 's'),
    ).toMatchObject({
      idleTimeoutMs: 120_000,
      timeWaitMs: 500,
      keepaliveMs: 20_000,
      streamKeepaliveMs: 20_000,
      webhookSecret: 's',
    })
    expect(refused('-idle-timeout', '0')).toContain('-idle-timeout is above 0')
    expect(refused('-time-wait', 'soon')).toContain('time-wait')
  })

  it.each([
    [['-registry', 'h:1', '-public', '-encrypt=false']],
    [['--registry=h:1', '--public', '--encrypt=false']],
    [['--registry', 'h:1', '-public=true', '-encrypt', 'false']],
  ])('takes one dash or two: %j', (argv) => {
    expect(config(...argv)).toMatchObject({
      registry: 'h:1',
      beacon: 'h:9001',
      isPublic: true,
      encrypt: false,
    })
  })

  it('takes the relay of a rendezvous instead of UDP', () => {
    expect(config()).toMatchObject({ transport: 'udp', rendezvousUrl: undefined })
    expect(config('-transport=compat', '-rendezvous-url', 'wss://h')).toMatchObject({
      transport: 'compat',
      rendezvousUrl: 'wss://h',
    })
  })

  it('chooses what makes WebRTC paths, and takes STUN and TURN for them', () => {
    expect(config().webRtc).toEqual({ backend: 'auto' })
    expect(config('-ice-servers=none').webRtc).toEqual({ backend: 'auto', iceServers: [] })
    expect(config('-webrtc=werift', '-ice-servers=stun:h:3478,turn:u:p@h:1').webRtc).toEqual({
      backend: 'werift',
      iceServers: [{ urls: 'stun:h:3478' }, { urls: 'turn:h:1', username: 'u', credential: 'p' }],
    })
    expect(config('-webrtc', 'false').webRtc.backend).toBe('off')
    expect(config('-webrtc=1').webRtc.backend).toBe('auto')
  })

  it('takes WebSockets of peers where it is told to', () => {
    expect(config().webSocket).toEqual({ urls: [] })
    const [cert, key] = [join(home, 'c.pem'), join(home, 'k.pem')]
    writeFileSync(cert, 'CERT')
    writeFileSync(key, 'KEY')
    const tls = ['-ws-tls-cert', cert, '-ws-tls-key', key]
    const urls = '-ws-url=wss://a.example, wss://b.example/x'
    expect(
      config('-ws-listen', ':8443', ...tls, urls, '-ws-origins=https://app').webSocket,
    ).toEqual({
      listen: ':8443',
      tls: { cert: 'CERT', key: 'KEY' },
      urls: ['wss://a.example', 'wss://b.example/x'],
      origins: ['https://app'],
    })
  })

  it('keeps using an identity of the older name, and makes none without a path', () => {
    mkdirSync(join(home, '.pilot'))
    writeFileSync(join(home, '.pilot', 'identity.key'), '{}')
    expect(config().identity).toBe(join(home, '.pilot', 'identity.key'))
    expect(config('-identity', '').identity).toBeUndefined()
    expect(config('-beacon', '').beacon).toBe(false)
  })

  it('reads a JSON file behind the flags given', () => {
    const path = join(home, 'c.json')
    writeFileSync(
      path,
      '{"registry":"f:1","log_level":"debug","public":true,"no-echo":true,"max-conns-total":7,"extra":1}',
    )
    const parsed = parseDaemonArguments(['-config', path, '-registry', 'g:1'], home)
    if ('exitCode' in parsed) throw new Error(parsed.text)
    expect(parsed.config).toMatchObject({
      registry: 'g:1',
      logLevel: 'debug',
      isPublic: true,
      maxConnections: 7,
    })
    expect(parsed.config.services.echo).toBe(false)
    expect(parsed.warnings).toEqual([expect.stringContaining('extra')])
    writeFileSync(path, '[1]')
    expect(refused('-config', path)).toContain('not a JSON object')
    expect(refused('-config', join(home, 'absent'))).toContain('ENOENT')
  })

  it.each([
    [['-nope'], 'unknown flag -nope'],
    [['--nope=1'], 'unknown flag --nope'],
    [['stray'], 'unexpected stray'],
    [['-registry'], 'registry'],
    [['-registry', 'nope'], '-registry: the address is host:port, got "nope"'],
    [['-beacon', 'a:b:1'], '-beacon: the address is host:port, got "a:b:1"'],
    [['-listen', 'nope'], '-listen: expected an address to listen on'],
    [['-endpoint', 'host:1'], '-endpoint: need ip:port, got host:1'],
    [['-log-level', 'loud'], '-log-level is one of debug, info, warn, error, got "loud"'],
    [['-keepalive', 'soon'], 'invalid duration'],
    [['-max-conns-total', '0'], 'whole number above 0'],
    [['-congestion', 'vegas'], 'one of auto, cubic, bbr'],
    [['-plaintext-peers', '1,x'], '"x" is no node id'],
    [['-registry-tls'], 'needs -registry-fingerprint'],
    [['-ice-servers', 'http://h'], '-ice-servers takes stun:host:port'],
    [['-ice-servers', 'turn:h:1'], 'turn:user:password@host:port'],
    [['-ws-listen', 'nope'], '-ws-listen: expected an address to listen on'],
    [['-ws-url', 'wss://h'], 'need an address to listen on'],
    [['-ws-listen', ':1', '-ws-url', 'http://h'], 'wss://host, ws://host:port or below'],
    [['-ws-listen', ':1', '-ws-origins', 'h'], 'an origin is scheme://host'],
    [['-ws-listen', ':1', '-ws-tls-cert', 'x'], '-ws-tls-cert and -ws-tls-key go together'],
    [['-ws-listen', ':1', '-ws-tls-cert', '/no', '-ws-tls-key', '/no'], '-ws-tls-cert /no: ENOENT'],
    [['-webrtc', 'chrome'], '-webrtc is one of auto, native, werift, off, got "chrome"'],
    [['-transport', 'tcp'], '-transport is one of udp, compat, auto, got "tcp"'],
    [['-transport', 'compat'], '-transport compat needs -rendezvous-url'],
    [['-transport', 'auto', '-rendezvous-url', 'ftp://h'], 'not one of ws, wss, http, https'],
  ])('refuses %j in one line', (argv, text) => {
    expect(refused(...argv)).toContain(text)
  })

  it('prints help and version with exit 0', () => {
    for (const flag of ['-h', '--help', '-help'])
      expect(parseDaemonArguments([flag], home)).toMatchObject({
        exitCode: 0,
        text: expect.stringContaining('Port 1000'),
      })
    expect(parseDaemonArguments(['-version'], home)).toMatchObject({
      exitCode: 0,
      text: expect.stringMatching(/^pilot-daemon \d/),
    })
  })

  it('normalises a fingerprint', () => {
    const hex = 'AB'.repeat(32)
    expect(
      config('-registry-tls', '-registry-fingerprint', hex.replace(/(..)(?=.)/g, '$1:'))
        .registryFingerprint,
    ).toBe('ab'.repeat(32))
  })
})

describe('log', () => {
  it('writes key=value pairs or JSON, from the level on', () => {
    const lines: string[] = []
    const text = createLog((line) => lines.push(line), 'info', 'text')
    text.debug('not this')
    text.info('a message', { n: 1, plain: 'x', odd: 'a "b"\nc' })
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatch(
      /^time=\S+ level=INFO msg="a message" n=1 plain=x odd="a \\"b\\"\\nc"$/,
    )
    createLog((line) => lines.push(line), 'debug', 'json').debug('m')
    expect(JSON.parse(lines[1]!)).toMatchObject({ level: 'DEBUG', msg: 'm' })
  })

  it('rotates, keeping two files before the current one', () => {
    const path = join(home, 'pilot.log')
    using log = new LogFile(path, 100)
    for (let i = 0; i < 20; i++) log.write(`line ${i} ${'x'.repeat(40)}`)
    expect(readdirSync(home).sort()).toEqual(['pilot.log', 'pilot.log.1', 'pilot.log.2'])
    expect(readFileSync(path, 'utf8')).toContain('line 19 ')
    expect(readFileSync(`${path}.1`, 'utf8')).toContain('line 17 ')
  })

  it('names the file it cannot write', () => {
    expect(() => new LogFile(join(home, 'no', 'such'))).toThrow(
      /cannot write the log .*such: ENOENT/,
    )
  })
})
