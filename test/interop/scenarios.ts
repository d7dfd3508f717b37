/** Who meets whom, and what they do. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Checks, expectEqual } from './checks.ts'
import { type Combination, combinationName, leftOut } from './combinations.ts'
import { commands, datagram } from './command-checks.ts'
import { gateway } from './gateway-checks.ts'
import { LiveNode } from './live-node.ts'
import { LiveRendezvous } from './live-rendezvous.ts'
import { nameserver } from './nameserver-checks.ts'
import { networks } from './network-checks.ts'
import { type OfficialDriver, official } from './official-driver.ts'
import type { Kind, Programs } from './programs.ts'
import type { Report } from './report.ts'
import { restartNode, restartRendezvous } from './restart-checks.ts'
import { secure } from './secure-checks.ts'
import { tasks } from './task-checks.ts'
import { bench, events, file, message, ping, story, traffic } from './traffic-checks.ts'
import { end, establish, establishCrossing, refuse } from './trust-checks.ts'

export interface Scenario {
  readonly name: string
  run(report: Report, folder: string): Promise<void>
}

export type Available = Readonly<Partial<Record<Kind, Programs>>> & {
  readonly ours: Programs
}

interface Member {
  readonly kind: Kind
  /** Whose pilotctl drives it; its own unless said otherwise. */
  readonly pilotctl?: Kind
}

/** Two nodes through everything. */
export function pair(available: Available, a: Member, b: Member, isPublic: boolean): Scenario {
  const name = `${title(a)} - ${title(b)}, ${isPublic ? 'public' : 'private'}`
  return {
    name,
    run: (report, folder) =>
      withNodes(
        available,
        name,
        report,
        folder,
        [a, b],
        isPublic,
        async (checks, rendezvous, nodes) => {
          const [first, second] = nodes as [LiveNode, LiveNode]
          await Promise.all([info(checks, first), info(checks, second)])
          if (isPublic) await find(checks, first, second)
          await establish(checks, first, second)
          await checks.quiet('handshake', nodes)
          if (!isPublic) await find(checks, first, second)
          await traffic(checks, first, second)
          await traffic(checks, second, first)
          if (b.kind === 'ours' && b.pilotctl === undefined) await datagram(checks, second, first)
          await commands(checks, first, second)
          await commands(checks, second, first)
          await end(checks, first, second)
          await refuse(checks, second, first)
          await establish(checks, second, first)
          await checks.check('ping after new trust', () => ping(first, second))
          await end(checks, second, first)
          await establishCrossing(checks, first, second)
          await checks.check('ping after crossing', () => ping(second, first))
          await checks.quiet('crossing', nodes)
          await restartNode(checks, first, second, 'SIGKILL')
          await restartNode(checks, second, first, 'SIGKILL')
          await restartNode(checks, first, second, 'SIGTERM')
          await restartNode(checks, second, first, 'SIGTERM')
          await restartRendezvous(checks, rendezvous, first, second)
          await checks.quiet('restarts', nodes)
        },
      ),
  }
}

/** One of the combinations of programs: two nodes, through the story and the services beside it. */
export function combination(
  available: Available,
  { rendezvous, a, b, pilotctl }: Combination,
): Scenario {
  const name = combinationName({ rendezvous, a, b, pilotctl })
  const without = leftOut({ rendezvous, a, b, pilotctl })
  const members = [a, b].map((kind) => ({ kind, pilotctl }))
  return {
    name,
    run: (report, folder) =>
      withNodes(
        available,
        name,
        report,
        folder,
        members,
        without.has('private nodes'),
        async (checks, _, nodes) => {
          const [first, second] = nodes as [LiveNode, LiveNode]
          await Promise.all([info(checks, first), info(checks, second)])
          await establish(checks, first, second)
          await find(checks, first, second)
          await tasks(checks, first, second)
          for (const [near, far] of [
            [first, second],
            [second, first],
          ] as const) {
            await story(checks, near, far, !without.has('bench'))
            if (!without.has('gateway')) await gateway(checks, near, far)
            if (!without.has('secure channel')) await secure(checks, near, far)
            if (far.kind === 'ours') await nameserver(checks, near, far)
          }
          if (!without.has('networks')) await networks(checks, first, second)
          if (!without.has('silence')) await checks.quiet('all', nodes)
          if (!without.has('untrust')) await end(checks, first, second)
        },
        rendezvous,
      ),
  }
}

/** The reference's client library beside one of two daemons of ours. */
export function library(available: Available, driver: OfficialDriver): Scenario {
  const name = `library of ${driver.generation} - ours`
  const members: Member[] = [{ kind: 'ours' }, { kind: 'ours' }]
  return {
    name,
    run: (report, folder) =>
      withNodes(available, name, report, folder, members, false, async (checks, _, nodes) => {
        const [first, second] = nodes as [LiveNode, LiveNode]
        await establish(checks, first, second)
        await official(checks, driver, first, second)
        await checks.quiet('library', nodes)
      }),
  }
}

/** Both generations around one of ours, at the same time. */
export function between(available: Available, isPublic: boolean): Scenario {
  const name = `G1 - ours - G2, ${isPublic ? 'public' : 'private'}`
  const members: Member[] = [{ kind: 'G1' }, { kind: 'ours' }, { kind: 'G2' }]
  return {
    name,
    run: (report, folder) =>
      withNodes(available, name, report, folder, members, isPublic, async (checks, _, nodes) => {
        const [g1, ours, g2] = nodes as [LiveNode, LiveNode, LiveNode]
        await establishCrossing(checks, g1, ours)
        await establish(checks, g2, ours)
        const both = [g1, g2]
        const ways = both.flatMap((one) => [[one, ours] as const, [ours, one] as const])
        const all = (
          what: string,
          work: (from: LiveNode, to: LiveNode) => Promise<string>,
        ): Promise<unknown> =>
          Promise.all(
            ways.map(([from, to]) =>
              checks.check(`${what} ${from.name}>${to.name} at once`, () => work(from, to)),
            ),
          )
        await all('ping', ping)
        await all('send-message', message)
        await all('send-file', file)
        await all('bench 1 MB', bench)
        await checks.quiet('all at once', nodes)
        await Promise.all([
          checks.check('event A>C through B', () => events(g2, ours, g1)),
          checks.check('event C>A through B', () => events(g1, ours, g2)),
        ])
        await restartNode(checks, ours, g1, 'SIGKILL')
        await checks.check('ping C>B after the restart', () => ping(g2, ours))
        await checks.quiet('restart', nodes)
      }),
  }
}

function title({ kind, pilotctl }: Member): string {
  return pilotctl === undefined || pilotctl === kind ? kind : `${kind} by ${pilotctl} pilotctl`
}

async function withNodes(
  available: Available,
  name: string,
  report: Report,
  folder: string,
  members: readonly Member[],
  isPublic: boolean,
  body: (checks: Checks, rendezvous: LiveRendezvous, nodes: readonly LiveNode[]) => Promise<void>,
  rendezvousKind: Kind = 'ours',
): Promise<void> {
  const checks = new Checks(report, name)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const rendezvous = await LiveRendezvous.create(
    rendezvousKind,
    available[rendezvousKind]!.rendezvous,
    folder,
  )
  const nodes = members.map(({ kind, pilotctl }, i) => {
    const letter = 'ABC'.charAt(i)
    return new LiveNode({
      name: letter,
      hostname: `node-${letter.toLowerCase()}`,
      kind,
      daemon: available[kind]!.daemon,
      drivenBy: pilotctl ?? kind,
      pilotctl: available[pilotctl ?? kind]!.pilotctl,
      home: join(folder, letter),
      registry: rendezvous.registry,
      beacon: rendezvous.beacon,
      isPublic,
    })
  })
  try {
    await Promise.all(
      nodes.map((node) =>
        checks.require(`start ${node.name} (${node.kind})`, async () => {
          await node.start()
          return node.address
        }),
      ),
    )
    await body(checks, rendezvous, nodes)
  } catch (error) {
    // The check that failed is in the report; what follows it is not worth a try.
    await checks.check('rest of the scenario', () => Promise.reject(error))
  } finally {
    await Promise.all(nodes.map((node) => node.stop('SIGKILL')))
    await rendezvous.stop('SIGKILL')
  }
}

function info(checks: Checks, node: LiveNode): Promise<boolean> {
  return checks.check(`info ${node.name}`, async () => {
    const data = await node.ctl(['info'])
    expectEqual(data.hostname, node.hostname, 'hostname')
    expectEqual(data.encrypt, true, 'encrypt')
    expectEqual(typeof data.public_key, 'string', 'public_key')
    return data.address
  })
}

async function find(checks: Checks, a: LiveNode, b: LiveNode): Promise<void> {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const)
    await checks.check(`find ${from.name}>${to.name}`, async () => {
      const data = await from.ctl(['find', to.hostname])
      expectEqual(data.address, to.address, 'address')
      expectEqual(data.node_id, to.nodeId, 'node_id')
      expectEqual(data.public, to.isPublic, 'public')
    })
}
