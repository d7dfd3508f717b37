#!/usr/bin/env node
/** `pilot-registry`: a registry of its own, in the place of the reference's `registry` (spec/08 §5). */
import { UsageError } from '../../core/errors.ts'
import { formatEndpoint } from '../../core/machine.ts'
import { VERSION } from '../../runtimes/node/version.ts'
import { parseEndpoint } from '../request-fields.ts'
import { createRendezvous, type Rendezvous } from '../serve-node.ts'
import {
  addCommonFlags,
  addTlsFlags,
  announceRegistry,
  announceStore,
  type CommonFlags,
  checkAddress,
  createProgram,
  DEFAULT_STORE,
  fail,
  readFlags,
  storePathOf,
  type TlsFlags,
  tlsOf,
  untilSignal,
} from './program.ts'

const PROGRAM = 'pilot-registry'
const BEACON_PORT = 9001

interface Flags extends CommonFlags, TlsFlags {
  readonly addr: string
  readonly beacon?: string
  readonly store: string
  readonly adminToken?: string
}

async function main(args: readonly string[]): Promise<number> {
  const program = createProgram(
    PROGRAM,
    'A registry without a beacon beside it (pilot-rendezvous has both): where the nodes\nof a Pilot network register and find each other.',
  )
    .option('--addr <host:port>', 'where it listens, TCP', ':9000')
    .option(
      '--beacon <ip:port>',
      'the beacon that nodes are told of (default: the address they came to, port 9001)',
    )
    .option('--store <file>', 'SQLite file of the state; :memory: keeps nothing', DEFAULT_STORE)
    .option('--admin-token <text>', 'opens networks to who knows it; better in PILOT_ADMIN_TOKEN')
  addTlsFlags(program)
  const examples = `Examples:
  ${PROGRAM} -beacon 203.0.113.7:9001
  ${PROGRAM} -tls -tls-cert cert.pem -tls-key key.pem

pilot-rendezvous -import-snapshot takes over the state file of a Go registry.
`
  const read = readFlags<Flags>(addCommonFlags(program, VERSION, examples), args, (given) => {
    checkAddress('-addr', given.addr)
    if (given.beacon && parseEndpoint(given.beacon) === undefined)
      throw new UsageError(
        'ERR_INVALID_ARGUMENT',
        `-beacon: expected ip:port, got ${JSON.stringify(given.beacon)}`,
      )
  })
  if (typeof read === 'number') return read
  const { flags, log } = read
  const stopped = untilSignal()
  const storePath = storePathOf(flags.store)
  const adminToken = flags.adminToken ?? process.env.PILOT_ADMIN_TOKEN ?? ''
  let registry: Rendezvous
  try {
    const tls = tlsOf(flags)
    registry = await createRendezvous({
      registryAddress: flags.addr,
      beaconAddress: `:${BEACON_PORT}`,
      beaconElsewhere: parseEndpoint(flags.beacon ?? '') ?? { address: '::', port: BEACON_PORT },
      ...(storePath === undefined ? {} : { storePath }),
      ...(tls === undefined ? {} : { tls, plainToo: flags.tlsOptional === true }),
      ...(adminToken === '' ? {} : { adminToken }),
      log,
    })
    log.info(`${PROGRAM} ${VERSION}`)
    announceRegistry(log, registry.registryEndpoint, tls, flags)
  } catch (error) {
    return fail(PROGRAM, error, error instanceof UsageError ? 2 : 1)
  }
  const { beaconEndpoint } = registry
  log.info('nodes are told of a beacon', {
    udp: flags.beacon ? formatEndpoint(beaconEndpoint) : `port ${BEACON_PORT} beside the registry`,
  })
  announceStore(log, storePath)
  const signal = await stopped
  try {
    await registry.close()
  } catch (error) {
    return fail(PROGRAM, error, 1)
  }
  log.info('stopped', { signal })
  return 0
}

process.exitCode = await main(process.argv.slice(2))
