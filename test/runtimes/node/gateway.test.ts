import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { askGateway, serveGatewayControl } from '../../../runtimes/node/gateway/control-socket.ts'
import { Gateway, type GatewayOptions } from '../../../runtimes/node/gateway/gateway.ts'
import { Subnet } from '../../../runtimes/node/gateway/subnet.ts'
import type { GatewayStream } from '../../../runtimes/node/gateway/tcp-proxy.ts'

let directory: string
const warnings: string[] = []
const opened: { close(): unknown }[] = []

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'pilot-gateway-'))
  warnings.length = 0
})
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close()
  rmSync(directory, { recursive: true })
})

const node = (id: number): { network: number; node: number } => ({ network: 0, node: id })

/** A stream that says `lines` and then what it heard, one reply per write. */
function parrot(): GatewayStream {
  const queue: (Uint8Array | undefined)[] = []
  let wake: (() => void) | undefined
  const push = (one: Uint8Array | undefined): void => {
    queue.push(one)
    wake?.()
  }
  return {
    read: async () => {
      while (queue.length === 0)
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      return queue.shift()
    },
    write: async (data) => push(Buffer.concat([Buffer.from('got '), data])),
    close: async () => push(undefined),
  }
}

/** A port that nobody listens on at any address of the subnet. */
async function freePort(): Promise<number> {
  const server: Server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

async function start(
  more: Partial<GatewayOptions> = {},
): Promise<{ gateway: Gateway; port: number }> {
  const port = await freePort()
  const gateway = new Gateway({
    subnet: '127.77.0.0/29',
    ports: [port],
    dial: async () => parrot(),
    aliasNotePath: join(directory, 'aliases.json'),
    warn: (text) => warnings.push(text),
    ...more,
  })
  opened.push(gateway)
  return { gateway, port }
}

describe('subnet', () => {
  it('counts from its first address, wherever it begins', () => {
    expect(new Subnet('10.4.0.0/16').firstFree(() => false)).toBe('10.4.0.1')
    // The reference fails here: its first candidate lies outside.
    expect(new Subnet('10.4.0.128/25').firstFree(() => false)).toBe('10.4.0.129')
    expect(new Subnet('10.4.7.9/16').text).toBe('10.4.0.0/16')
    expect(new Subnet('10.4.0.0/30').firstFree((ip) => ip.endsWith('.1'))).toBe('10.4.0.2')
    expect(new Subnet('10.4.0.0/30').firstFree((ip) => /[12]$/.test(ip))).toBeUndefined()
  })

  it.each(['', '10.4.0.0', '10.4.0.0/31', '10.4.0.0/4', '10.4.0.256/16', '::/64', '010.4.0.0/16'])(
    '%j is none',
    (bad) => expect(() => new Subnet(bad)).toThrow(/a subnet is/),
  )
})

describe('gateway', () => {
  it('carries what a client says, and its answer after the client ended', async () => {
    const { gateway, port } = await start()
    const { localIp } = await gateway.map(node(5))
    const socket = connect({ host: localIp, port, allowHalfOpen: true })
    socket.end('hello')
    const text = await new Promise<string>((resolve) =>
      socket.once('data', (data) => resolve(`${data}`)),
    )
    expect(text).toBe('got hello')
    socket.destroy()
  })

  it('resets a client whose node cannot be dialed', async () => {
    const { gateway, port } = await start({ dial: () => Promise.reject(new Error('refused')) })
    const { localIp } = await gateway.map(node(5))
    const code = await new Promise((resolve) =>
      connect(port, localIp).once('error', (error: NodeJS.ErrnoException) => resolve(error.code)),
    )
    expect(code).toBe('ECONNRESET')
  })

  it('maps each node once, tells networks apart, and refuses what it cannot do', async () => {
    const { gateway } = await start()
    expect((await gateway.map(node(5))).localIp).toBe('127.77.0.1')
    expect((await gateway.map(node(5))).localIp).toBe('127.77.0.1')
    expect((await gateway.map({ network: 1, node: 5 })).localIp).toBe('127.77.0.2')
    await expect(gateway.map(node(6), '127.77.0.1')).rejects.toThrow('IP 127.77.0.1 already mapped')
    await expect(gateway.map(node(6), '10.9.9.9')).rejects.toThrow(
      'IP 10.9.9.9 not in subnet 127.77.0.0/29',
    )
    await expect(gateway.map(node(6), '; reboot')).rejects.toThrow('invalid IP: ; reboot')
    await expect(gateway.unmap('127.77.0.6')).rejects.toThrow('no mapping for 127.77.0.6')
    for (let id = 10; gateway.list().length < 6; id++) await gateway.map(node(id))
    await expect(gateway.map(node(99))).rejects.toThrow('subnet exhausted')
    await gateway.unmap('127.77.0.1')
    expect((await gateway.map(node(99))).localIp).toBe('127.77.0.1')
  })

  it('says which ports it could not listen on, and makes no address without any', async () => {
    const { gateway, port } = await start()
    const taken = createServer().listen(port, '127.77.0.1')
    opened.push(taken)
    await new Promise((resolve) => taken.once('listening', resolve))
    await expect(gateway.map(node(5))).rejects.toMatchObject({ code: 'ERR_GATEWAY' })
    expect(warnings).toEqual([`cannot listen on 127.77.0.1:${port} (EADDRINUSE)`])
    expect(gateway.list()).toEqual([])
    expect((await gateway.map(node(5), '127.77.0.2')).ports).toEqual([port])
  })
})

describe('control socket', () => {
  it('maps, lists and unmaps, for its owner only', async () => {
    const { gateway } = await start()
    const path = join(directory, 'control.sock')
    await expect(askGateway(path, { op: 'list' })).rejects.toMatchObject({
      code: 'ERR_DAEMON_UNAVAILABLE',
    })
    const control = await serveGatewayControl(gateway, path)
    opened.push({ close: () => control[Symbol.asyncDispose]() })
    expect(statSync(path).mode & 0o777).toBe(0o600)
    const mapping = { local_ip: '127.77.0.1', pilot_addr: '0:0000.0000.0005' }
    expect(await askGateway(path, { op: 'map', address: mapping.pilot_addr })).toEqual(mapping)
    expect(await askGateway(path, { op: 'list' })).toEqual([mapping])
    await askGateway(path, { op: 'unmap', ip: '127.77.0.1' })
    await expect(askGateway(path, { op: 'unmap', ip: '127.77.0.1' })).rejects.toMatchObject({
      code: 'ERR_NOT_MAPPED',
    })
  })

  it('answers junk with an error and goes on', async () => {
    const { gateway } = await start()
    const path = join(directory, 'control.sock')
    const control = await serveGatewayControl(gateway, path)
    opened.push({ close: () => control[Symbol.asyncDispose]() })
    for (const junk of [
      '{',
      'null',
      '[]',
      '{"op":"x"}',
      '{"op":"map"}',
      '{"op":"map","address":{}}',
    ]) {
      const socket = connect(path)
      socket.write(`${junk}\n`)
      const reply = await new Promise<string>((resolve) =>
        socket.once('data', (data) => resolve(`${data}`)),
      )
      expect(JSON.parse(reply).error.code, junk).toMatch(/^ERR_/)
    }
    const flood = connect(path)
    flood.on('error', () => {})
    flood.write('x'.repeat(100_000))
    await new Promise((resolve) => flood.once('close', resolve))
    expect(await askGateway(path, { op: 'list' })).toEqual([])
  })
})
