import { createHash } from 'node:crypto'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { encodeDataFrame, encodeFileFrame } from '../../../../core/service/data-exchange.ts'
import { EventDecoder, encodeEvent } from '../../../../core/service/event-stream.ts'
import { parseDaemonArguments } from '../../../../runtimes/node/daemon/config.ts'
import { createLog } from '../../../../runtimes/node/daemon/log.ts'
import { MailboxStore } from '../../../../runtimes/node/daemon/mailbox-store.ts'
import { startServices } from '../../../../runtimes/node/daemon/services.ts'
import { IpcServer, type LentPort } from '../../../../runtimes/node/ipc/server.ts'
import type { PilotConnection } from '../../../../runtimes/shared/api.ts'
import { AsyncStream } from '../../../../runtimes/shared/services/async-stream.ts'
import { generated } from '../../../support.ts'
import { CliHarness } from '../cli/harness.ts'
import { FakeNetwork, type FakeNode } from '../fake-node.ts'

let home: string
let network: FakeNetwork
let near: FakeNode
let far: FakeNode
let lent: readonly LentPort[]
const logged: string[] = []
const told: [name: string, data: unknown][] = []

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'pilot-services-'))
  network = new FakeNetwork()
  near = network.add(1)
  far = network.add(2)
  const parsed = parseDaemonArguments([], home)
  if ('exitCode' in parsed) throw new Error(parsed.text)
  logged.length = told.length = 0
  const log = createLog((line) => logged.push(line), 'debug', 'text')
  const emit = (name: string, data?: unknown): void => void told.push([name, data])
  lent = startServices({ node: far, config: parsed.config, home, log, emit }).lentPorts
})
afterEach(() => rmSync(home, { recursive: true }))

const dial = async (port: number): Promise<[PilotConnection, AsyncStream]> => {
  const connection = await near.dial({ address: far.address, port })
  return [connection, new AsyncStream(connection)]
}

async function readBytes(stream: AsyncStream, count: number): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  let length = 0
  while (length < count) {
    const piece = await stream.read()
    if (piece === undefined) break
    pieces.push(piece)
    length += piece.length
  }
  return Buffer.concat(pieces)
}

const answerOf = async (stream: AsyncStream, text: string): Promise<string> =>
  (await readBytes(stream, 8 + text.length)).subarray(8).toString()

describe('echo', () => {
  it('returns every byte, however much the peer lets wait, and never closes first', async () => {
    const [connection, stream] = await dial(7)
    const data = generated(2_000_000)
    const reading = readBytes(stream, data.length)
    await stream.write(data)
    expect((await reading).equals(data)).toBe(true)
    expect(connection.state).toBe('ESTABLISHED')
    connection.close()
    await connection.closed
  })
})

describe('data exchange', () => {
  it('stores and acknowledges messages and files, several on one connection', async () => {
    const [connection, stream] = await dial(1001)
    await stream.write(encodeDataFrame(1, Buffer.from('hello')))
    expect(await answerOf(stream, 'ACK TEXT 5 bytes')).toBe('ACK TEXT 5 bytes')
    await stream.write(encodeDataFrame(2, Uint8Array.of(0xff, 1)))
    expect(await answerOf(stream, 'ACK BINARY 2 bytes')).toBe('ACK BINARY 2 bytes')
    await stream.write(encodeFileFrame('../../x/hi.txt', Buffer.from('content')))
    expect(await answerOf(stream, 'ACK FILE 7 bytes')).toBe('ACK FILE 7 bytes')
    await stream.write(encodeDataFrame(9, Buffer.from('abc')))
    expect(await answerOf(stream, 'ACK UNKNOWN(9) 3 bytes')).toBe('ACK UNKNOWN(9) 3 bytes')
    await stream.write(encodeFileFrame('..', Buffer.from('x')))
    expect((await readBytes(stream, 20)).toString()).toContain('ERR FILE save failed')
    connection.close()
    const inbox = readdirSync(join(home, '.pilot/inbox')).sort()
    expect(inbox).toEqual([
      expect.stringMatching(/^BINARY-\d{8}-\d{6}\.\d{3}\.json$/),
      expect.stringMatching(/^TEXT-\d{8}-\d{6}\.\d{3}\.json$/),
    ])
    expect(JSON.parse(readFileSync(join(home, '.pilot/inbox', inbox[1]!), 'utf8'))).toMatchObject({
      bytes: 5,
      data: 'hello',
      from: '0:0000.0000.0001',
      type: 'TEXT',
    })
    expect(JSON.parse(readFileSync(join(home, '.pilot/inbox', inbox[0]!), 'utf8')).data_b64).toBe(
      '/wE=',
    )
    const [file] = readdirSync(join(home, '.pilot/received'))
    expect(file).toMatch(/^hi-\d{8}-\d{6}\.\d{3}\.txt$/)
    expect(statSync(join(home, '.pilot/received', file!)).mode & 0o777).toBe(0o600)
    expect(statSync(join(home, '.pilot/inbox')).mode & 0o777).toBe(0o700)
  })

  it('resets a connection that announces more than 16 MiB', async () => {
    const [connection, stream] = await dial(1001)
    const header = new Uint8Array(8)
    new DataView(header.buffer).setUint32(0, 1)
    new DataView(header.buffer).setUint32(4, 16_777_217)
    await stream.write(header)
    await expect(connection.closed).rejects.toThrow('reset')
  })

  it('tells the sender, without our paths, when the disk does not take it', async () => {
    mkdirSync(join(home, '.pilot'))
    writeFileSync(join(home, '.pilot', 'inbox'), 'in the way')
    const [connection, stream] = await dial(1001)
    await stream.write(encodeDataFrame(1, Buffer.from('x')))
    const answer = (await readBytes(stream, 20)).subarray(8).toString()
    expect(answer).toBe('ERR TEXT save failed: the receiver cannot store it')
    expect(logged.join()).toContain('inbox')
    connection.close()
  })
})

describe('what a webhook hears', () => {
  it('names messages, files, subscriptions and publications', async () => {
    const [exchange, answers] = await dial(1001)
    await answers.write(encodeDataFrame(1, Buffer.from('hello')))
    await answerOf(answers, 'ACK TEXT 5 bytes')
    await answers.write(encodeFileFrame('hi.txt', Buffer.from('content')))
    await answerOf(answers, 'ACK FILE 7 bytes')
    exchange.close()
    const [events, stream] = await dial(1002)
    await stream.write(encodeEvent('news', new Uint8Array(0)))
    await stream.write(encodeEvent('other', Buffer.from('abc')))
    events.close()
    await events.closed
    const from = '0:0000.0000.0001'
    const remote = `${from}:49152`
    await expect
      .poll(() => told)
      .toEqual([
        ['message.received', { type: 'TEXT', from, size: 5 }],
        ['file.received', { filename: 'hi.txt', size: 7, path: expect.stringContaining(home) }],
        ['pubsub.subscribed', { topic: 'news', remote }],
        ['pubsub.published', { topic: 'other', size: 3, from: remote }],
        ['pubsub.unsubscribed', { topic: 'news', remote }],
      ])
  })
})

describe('mailbox store', () => {
  it('never overwrites: names in the same millisecond get a number', async () => {
    const store = new MailboxStore(home)
    const from = { network: 0, node: 1 }
    const names = await Promise.all(
      Array.from({ length: 20 }, (_, i) => store.storeMessage('TEXT', from, Buffer.from(`${i}`))),
    )
    expect(new Set(names).size).toBe(20)
    const texts = names.map(
      (name) => JSON.parse(readFileSync(join(store.inbox, name), 'utf8')).data,
    )
    expect(texts).toEqual(Array.from({ length: 20 }, (_, i) => `${i}`))
  })
})

describe('stdio on port 1000', () => {
  it('stores what is said until it falls silent, and answers each', async () => {
    const [connection, stream] = await dial(1000)
    await stream.write(Buffer.from('hello, '))
    await stream.write(Buffer.from('peer'))
    expect((await readBytes(stream, 18)).toString()).toBe('ACK TEXT 11 bytes\n')
    await stream.write(Buffer.from('bye'))
    expect((await readBytes(stream, 17)).toString()).toBe('ACK TEXT 3 bytes\n')
    connection.close()
    await connection.closed
    expect(readdirSync(join(home, '.pilot/inbox'))).toHaveLength(2)
  })

  it('gives the port to a program, and takes it back', () => {
    expect(lent.map(({ port }) => port)).toEqual([1000])
    lent[0]!.release()
    far.listen(1000).close()
    lent[0]!.restore()
    expect(() => far.listen(1000)).toThrow()
  })
})

describe('event stream', () => {
  it('delivers to the topic and to *, not to the sender', async () => {
    const subscribe = async (topic: string): Promise<[AsyncStream, PilotConnection]> => {
      const [connection, stream] = await dial(1002)
      await stream.write(encodeEvent(topic, new Uint8Array(0)))
      return [stream, connection]
    }
    const [one, oneConnection] = await subscribe('news')
    const [all] = await subscribe('*')
    const [sender, senderConnection] = await subscribe('news')
    await new Promise((resolve) => setTimeout(resolve, 20))
    await sender.write(encodeEvent('news', Buffer.from('first')))
    for (const stream of [one, all]) {
      const decoder = new EventDecoder()
      decoder.push(await readBytes(stream, 15))
      expect(Buffer.from(decoder.next()!.payload).toString()).toBe('first')
    }
    expect(senderConnection.read()).toBeUndefined()
    oneConnection.close()
    await oneConnection.closed
  })
})

describe('send-file against the services', () => {
  let cli: CliHarness
  let server: IpcServer
  beforeEach(async () => {
    cli = new CliHarness()
    server = await IpcServer.listen({
      node: near,
      facts: { version: '0', owner: '', hasIdentity: true, beacon: '', transport: 'udp' },
      socketPath: cli.socket,
    })
  })
  afterEach(async () => {
    await server.close()
    cli.dispose()
  })

  const received = (): string[] =>
    readdirSync(join(home, '.pilot/received')).filter((name) => !name.startsWith('.'))

  it.each([0, 1, 49_152, 3_000_001])('delivers %d bytes, verified', async (size) => {
    const path = join(cli.home, 'data.bin')
    const data = generated(size)
    writeFileSync(path, data)
    const { code, json } = await cli.run('send-file', '2', path, '--json')
    expect(code).toBe(0)
    expect(json).toMatchObject({
      filename: 'data.bin',
      bytes: size,
      destination: '0:0000.0000.0002',
      method: 'filestream',
      sha256: createHash('sha256').update(data).digest('hex'),
    })
    expect(readFileSync(join(home, '.pilot/received', received()[0]!)).equals(data)).toBe(true)
  })

  it('resumes from what a broken attempt left', async () => {
    const path = join(cli.home, 'data.bin')
    const data = generated(1_000_000)
    writeFileSync(path, data)
    const partial = join(home, '.pilot/received/.partial')
    mkdirSync(partial, { recursive: true })
    const id = createHash('sha256').update(data).digest('hex').slice(0, 32)
    writeFileSync(join(partial, id), data.subarray(0, 700_000))
    const { json } = await cli.run('send-file', '2', path, '--json')
    expect(json).toMatchObject({ bytes: 1_000_000, resumed_from: 700_000 })
    expect(readFileSync(join(home, '.pilot/received', received()[0]!)).equals(data)).toBe(true)
    expect(readdirSync(partial)).toEqual([])
  })

  it('fails, and says so, when the copy does not verify', async () => {
    const path = join(cli.home, 'data.bin')
    const data = generated(100_000)
    writeFileSync(path, data)
    const partial = join(home, '.pilot/received/.partial')
    mkdirSync(partial, { recursive: true })
    const id = createHash('sha256').update(data).digest('hex').slice(0, 32)
    writeFileSync(join(partial, id), new Uint8Array(50_000))
    expect(await cli.run('send-file', '2', path, '--json')).toMatchObject({
      code: 1,
      json: { code: 'connection_failed', message: expect.stringContaining('hash mismatch') },
    })
    expect(received()).toEqual([])
    // The spoiled part is gone: the next attempt starts afresh and succeeds.
    expect((await cli.run('send-file', '2', path, '--json')).code).toBe(0)
  })

  it('falls back to one FILE frame for a peer of the base line', async () => {
    far.listeners.get(1001)!.onconnection = (connection) => {
      void (async () => {
        const stream = new AsyncStream(connection)
        const header = await readBytes(stream, 8)
        const [type, length] = [header.readUInt32BE(0), header.readUInt32BE(4)]
        let got = header.length - 8
        while (got < length) got += (await stream.read())?.length ?? length
        const answer =
          type === 4 ? `ACK FILE ${length - 2 - 8} bytes` : `ACK UNKNOWN(${type}) ${length} bytes`
        await stream.write(encodeDataFrame(1, Buffer.from(answer)))
      })()
    }
    const path = join(cli.home, 'data.bin')
    writeFileSync(path, generated(5000))
    expect((await cli.run('send-file', '2', path, '--json')).json).toMatchObject({
      method: 'file',
      ack: 'ACK FILE 5000 bytes',
    })
    writeFileSync(path, new Uint8Array(17 * 2 ** 20))
    expect(await cli.run('send-file', '2', path, '--json')).toMatchObject({
      code: 1,
      json: { code: 'unavailable', message: expect.stringContaining('at most 16 MiB') },
    })
  })

  it('a missing file is not_found, an unknown name invalid_argument', async () => {
    expect(await cli.run('send-file', '2', join(cli.home, 'no'), '--json')).toMatchObject({
      code: 1,
      json: { code: 'not_found' },
    })
    writeFileSync(join(cli.home, 'yes'), 'x')
    expect(await cli.run('send-file', 'nobody', join(cli.home, 'yes'), '--json')).toMatchObject({
      code: 1,
      json: { code: 'invalid_argument' },
    })
  })

  it('send-message reports the acknowledgement, waits for an answer, and fails on ERR', async () => {
    const { json } = await cli.run(
      'send-message',
      '2',
      '--data',
      '{"a":1}',
      '--type',
      'json',
      '--json',
    )
    expect(json).toEqual({
      target: '0:0000.0000.0002',
      type: 'json',
      bytes: 7,
      ack: 'ACK JSON 7 bytes',
    })
    const waiting = cli.run('send-message', '2', '--data', 'ping', '--wait', '5s', '--json')
    setTimeout(() => {
      void new MailboxStore(cli.home).storeMessage('TEXT', far.address, Buffer.from('pong'))
    }, 300)
    expect((await waiting).json).toMatchObject({
      ack: 'ACK TEXT 4 bytes',
      reply: { data: 'pong' },
      timeout: false,
    })
    expect(
      (await cli.run('send-message', '2', '--data', 'x', '--wait', '0.3', '--json')).json,
    ).toMatchObject({
      reply: null,
      timeout: true,
    })
    rmSync(join(home, '.pilot/inbox'), { recursive: true })
    writeFileSync(join(home, '.pilot/inbox'), 'in the way')
    expect(await cli.run('send-message', '2', '--data', 'x', '--json')).toMatchObject({
      code: 1,
      json: {
        code: 'connection_failed',
        message: expect.stringContaining('did not store the message'),
      },
    })
  })

  it('subscribe and publish', async () => {
    const heard = cli.run('subscribe', '2', 'news', '--count', '1', '--timeout', '5s', '--json')
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect((await cli.run('publish', '2', 'news', '--data', 'hi', '--json')).json).toEqual({
      target: '0:0000.0000.0002',
      topic: 'news',
      bytes: 2,
    })
    expect((await heard).json).toEqual({
      events: [{ topic: 'news', data: 'hi', bytes: 2 }],
      timeout: false,
    })
    expect(
      await cli.run('subscribe', '2', 'x', '--count', '1', '--timeout', '1s', '--json'),
    ).toMatchObject({
      code: 0,
      json: { events: [], timeout: true },
    })
  })
})

describe('bad input at every port', () => {
  const JUNK: readonly Uint8Array[] = [
    Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), // a type and a length nobody has
    Uint8Array.of(0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff), // 2 GiB announced
    Uint8Array.of(0, 0, 0, 9, 0, 0, 0, 1, 0), // an unknown type
    Uint8Array.of(0, 0, 0, 4, 0, 0, 0, 3, 0xff, 0xff, 0x61), // a name longer than its frame
    Buffer.from('{"type":'),
    Buffer.from('../../etc/passwd\n'),
    Uint8Array.of(0),
  ]
  const written = (): string[] =>
    readdirSync(home, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))

  it.each([1001, 1002, 1003])(
    '%d: ends that connection, writes nothing, and serves others beside 100 that say half of something',
    async (port) => {
      const stranger = network.add(3)
      const half: PilotConnection[] = []
      for (let i = 0; i < 100; i++) {
        const connection = await stranger.dial({ address: far.address, port })
        connection.closed.catch(() => {})
        // One peer has its share of the connections, and no more.
        if (connection.state === 'ESTABLISHED') connection.write(Uint8Array.of(0, 0, 0))
        half.push(connection)
      }
      for (const bytes of JUNK) {
        const [connection, stream] = await dial(port)
        connection.closed.catch(() => {})
        connection.write(bytes)
        connection.close()
        // Answered or not, it ends.
        while ((await stream.read()) !== undefined);
      }
      expect(written()).toEqual([])
      const [connection, stream] = await dial(1001)
      connection.write(encodeDataFrame(1, Buffer.from('still here')))
      expect((await readBytes(stream, 8)).readUInt32BE(0)).toBe(1)
      await expect.poll(() => written().length).toBe(1)
      connection.close()
      for (const one of half) one.reset()
    },
  )
})
