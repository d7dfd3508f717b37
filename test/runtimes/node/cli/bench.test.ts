import { spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { chart } from '../../../../runtimes/node/cli/bench/chart.ts'
import { emptyMeasurement } from '../../../../runtimes/node/cli/bench/measurement.ts'
import {
  findSocketOwner,
  findUdpOwner,
  usageByPs,
  usageOf,
} from '../../../../runtimes/node/cli/bench/process-usage.ts'
import { measurementMembers } from '../../../../runtimes/node/cli/bench/report.ts'
import { histogram, percentile, summarize } from '../../../../runtimes/node/cli/bench/statistics.ts'
import { runPilotctl } from '../../../../runtimes/node/cli/main.ts'
import { IpcServer } from '../../../../runtimes/node/ipc/server.ts'
import { serveEcho } from '../../../../runtimes/shared/services/echo.ts'
import { FakeNetwork, type FakeNode } from '../fake-node.ts'
import { CliHarness } from './harness.ts'

const facts = { version: '0', owner: '', hasIdentity: true, beacon: '', transport: 'udp' } as const

describe('statistics', () => {
  it('gives values that were measured, by nearest rank', () => {
    const sorted = [10, 20, 30, 40]
    expect([0, 0.01, 0.25, 0.26, 0.5, 0.99, 1].map((share) => percentile(sorted, share))).toEqual([
      10, 10, 10, 20, 20, 40, 40,
    ])
    expect(percentile([], 0.5)).toBeNaN()
    expect(summarize([])).toBeUndefined()
    expect(summarize([3, 1, 2])).toEqual({ count: 3, min: 1, p50: 2, p90: 3, p99: 3, max: 3 })
  })

  it('counts every value in the bucket whose bounds hold it', () => {
    expect(histogram([])).toEqual([])
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 1e-3, max: 1e5, noNaN: true }), { minLength: 1 }),
        (values) => {
          const buckets = histogram(values)
          let above = 0
          for (const { upTo, count } of buckets) {
            const within = values.filter((one) => one > above * 1.000001 && one < upTo * 0.999999)
            expect(within.length).toBeLessThanOrEqual(count)
            above = upTo
          }
          expect(buckets.reduce((sum, { count }) => sum + count, 0)).toBe(values.length)
          expect(buckets[0]!.count).toBeGreaterThan(0)
          expect(buckets.at(-1)!.count).toBeGreaterThan(0)
          expect(buckets.at(-1)!.upTo).toBeGreaterThanOrEqual(Math.max(...values) * 0.999999)
        },
      ),
    )
  })
})

describe.runIf(process.platform === 'linux')('usage of processes', () => {
  it('grows with the work a process does, and is what ps says', async () => {
    const before = (await usageOf(process.pid))!
    const until = performance.now() + 150
    while (performance.now() < until) Math.hypot(Math.random(), 1)
    const after = (await usageOf(process.pid))!
    expect(after.cpuMs - before.cpuMs).toBeGreaterThan(0)
    expect(after.rssBytes).toBeGreaterThan(10 * 2 ** 20)
    const told = (await usageByPs(process.pid))!
    expect(Math.abs(told.cpuMs - after.cpuMs)).toBeLessThan(2000)
    expect(told.rssBytes / after.rssBytes).toBeGreaterThan(0.5)
  })

  it('is unknown for a process that is not there', async () => {
    const child = spawn(process.execPath, ['-e', ''])
    await once(child, 'exit')
    for (const pid of [child.pid!, 0, -1, 2 ** 40, Number.NaN])
      expect(await usageOf(pid)).toBeUndefined()
  })

  it('knows whose a UDP socket is, on this machine only', async () => {
    const [one, every] = [createSocket('udp4'), createSocket('udp4')]
    try {
      await new Promise<void>((resolve) => one.bind(0, '127.0.0.1', resolve))
      await new Promise<void>((resolve) => every.bind(0, '0.0.0.0', resolve))
      const [a, b] = [one.address().port, every.address().port]
      expect(await findUdpOwner(`127.0.0.1:${a}`)).toBe(process.pid)
      expect(await findUdpOwner(`127.0.0.1:${b}`)).toBe(process.pid)
      expect(await findUdpOwner(`127.0.0.2:${a}`)).toBeUndefined()
      expect(await findUdpOwner(`192.0.2.1:${b}`)).toBeUndefined()
      for (const text of ['', 'x', '127.0.0.1', '127.0.0.1:99999'])
        expect(await findUdpOwner(text)).toBeUndefined()
    } finally {
      one.close()
      every.close()
    }
  })
})

describe.runIf(process.platform === 'linux')('findSocketOwner', () => {
  it('knows who listens, whoever else is connected', async () => {
    const home = new CliHarness()
    const server = createServer()
    server.listen(home.socket)
    await once(server, 'listening')
    const child = spawn(process.execPath, [
      '-e',
      `require('net').connect(${JSON.stringify(home.socket)}); setTimeout(() => {}, 30000)`,
    ])
    try {
      await once(server, 'connection')
      expect(await findSocketOwner(home.socket)).toBe(process.pid)
      expect(await findSocketOwner(`${home.socket}x`)).toBeUndefined()
    } finally {
      child.kill()
      await once(child, 'exit')
      await new Promise((resolve) => server.close(resolve))
      home.dispose()
    }
  })
})

/** Every element is closed, no `&` or `<` stands in text, no attribute is `NaN`. */
function checkSvg(svg: string): void {
  const open: string[] = []
  const rest = svg.replace(/<\?xml [^>]*\?>/, '').replace(/<style>[^<]*<\/style>/, '')
  const left = rest.replace(
    /<(\/?)([a-z]+)((?: [a-zA-Z0-9-]+="[^"<]*")*)(\/?)>/g,
    (_, close, name, attributes, self) => {
      expect(attributes).not.toMatch(/NaN|Infinity|undefined/)
      if (close !== '') expect(open.pop()).toBe(name)
      else if (self === '') open.push(name)
      return ''
    },
  )
  expect(open).toEqual([])
  expect(left.replace(/&#\d+;/g, '')).not.toMatch(/[<>&]/)
}

describe('chart', () => {
  const facts = { target: `<a>&"b'\u0007`, time: 'now', version: '1', isInterrupted: true }

  it('is well-formed with nothing, with one value, with zeros, and with anything', () => {
    checkSvg(chart(emptyMeasurement(), facts))
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0.001, max: 1e6, noNaN: true }), { maxLength: 40 }),
        fc.array(fc.nat(1e10), { maxLength: 90 }),
        (values, perSecond) => {
          const measurement = emptyMeasurement()
          measurement.dialsMs.push(...values)
          measurement.roundTripsMs.push({ bytes: 1024, values }, { bytes: 2 ** 20, values: [1] })
          const bytes = perSecond.reduce((sum, one) => sum + one, 0)
          measurement.throughput = {
            sentBytes: bytes,
            receivedBytes: bytes,
            sendMs: 1,
            totalMs: 1,
            perSecond,
          }
          measurement.own = { pid: 1, cpuMs: 1, ms: 0, rssBytes: 1 }
          const svg = chart(measurement, facts)
          checkSvg(svg)
          expect(svg).toContain('CPU and memory unknown')
          expect(JSON.stringify(measurementMembers(measurement))).not.toContain('NaN')
          expect(measurementMembers(measurement).usage).toMatchObject({ peer: 'unknown' })
        },
      ),
      { numRuns: 40 },
    )
  })
})

describe('pilotctl bench --duration', () => {
  let cli: CliHarness
  let far: FakeNode
  let server: IpcServer

  beforeEach(async () => {
    cli = new CliHarness()
    const network = new FakeNetwork()
    const node = network.add(1)
    far = network.add(2, 'bob')
    far.listen(7).onconnection = serveEcho
    server = await IpcServer.listen({
      node,
      facts,
      socketPath: cli.socket,
      setWebhook: async () => {},
      rotateKey: async () => ({}),
    })
  })
  afterEach(async () => {
    await server.close()
    cli.dispose()
  })

  it('measures connections, sizes, seconds and what it takes, and draws it', async () => {
    const file = join(cli.home, 'bench.svg')
    const { code, json } = await cli.run('bench', '2', '--duration=1s', '--svg', file, '--json')
    expect(code).toBe(0)
    expect(json).toMatchObject({ target: '0:0000.0000.0002', interrupted: false, svg: file })
    expect(json.recv_bytes).toBe(json.sent_bytes)
    expect(json.recv_bytes).toBeGreaterThan(100_000)
    expect(json.total_mib_per_s).toBe(json.total_mbps)
    expect(json.connect_ms).toMatchObject({ count: 20 })
    const latency = json.latency as {
      bytes: number
      p50_ms: number
      p99_ms: number
      count: number
    }[]
    expect(latency.map(({ bytes }) => bytes)).toEqual([1024, 10_240, 102_400, 1_048_576])
    for (const one of latency) {
      expect(one.count).toBeGreaterThanOrEqual(3)
      expect(one.p50_ms).toBeGreaterThan(0)
      expect(one.p99_ms).toBeGreaterThanOrEqual(one.p50_ms)
    }
    const { seconds } = json.throughput as { seconds: number[] }
    expect(seconds).toHaveLength(1)
    expect(seconds[0]! * 2 ** 20).toBeLessThanOrEqual(json.recv_bytes as number)
    const { own, peer } = json.usage as { own: Record<string, number>; peer: unknown }
    expect(own.pid).toBe(process.pid)
    expect(own.rss_bytes).toBeGreaterThan(10 * 2 ** 20)
    expect(peer).toBe('unknown')
    const svg = readFileSync(file, 'utf8')
    checkSvg(svg)
    expect(svg).toContain('class="curve"')
  })

  it('ends with what it has when it is interrupted', async () => {
    const interrupt = new AbortController()
    const written = { stdout: '', stderr: '' }
    const io = { ...cli.io(written), signal: interrupt.signal }
    const running = runPilotctl(['bench', '2', '--duration', '1h', '--json'], io)
    setTimeout(() => interrupt.abort(), 700)
    const started = performance.now()
    expect(await running).toBe(130)
    expect(performance.now() - started).toBeLessThan(3000)
    const { data } = JSON.parse(written.stdout)
    expect(data).toMatchObject({ interrupted: true, target: '0:0000.0000.0002' })
    expect(data.connect_ms.count).toBeGreaterThan(0)
    expect(data.connect_ms.count).toBeLessThan(20)
    expect(data).not.toHaveProperty('sent_bytes')
  })

  it.each([
    [
      'echoes something else',
      (data: Uint8Array) => data.map((byte) => byte ^ 1),
      'came back changed',
    ],
    ['echoes too much', (data: Uint8Array) => Buffer.concat([data, data]), 'more bytes came back'],
  ])('refuses a peer that %s', async (_, spoil, text) => {
    far.listeners.get(7)!.onconnection = (connection) => {
      connection.onreadable = () => {
        for (let data = connection.read(); data !== undefined; data = connection.read())
          connection.write(spoil(data))
      }
    }
    const { code, json } = await cli.run('bench', '2', '--duration', '1s', '--json')
    expect([code, json.code]).toEqual([1, 'connection_failed'])
    expect(json.message).toContain(text)
  })

  it.each([
    ['--duration', '10ms'],
    ['--duration', '2000h'],
    ['--duration', 'x'],
  ])('refuses %s %s', async (...flags) => {
    expect((await cli.run('bench', '2', ...flags, '--json')).json.code).toBe('invalid_argument')
  })

  it('says before the work that the chart cannot be written', async () => {
    const started = performance.now()
    const path = join(cli.home, 'none', 'x.svg')
    const { code, json } = await cli.run('bench', '2', '--duration', '5s', '--svg', path, '--json')
    expect([code, json.code]).toEqual([1, 'internal'])
    expect(performance.now() - started).toBeLessThan(2000)
  })
})
