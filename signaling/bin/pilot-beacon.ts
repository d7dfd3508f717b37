#!/usr/bin/env node
/** `pilot-beacon`: a beacon of its own, in the place of the reference's `beacon` (spec/08 §5). */
import { InvalidArgumentError, Option } from 'commander'
import { UsageError } from '../../core/errors.ts'
import { type Endpoint, formatEndpoint } from '../../core/machine.ts'
import { VERSION } from '../../runtimes/node/version.ts'
import { parseEndpoint } from '../request-fields.ts'
import { type BeaconAlone, createBeacon } from '../serve-beacon-alone.ts'
import {
  addCommonFlags,
  type CommonFlags,
  checkAddress,
  createProgram,
  fail,
  listOf,
  parseHostPort,
  readFlags,
  untilSignal,
} from './program.ts'

const PROGRAM = 'pilot-beacon'

interface Flags extends CommonFlags {
  readonly addr: string
  readonly beaconId: number
  readonly peers?: string
  readonly health?: string
  readonly registry?: string
}

function peersOf({ peers = '' }: Flags): readonly Endpoint[] {
  return listOf(peers).map((text) => {
    const endpoint = parseEndpoint(text)
    if (endpoint === undefined)
      throw new UsageError('ERR_INVALID_ARGUMENT', `-peers: expected ip:port, got ${text}`)
    return endpoint
  })
}

async function main(args: readonly string[]): Promise<number> {
  const program = createProgram(
    PROGRAM,
    'A beacon without a registry beside it: tells nodes their public address, introduces\nthem for hole punching, and relays. Others relay to its nodes where they gossip.',
  )
    .option('--addr <host:port>', 'where it listens, UDP', ':9001')
    .addOption(
      new Option('--beacon-id <n>', 'unique among the beacons; 0 stands alone')
        .argParser(parseId)
        .default(0),
    )
    .option('--peers <list>', 'other beacons, ip:port, comma between')
    .option('--registry <host:port>', 'ask there every 30 s which others there are')
    .option('--health <host:port>', 'answer GET /healthz there')
  const examples = `Examples:
  ${PROGRAM}
  ${PROGRAM} -beacon-id 2 -registry rendezvous.example:9000 -health :8081

Pages and nodes without UDP reach the beacon of pilot-rendezvous -http only.
`
  const read = readFlags<Flags>(addCommonFlags(program, VERSION, examples), args, (given) => {
    checkAddress('-addr', given.addr)
    if (given.health) checkAddress('-health', given.health)
    if (given.registry) parseHostPort('-registry', given.registry)
    peersOf(given)
    const needsId = (given.registry ?? '') !== '' || (given.peers ?? '') !== ''
    if (needsId && given.beaconId === 0)
      throw new UsageError('ERR_INVALID_ARGUMENT', '-peers and -registry need a -beacon-id above 0')
  })
  if (typeof read === 'number') return read
  const { flags, log } = read
  const stopped = untilSignal()
  let beacon: BeaconAlone
  try {
    beacon = await createBeacon({
      address: flags.addr,
      beaconId: flags.beaconId,
      peers: peersOf(flags),
      ...(flags.registry ? { registry: parseHostPort('-registry', flags.registry) } : {}),
      ...(flags.health ? { healthAddress: flags.health } : {}),
      log,
    })
  } catch (error) {
    return fail(PROGRAM, error, error instanceof UsageError ? 2 : 1)
  }
  log.info(`${PROGRAM} ${VERSION}`)
  log.info('beacon listening', {
    udp: formatEndpoint(beacon.endpoint),
    ...(beacon.healthEndpoint && { health: formatEndpoint(beacon.healthEndpoint) }),
  })
  const signal = await stopped
  await beacon.close()
  log.info('stopped', { signal })
  return 0
}

/** For commander. @throws {InvalidArgumentError} unless it is a uint32. */
function parseId(text: string): number {
  if (!/^\d{1,10}$/.test(text) || Number(text) > 0xffffffff)
    throw new InvalidArgumentError('Expected an integer from 0 to 4294967295.')
  return Number(text)
}

process.exitCode = await main(process.argv.slice(2))
