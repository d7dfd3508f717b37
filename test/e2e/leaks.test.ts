/** Ten thousand connections, opened and closed, leave nothing behind: in daemons, and in a node in process. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createNode } from '../../runtimes/node/create-node.ts'
import { DaemonClient } from '../../runtimes/node/ipc/client.ts'
import { serveEcho } from '../../runtimes/shared/services/echo.ts'
import { ProcessWatch, probeEnvironment } from '../soak/process-watch.ts'
import { Rendezvous, User } from './programs.ts'

const CONNECTIONS = 10_000
/** At a time. */
const WORKERS = 32
const DATA = Buffer.from('some bytes that have to come back')
/** A closed stream is remembered for 10 s (TIME_WAIT). */
const FORGOTTEN_MS = 30_000

let rendezvous: Rendezvous
beforeAll(async () => {
  rendezvous = await Rendezvous.start()
})
afterAll(() => rendezvous.stop())

/**
 * Runs `work` so many times, some at a time. A node takes 8192 streams, those in TIME_WAIT included: on a
 * fast machine some have to wait for room.
 */
async function repeat(times: number, work: (n: number) => Promise<void>): Promise<void> {
  let next = 0
  let waits = 0
  const worker = async (): Promise<void> => {
    while (next < times) {
      const n = next++
      for (;;) {
        try {
          await work(n)
          break
        } catch (error) {
          const isFull = /too many connections|no ephemeral port|connection refused/
          if (!isFull.test(String(error)) || n < 4096 || ++waits > 50 * WORKERS) throw error
          await new Promise((resolve) => setTimeout(resolve, 500))
        }
      }
    }
  }
  await Promise.all(Array.from({ length: WORKERS }, worker))
}

async function until(isTrue: () => Promise<boolean> | boolean): Promise<boolean> {
  const end = performance.now() + FORGOTTEN_MS
  while (performance.now() < end) {
    if (await isTrue()) return true
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
  return false
}

describe('daemons', () => {
  let directory: string
  let a: User
  let b: User
  let watches: ProcessWatch[]
  let idOfB: number

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'pilot-leaks-'))
    a = new User(rendezvous)
    b = new User(rendezvous)
    watches = []
    for (const user of [a, b]) {
      Object.assign(user.env, probeEnvironment(directory))
      // Strangers may open ten streams a second, trusted nodes two thousand.
      const { json } = await user.ctl('daemon', 'start', '--trust-auto-approve', '--json')
      watches.push(new ProcessWatch(`node ${json.node_id}`, Number(json.pid), directory))
      idOfB = Number(json.node_id)
    }
    const trusted = await a.ctl('handshake', `${idOfB}`, '--wait', '30s', '--json')
    expect(trusted.json).toMatchObject({ trusted: true })
  })
  afterAll(async () => {
    await a.dispose()
    await b.dispose()
    rmSync(directory, { recursive: true })
  })

  it('hold nothing after ten thousand connections through their sockets', async () => {
    const port = 5000
    const facts = async (user: User): Promise<unknown> => {
      const { connections, ports, conn_list, peers } = (await user.ctl('info', '--json')).json
      return { connections, ports, streams: (conn_list as unknown[]).length, peers }
    }
    const callers = await DaemonClient.connect(a.socket)
    const listeners = await DaemonClient.connect(b.socket)
    const listener = await listeners.listen(port)
    let accepted = 0
    const accepting = (async () => {
      for (;;) {
        const connection = await listener.accept().catch(() => undefined)
        if (connection === undefined) return
        accepted++
        void (async () => {
          for await (const piece of connection) await connection.write(piece)
          connection.close()
        })()
      }
    })()
    const call = async (n: number): Promise<void> => {
      // Half of them to the daemon's own echo, half to a program behind its socket.
      const to = { address: { network: 0, node: idOfB }, port: n % 2 === 0 ? 7 : port }
      const connection = await callers.dial(to)
      await connection.write(DATA)
      let back = 0
      while (back < DATA.length) back += (await connection.read())!.length
      connection.close()
    }
    await repeat(500, call)
    expect(await until(async () => (await info(a)).streams === 0)).toBe(true)
    const before = { a: await facts(a), b: await facts(b) }
    const descriptors = watches.map((watch) => watch.descriptors)
    const memory = await Promise.all(watches.map((watch) => watch.memory()))

    const started = performance.now()
    await repeat(CONNECTIONS, call)
    const seconds = (performance.now() - started) / 1000
    expect(accepted).toBe((500 + CONNECTIONS) / 2)

    expect(
      await until(async () => (await info(a)).streams === 0 && (await info(b)).streams === 0),
    ).toBe(true)
    expect({ a: await facts(a), b: await facts(b) }).toEqual(before)
    expect(watches.map((watch) => watch.descriptors)).toEqual(descriptors)
    for (const [i, watch] of watches.entries()) {
      const after = await watch.memory()
      console.log(
        `${watch.name}: ${CONNECTIONS} connections in ${seconds.toFixed(1)} s; heap ${memory[i]!.heap.toFixed(1)} → ${after.heap.toFixed(1)} MB, RSS ${memory[i]!.rss.toFixed(0)} → ${after.rss.toFixed(0)} MB`,
      )
      expect(after.heap).toBeLessThan(memory[i]!.heap + 4)
      expect(after.buffers).toBeLessThan(memory[i]!.buffers + 4)
      // The allocator gives back when it likes; a block of 16 KiB kept per connection would be 160 MB.
      expect(after.rss).toBeLessThan(memory[i]!.rss + 100)
    }
    await listeners.close()
    await callers.close()
    await accepting
    expect(await until(async () => (await info(b)).ports === Number(await ports(a)))).toBe(true)
  })

  const info = async (user: User): Promise<{ streams: number; ports: number }> => {
    const { conn_list, ports } = (await user.ctl('info', '--json')).json
    return { streams: (conn_list as unknown[]).length, ports: Number(ports) }
  }
  const ports = async (user: User): Promise<number> => (await info(user)).ports
})

it('an idle daemon is small', async () => {
  const user = new User(rendezvous)
  const directory = mkdtempSync(join(tmpdir(), 'pilot-idle-'))
  try {
    const { json } = await user.ctl('daemon', 'start', '--json')
    await new Promise((resolve) => setTimeout(resolve, 3000))
    const rss = new ProcessWatch('idle', Number(json.pid), directory).residentMb
    console.log(`idle daemon: RSS ${rss.toFixed(0)} MB`)
    expect(rss).toBeLessThan(130)
  } finally {
    await user.dispose()
    rmSync(directory, { recursive: true })
  }
})

it('a node in process holds nothing after ten thousand connections', async () => {
  const options = { ...rendezvous, autoApprove: true, maxConnections: 20_000 }
  const resources = (): string[] => process.getActiveResourcesInfo().sort()
  /** What there is now beyond a list of earlier; the test runner's own come and go. */
  const addedTo = (earlier: readonly string[]): string[] => {
    const left = [...earlier]
    return resources().filter((one) => {
      const at = left.indexOf(one)
      if (at >= 0) left.splice(at, 1)
      return at < 0
    })
  }
  const descriptors = (): number => readdirSync('/proc/self/fd').length
  const before = { resources: resources(), descriptors: descriptors() }
  const a = await createNode(options)
  const b = await createNode(options)
  b.listen(7).onconnection = serveEcho
  await a.trust.request(b.nodeId)
  expect(await a.trust.wait(b.nodeId, 30_000)).toBe(true)
  const call = async (): Promise<void> => {
    const connection = await a.dial({ address: b.address, port: 7 })
    const echoed = new Promise<void>((resolve) => {
      let back = 0
      connection.onreadable = () => {
        for (let piece = connection.read(); piece !== undefined; piece = connection.read())
          back += piece.length
        if (back === DATA.length) resolve()
      }
    })
    connection.write(DATA)
    await echoed
    connection.close()
  }
  await repeat(100, call)
  const running = { resources: resources(), descriptors: descriptors() }
  const held = { ports: a.machine.ports.size, peers: a.machine.peers.size }
  await repeat(CONNECTIONS, call)
  const isEmpty = (): boolean => [a, b].every((node) => node.connections().length === 0)
  expect(await until(isEmpty)).toBe(true)
  expect({ ports: a.machine.ports.size, peers: a.machine.peers.size }).toEqual(held)
  // One timer per peer is all that is left.
  expect(a.machine.heldTimers).toBeLessThanOrEqual(a.machine.peers.size)
  expect(b.machine.heldTimers).toBeLessThanOrEqual(b.machine.peers.size)
  await until(() => addedTo(running.resources).length === 0)
  expect(addedTo(running.resources)).toEqual([])
  expect(descriptors()).toBe(running.descriptors)
  await a.close()
  await b.close()
  await until(() => addedTo(before.resources).length === 0)
  expect(addedTo(before.resources)).toEqual([])
  expect(descriptors()).toBe(before.descriptors)
})
