/** Several homes on one machine: each daemon gets a socket of its own, and keeps it. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { toBase64 } from '../../../../core/bytes.ts'
import { Cli } from '../../../../runtimes/node/cli/cli.ts'
import { withFreeSocket } from '../../../../runtimes/node/cli/socket-choice.ts'
import { IpcServer } from '../../../../runtimes/node/ipc/server.ts'
import { FakeNetwork, type FakeNode } from '../fake-node.ts'
import { CliHarness } from './harness.ts'

let harness: CliHarness
let usual: string
let cli: Cli
let written: { stdout: string; stderr: string }

beforeEach(() => {
  harness = new CliHarness()
  harness.env = {}
  usual = harness.socket
  written = { stdout: '', stderr: '' }
  cli = new Cli(harness.io(written), false)
})
afterEach(() => harness.dispose())

const ownSocket = (): string => join(harness.home, '.pilot', 'pilot.sock')
const config = (): unknown =>
  JSON.parse(readFileSync(join(harness.home, '.pilot', 'config.json'), 'utf8'))

describe('the socket of a daemon that nobody named one for', () => {
  let node: FakeNode
  let server: IpcServer

  beforeEach(async () => {
    node = new FakeNetwork().add(1, 'alice')
    const facts = {
      version: '0',
      owner: '',
      hasIdentity: true,
      beacon: '',
      transport: 'udp',
    } as const
    server = await IpcServer.listen({ node, facts, socketPath: usual })
  })
  afterEach(() => server.close())

  it('is in the home where the usual one belongs to another, and is remembered', async () => {
    expect(await withFreeSocket(cli, { hostname: 'b' }, usual)).toEqual({
      hostname: 'b',
      socket: ownSocket(),
    })
    expect(config()).toEqual({ socket: ownSocket() })
    expect(written.stderr).toContain(`${usual} belongs to another daemon`)
    // The next start finds it in the configuration.
    const later = new Cli(harness.io(), false)
    expect(await withFreeSocket(later, {}, usual)).toEqual({})
    expect(later.socketPath).toBe(ownSocket())
  })

  it('stays the usual one where this home’s own node answers there', async () => {
    mkdirSync(join(harness.home, '.pilot'))
    writeFileSync(
      join(harness.home, '.pilot', 'identity.json'),
      JSON.stringify({ public_key: toBase64(node.publicKey) }),
    )
    expect(await withFreeSocket(cli, {}, usual)).toEqual({})
  })

  it('is never changed when the user named one', async () => {
    expect(await withFreeSocket(cli, { socket: '/x' }, usual)).toEqual({ socket: '/x' })
    harness.env = { PILOT_SOCKET: usual }
    expect(await withFreeSocket(new Cli(harness.io(), false), {}, usual)).toEqual({})
  })
})

it('is the usual one when nobody is there, and not when somebody is who does not answer', async () => {
  expect(await withFreeSocket(cli, {}, usual)).toEqual({})
  const mute = createServer(() => {})
  await new Promise<void>((resolve) => mute.listen(usual, resolve))
  try {
    expect(await withFreeSocket(cli, {}, usual)).toEqual({ socket: ownSocket() })
  } finally {
    mute.close()
  }
})
