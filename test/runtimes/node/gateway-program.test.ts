/** The program in the place of the reference's `gateway`, in this process. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { runGatewayProgram } from '../../../runtimes/node/gateway/gateway-program.ts'
import { IpcServer } from '../../../runtimes/node/ipc/server.ts'
import { FakeNetwork, type FakeNode } from './fake-node.ts'

const facts = { version: '0', owner: '', hasIdentity: true, beacon: '', transport: 'udp' } as const

let home: string
let far: FakeNode
let server: IpcServer
let stop: AbortController
let written: { stdout: string; stderr: string }

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'pilot-gateway-'))
  const network = new FakeNetwork()
  const node = network.add(1)
  far = network.add(2)
  stop = new AbortController()
  written = { stdout: '', stderr: '' }
  server = await IpcServer.listen({ node, facts, socketPath: join(home, 's') })
})
afterEach(async () => {
  stop.abort()
  await server.close()
  rmSync(home, { recursive: true })
})

const program = (...argv: string[]): Promise<number> =>
  runGatewayProgram(argv, {
    stdout: (text) => {
      written.stdout += text
    },
    stderr: (text) => {
      written.stderr += text
    },
    home,
    signal: stop.signal,
  })

async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve))
  const { port } = probe.address() as AddressInfo
  await new Promise((resolve) => probe.close(resolve))
  return port
}

async function until(isTrue: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !isTrue(); i++) await new Promise((resolve) => setTimeout(resolve, 10))
  expect(isTrue(), JSON.stringify(written)).toBe(true)
}

it('runs with the flags of the reference, takes mappings while it runs, and leaves nothing', async () => {
  const port = await freePort()
  far.listen(port).onconnection = (connection) => {
    connection.onreadable = () => {
      const data = connection.read()
      if (data === undefined) return
      connection.write(Buffer.concat([Buffer.from('got '), data]))
      connection.close()
    }
  }
  const config = join(home, 'gateway.json')
  writeFileSync(config, JSON.stringify({ subnet: '127.78.0.0/29', ports: '1' }))
  const flags = ['-socket', join(home, 's'), '-config', config, `-ports=${port}`]
  const ended = program(...flags, 'run', '0:0000.0000.0002', '127.78.0.3')
  await until(() => written.stderr.includes('gateway running'))
  expect(written.stdout).toBe('mapped 127.78.0.3 → 0:0000.0000.0002\n')

  const socket = connect(port, '127.78.0.3')
  let heard = ''
  socket.on('data', (chunk) => {
    heard += chunk
  })
  socket.write('hello')
  await until(() => heard === 'got hello')
  socket.destroy()

  expect(await program(...flags, 'run')).toBe(1)
  expect(written.stderr).toContain('a gateway already runs')
  expect(await program('map', '0:0000.0000.0009')).toBe(0)
  expect(written.stdout).toContain('mapped 127.78.0.1 → 0:0000.0000.0009\n')
  stop.abort()
  expect(await ended).toBe(0)
  expect(existsSync(join(home, '.pilot/gateway.pid'))).toBe(false)
  expect(await program('map', '0:0000.0000.0009')).toBe(1)
})

it.each([
  [[], 1, 'usage:'],
  [['walk'], 1, 'usage:'],
  [['map'], 1, 'usage:'],
  [['run', 'agent-b'], 1, 'agent-b'],
  [['-bogus', 'run'], 2, 'unknown flag -bogus'],
  [['-ports', '0', 'run'], 2, '-ports'],
  [['-subnet', '300.0.0.0/8', '-socket', 'S', 'run'], 1, 'a subnet is'],
  [['-log-level', 'loud', 'run'], 2, '-log-level'],
  [['-config', '/nowhere.json', 'run'], 2, '/nowhere.json'],
  [['-socket', '/nowhere.sock', 'run'], 1, 'no daemon answers'],
])('%j ends with %i', async (argv, code, text) => {
  expect(await program(...argv.map((word) => (word === 'S' ? join(home, 's') : word)))).toBe(code)
  expect(written.stderr).toContain(text)
})

it('explains itself within 80 columns', async () => {
  expect(await program('--help')).toBe(0)
  for (const line of written.stdout.split('\n')) expect([...line].length).toBeLessThanOrEqual(80)
  expect(await program('-version')).toBe(0)
})
