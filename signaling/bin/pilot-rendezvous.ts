#!/usr/bin/env node
/** `pilot-rendezvous`: registry, beacon and status page in one process (spec/08 §5). */
import { type Command, Option } from 'commander'
import { UsageError } from '../../core/errors.ts'
import { formatEndpoint } from '../../core/machine.ts'
import { VERSION } from '../../runtimes/node/version.ts'
import type { Log } from '../log.ts'
import { createRendezvous, type Rendezvous } from '../serve-node.ts'
import type { TlsKeyPair } from '../serve-registry.ts'
import { exportSnapshot, importSnapshot } from '../serve-snapshot.ts'
import {
  addCommonFlags,
  addTlsFlags,
  announceRegistry,
  announceStore,
  type CommonFlags,
  checkAddress,
  createProgram,
  DEFAULT_STORE,
  expandHome,
  fail,
  listOf,
  parsePositive,
  readFlags,
  standbyOf,
  storePathOf,
  type TlsFlags,
  tlsOf,
  untilSignal,
} from './program.ts'

const PROGRAM = 'pilot-rendezvous'

interface Flags extends CommonFlags, TlsFlags {
  registryAddr: string
  beaconAddr: string
  http?: string
  origins?: string
  trustedProxies?: string
  store: string
  registrationsPerMinute: number
  ownerRecovery?: boolean
  trustLocalBeacons?: boolean
  adminToken?: string
  importSnapshot?: string
  exportSnapshot?: string
  replToken?: string
  standby?: string
  standbyFingerprint?: string
}

function command(): Command {
  const program = createProgram(
    PROGRAM,
    'Where the nodes of a Pilot network find each other: the registry (TCP), the\nbeacon (UDP), and on request a status page, the console and WebSockets (HTTP).',
  )
    .optionsGroup('Places:')
    .option('--registry-addr <host:port>', 'registry, TCP', ':9000')
    .option('--beacon-addr <host:port>', 'beacon, UDP', ':9001')
    .option(
      '--http <host:port>',
      'status page, /console/ (a node in a page), /api/stats, /healthz, /metrics, and WebSockets for nodes without UDP',
    )
    .option('--store <file>', 'SQLite file of the state; :memory: keeps nothing', DEFAULT_STORE)
  addTlsFlags(program)
  program
    .optionsGroup('Who may what:')
    .addOption(
      new Option('--registrations-per-minute <n>', 'new registrations per source IP')
        .argParser(parsePositive)
        .default(10),
    )
    .option('--owner-recovery', 'a new key with the owner text of an offline node takes its id')
    .option(
      '--admin-token <text>',
      'opens networks, policies and the audit log to who knows it; better in the -config file or in PILOT_ADMIN_TOKEN than here, where every user of the machine sees it',
    )
    .option('--trust-local-beacons', 'beacons on loopback and private addresses may announce any')
    .option('--origins <list>', 'pages that may open WebSockets, comma between (default: any)')
    .option(
      '--trusted-proxies <list>',
      'addresses and blocks of reverse proxies whose X-Forwarded-For is believed',
    )
    .optionsGroup('Hot standby:')
    .option('--repl-token <text>', 'what standbys say to follow; also in PILOT_REPL_TOKEN')
    .option(
      '--standby <host:port>',
      'follows this primary: answers questions, takes no changes. To take over, start it again without this, on the same -store',
    )
    .option('--standby-fingerprint <hex>', 'the primary speaks TLS: SHA-256 of its certificate')
    .optionsGroup('State of a Go registry (JSON), then end:')
    .option('--import-snapshot <file>', 'fills an empty -store with it')
    .option('--export-snapshot <file>', 'writes it from the -store')
  return addCommonFlags(
    program,
    VERSION,
    `Examples:
  ${PROGRAM}
  ${PROGRAM} -http 127.0.0.1:8080
  ${PROGRAM} -registry-addr :7000 -beacon-addr :7001 -store :memory:
  ${PROGRAM} -tls -tls-cert cert.pem -tls-key key.pem
`,
  )
}

async function main(args: readonly string[]): Promise<number> {
  const read = readFlags<Flags>(command(), args, (given) => {
    checkAddress('-registry-addr', given.registryAddr)
    checkAddress('-beacon-addr', given.beaconAddr)
    if (given.http !== undefined && given.http !== '') checkAddress('-http', given.http)
  })
  if (typeof read === 'number') return read
  const { flags, log } = read

  if (flags.importSnapshot !== undefined || flags.exportSnapshot !== undefined)
    return convert(log, flags)

  // From here on, also while starting, a signal means a clean stop.
  const stopped = untilSignal()
  let rendezvous: Rendezvous
  const storePath = storePathOf(flags.store)
  let tls: TlsKeyPair | undefined
  const replicationToken = flags.replToken ?? process.env.PILOT_REPL_TOKEN ?? ''
  const adminToken = flags.adminToken ?? process.env.PILOT_ADMIN_TOKEN ?? ''
  try {
    tls = tlsOf(flags)
    const standby = standbyOf(flags, replicationToken)
    rendezvous = await createRendezvous({
      registryAddress: flags.registryAddr,
      beaconAddress: flags.beaconAddr,
      ...(flags.http === undefined || flags.http === '' ? {} : { httpAddress: flags.http }),
      ...(flags.origins === undefined ? {} : { origins: listOf(flags.origins) }),
      ...(flags.trustedProxies === undefined
        ? {}
        : { trustedProxies: listOf(flags.trustedProxies) }),
      ...(storePath === undefined ? {} : { storePath }),
      ...(tls === undefined ? {} : { tls, plainToo: flags.tlsOptional === true }),
      limits: { registrationsPerMinute: flags.registrationsPerMinute },
      allowOwnerRecovery: flags.ownerRecovery === true,
      trustLocalBeacons: flags.trustLocalBeacons === true,
      ...(adminToken === '' ? {} : { adminToken }),
      ...(replicationToken === '' ? {} : { replicationToken }),
      ...(standby === undefined ? {} : { standby }),
      log,
    })
  } catch (error) {
    return fail(PROGRAM, error, error instanceof UsageError ? 2 : 1)
  }
  announce(log, rendezvous, storePath, tls, flags)

  const signal = await stopped
  try {
    await rendezvous.close()
  } catch (error) {
    return fail(PROGRAM, error, 1)
  }
  log.info('stopped', { signal })
  return 0
}

/** One of the two ways between our store and a reference's state file. */
function convert(log: Log, { store, importSnapshot: from, exportSnapshot: to }: Flags): number {
  const storePath = storePathOf(store)
  const unixSeconds = Math.floor(Date.now() / 1000)
  try {
    if (storePath === undefined || (from === undefined) === (to === undefined))
      throw new UsageError(
        'ERR_INVALID_ARGUMENT',
        'one of -import-snapshot and -export-snapshot, and a -store that is a file',
      )
    if (from !== undefined) {
      const { notes, ...counts } = importSnapshot(expandHome(from), storePath, unixSeconds)
      for (const note of notes) log.warn(note)
      log.info('snapshot imported', { ...counts, store: storePath })
    } else {
      const counts = exportSnapshot(storePath, expandHome(to ?? ''), unixSeconds)
      log.info('snapshot exported', { ...counts, file: expandHome(to ?? '') })
    }
    return 0
  } catch (error) {
    return fail(PROGRAM, error, error instanceof UsageError ? 2 : 1)
  }
}

function announce(
  log: Log,
  { registryEndpoint, beaconEndpoint, httpUrl, consoleUrl }: Rendezvous,
  storePath: string | undefined,
  tls: TlsKeyPair | undefined,
  flags: Flags,
): void {
  log.info(`${PROGRAM} ${VERSION}`)
  announceRegistry(log, registryEndpoint, tls, flags)
  log.info('beacon listening', { udp: formatEndpoint(beaconEndpoint) })
  if (httpUrl !== undefined) {
    log.info('status page', { url: httpUrl })
    if (consoleUrl !== undefined) log.info('console, a node in a page', { url: consoleUrl })
    log.info('relay for nodes without UDP', { url: httpUrl.replace(/^http/, 'ws') })
  }
  announceStore(log, storePath)
}

process.exitCode = await main(process.argv.slice(2))
