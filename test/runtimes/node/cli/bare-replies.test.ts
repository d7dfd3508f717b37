/** A daemon whose replies lack everything: commands say something, and fall over nothing (spec/08 §9). */
import { once } from 'node:events'
import { createServer } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { encodeFrame } from '../../../../runtimes/node/ipc/frame.ts'
import { CliHarness } from './harness.ts'

let cli: CliHarness
beforeEach(() => {
  cli = new CliHarness()
})
afterEach(() => cli.dispose())

it.each([
  ['info'],
  ['health'],
  ['peers'],
  ['connections'],
  ['trust'],
  ['pending'],
  ['find', 'bob'],
  ['handshake', '2'],
  ['approve', '2'],
  ['untrust', '2'],
  ['set-hostname', 'x'],
  ['set-public'],
  ['set-tags', 'a'],
  ['disconnect', '3'],
  ['network', 'list'],
  ['network', 'invites'],
  ['task', 'list'],
  ['daemon', 'status'],
])('%s %s', async (...argv) => {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    // Requests are small and come one at a time: the opcode behind the length, and its answer one above.
    socket.on('data', (bytes) => {
      const opcode = bytes[4]!
      socket.write(encodeFrame(opcode + 1, Buffer.from('{}')))
    })
  })
  server.listen(cli.socket)
  await once(server, 'listening')
  try {
    for (const flags of [['--json'], []]) {
      const ran = await cli.run(...argv, ...flags)
      expect([0, 1]).toContain(ran.code)
      expect(`${ran.stdout}${ran.stderr}`).not.toMatch(/TypeError|undefined|NaN|\n {4}at /)
      if (flags.length > 0) expect(() => JSON.parse(ran.stdout || ran.stderr)).not.toThrow()
    }
  } finally {
    server.close()
  }
})
