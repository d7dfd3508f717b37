/** Daemons of ours and of the reference under the same commands of pilotctl, each kind with a rendezvous of its own. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Json, LiveNode } from '../interop/live-node.ts'
import { LiveRendezvous } from '../interop/live-rendezvous.ts'
import {
  type Kind,
  ourPrograms,
  type Programs,
  referenceFolder,
  referencePrograms,
} from '../interop/programs.ts'
import type { Figures } from './channel.ts'
import { quantile } from './report/statistics.ts'

/** The reference's command line sends no file that does not fit one frame of the local socket. */
const FILE_BYTES = 300_000
const PINGS = 10
const TIMEOUT_MS = 60_000

/** The programs, or why there are none. */
export function programsOf(kind: Kind): Programs | string {
  if (kind === 'ours') return ourPrograms()
  const reference = referenceFolder(kind)
  return 'folder' in reference ? referencePrograms(reference.folder) : reference.missing
}

/** What cannot be done is left out: the reference's bench does not end on every run. */
export async function measureCommands(kind: Kind, say: (text: string) => void): Promise<Figures> {
  const programs = programsOf(kind)
  if (typeof programs === 'string') throw new Error(programs)
  const home = mkdtempSync(join(tmpdir(), 'pilot-bench-'))
  const nodes: LiveNode[] = []
  let rendezvous: LiveRendezvous | undefined
  try {
    rendezvous = await LiveRendezvous.create(kind, programs.rendezvous, home)
    for (const name of ['a', 'b'] as const) {
      const folder = join(home, name)
      mkdirSync(folder)
      const node = new LiveNode({
        name,
        hostname: `bench-${name}`,
        kind,
        daemon: programs.daemon,
        drivenBy: kind,
        pilotctl: programs.pilotctl,
        home: folder,
        registry: rendezvous.registry,
        beacon: rendezvous.beacon,
        isPublic: true,
      })
      nodes.push(node)
      await node.start()
    }
    return await measure(nodes[0]!, nodes[1]!, join(home, 'file.bin'), say)
  } finally {
    for (const node of nodes) await node.stop('SIGTERM')
    await rendezvous?.stop('SIGTERM')
    rmSync(home, { recursive: true, force: true })
  }
}

async function measure(
  from: LiveNode,
  to: LiveNode,
  path: string,
  say: (text: string) => void,
): Promise<Figures> {
  const figures: Figures = {}
  const attempt = async (name: string, work: () => Promise<number>): Promise<void> => {
    try {
      figures[name] = await work()
    } catch (error) {
      say(`  ${name}: ${(error as Error).message}`)
    }
  }
  writeFileSync(path, randomBytes(FILE_BYTES))
  await attempt('pingMs', async () => {
    const reply = await from.ctl(['ping', to.address, '--count', `${PINGS}`], TIMEOUT_MS)
    const times = (reply.results as Json[]).flatMap(({ rtt_ms }) => rtt_ms ?? [])
    return quantile(times, 0.5)
  })
  await attempt('fileMs', async () => {
    const started = performance.now()
    await from.ctl(['send-file', to.address, path], TIMEOUT_MS)
    return performance.now() - started
  })
  await attempt('echoedMbits', async () => {
    const { total_mbps } = await from.ctl(['bench', to.address, '1'], TIMEOUT_MS)
    // MiB/s, whatever the reference calls it.
    return (total_mbps as number) * 8 * 1.048_576
  })
  return figures
}
