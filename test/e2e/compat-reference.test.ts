/**
 * Daemons of the reference on UDP with a node of ours on a WebSocket (spec/09: they need no change for that).
 * `PILOT_REFERENCE_G1` and `PILOT_REFERENCE_G2` name folders with `daemon` and `pilotctl`; without them these
 * tests are skipped, and say so.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { formatAddress } from '../../core/index.ts'
import { createNode } from '../../runtimes/node/index.ts'
import type { PilotNode } from '../../runtimes/shared/api.ts'
import { createRendezvous, type Rendezvous } from '../../signaling/index.ts'
import { LiveNode } from '../interop/live-node.ts'
import {
  GENERATIONS,
  type Generation,
  referenceFolder,
  referencePrograms,
} from '../interop/programs.ts'

const ECHO = 7
const BYTES = 1 << 20

const opened: { close(): unknown }[] = []
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close()
})

interface Pair {
  readonly ours: PilotNode
  readonly theirs: LiveNode
}

async function start(generation: Generation, isPublic: boolean): Promise<Pair> {
  const reference = referenceFolder(generation)
  if (!('folder' in reference)) throw new Error(reference.missing)
  const home = mkdtempSync(join(tmpdir(), 'pilot-compat-'))
  opened.push({ close: () => rmSync(home, { recursive: true }) })
  const rendezvous: Rendezvous = await createRendezvous({
    registryAddress: '127.0.0.1:0',
    beaconAddress: '127.0.0.1:0',
    httpAddress: '127.0.0.1:0',
    limits: { registrationsPerMinute: 1000 },
  })
  opened.push(rendezvous)
  const theirs = new LiveNode({
    name: 'theirs',
    hostname: 'theirs',
    kind: generation,
    drivenBy: generation,
    ...referencePrograms(reference.folder),
    home,
    registry: `127.0.0.1:${rendezvous.registryEndpoint.port}`,
    beacon: `127.0.0.1:${rendezvous.beaconEndpoint.port}`,
    isPublic,
  })
  opened.push({ close: () => theirs.stop('SIGTERM') })
  await theirs.start()
  const ours = await createNode({
    transport: 'compat',
    rendezvousUrl: rendezvous.httpUrl!,
    hostname: 'ours',
    isPublic,
  })
  opened.push(ours)
  ours.listen(ECHO).onconnection = (connection) => {
    connection.readable.pipeTo(connection.writable).catch(() => {})
  }
  return { ours, theirs }
}

/** 1 MiB to their echo and back. */
async function echo({ ours, theirs }: Pair): Promise<void> {
  const data = Uint8Array.from({ length: BYTES }, (_, i) => (i * 31 + (i >> 9)) & 255)
  const connection = await ours.dial({ address: { network: 0, node: theirs.nodeId }, port: ECHO })
  const writer = connection.writable.getWriter()
  const written = writer.write(data)
  const chunks: Uint8Array[] = []
  let received = 0
  const reader = connection.readable.getReader()
  while (received < BYTES) {
    const { value, done } = await reader.read()
    if (done) break
    chunks.push(value)
    received += value.length
  }
  await written
  connection.reset()
  expect(Buffer.concat(chunks).equals(data)).toBe(true)
}

describe.each(GENERATIONS)('%s on UDP', (generation) => {
  const reference = referenceFolder(generation)
  const skipped = 'missing' in reference ? ` (skipped: ${reference.missing})` : ''

  it.skipIf(skipped !== '')(`is dialed from a WebSocket and dials one${skipped}`, async () => {
    const pair = await start(generation, true)
    const { ours, theirs } = pair
    await theirs.ctl(['handshake', `${ours.nodeId}`, 'hello'])
    await expect.poll(() => ours.trust.pending().length, { timeout: 20_000 }).toBe(1)
    await ours.trust.approve(theirs.nodeId)
    await expect.poll(() => theirs.trusted(), { timeout: 20_000 }).toContain(ours.nodeId)
    await echo(pair)
    const { results } = await theirs.ctl([
      'ping',
      formatAddress(ours.address),
      '--count',
      '2',
      '--timeout',
      '25s',
    ])
    expect(results.map((one: { error?: string }) => one.error)).toEqual([undefined, undefined])
    await theirs.ctl(['bench', formatAddress(ours.address), '1', '--timeout', '25s'])
    expect(ours.peers()).toMatchObject([{ nodeId: theirs.nodeId, path: 'relay', endpoint: '' }])
  })

  it.skipIf(skipped !== '')(
    `first dials a WebSocket that it never heard of${skipped}`,
    async () => {
      const { ours, theirs } = await start(generation, false)
      await ours.trust.request(theirs.nodeId, 'hello')
      await expect.poll(() => theirs.pending(), { timeout: 20_000 }).toContain(ours.nodeId)
      await theirs.ctl(['approve', `${ours.nodeId}`])
      expect(await ours.trust.wait(theirs.nodeId, 20_000)).toBe(true)
      // Nothing that it learned on UDP is left after a restart.
      await theirs.stop('SIGTERM')
      await theirs.start()
      const { results } = await theirs.ctl([
        'ping',
        formatAddress(ours.address),
        '--count',
        '1',
        '--timeout',
        '29s',
      ])
      expect(results[0].error).toBeUndefined()
    },
  )
})
