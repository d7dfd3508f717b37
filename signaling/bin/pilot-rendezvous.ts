#!/usr/bin/env node
/** `pilot-rendezvous`: registry, beacon and status page in one process (spec/08 §5). */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { PilotError, UsageError } from '../../core/errors.ts'
import { formatEndpoint } from '../../core/machine.ts'
import { createLog, LOG_LEVELS, type Log, type LogFormat, type LogLevel } from '../log.ts'
import { parseListenAddress } from '../serve-address.ts'
import { certificateFingerprint, selfSignedCertificate } from '../serve-certificate.ts'
import { createRendezvous, type Rendezvous } from '../serve-node.ts'
import type { TlsKeyPair } from '../serve-registry.ts'
import { exportSnapshot, importSnapshot } from '../serve-snapshot.ts'
import type { StandbyOptions } from '../serve-standby.ts'
import { normaliseArguments } from './arguments.ts'

const PROGRAM = 'pilot-rendezvous'
const DEFAULT_STORE = join('~', '.pilot', 'rendezvous.sqlite')

interface Flags {
  registryAddr: string
  beaconAddr: string
  http?: string
  origins?: string
  trustedProxies?: string
  store: string
  tls?: boolean
  tlsCert?: string
  tlsKey?: string
  registrationsPerMinute: number
  ownerRecovery?: boolean
  trustLocalBeacons?: boolean
  adminToken?: string
  importSnapshot?: string
  exportSnapshot?: string
  replToken?: string
  standby?: string
  standbyFingerprint?: string
  config?: string
  logLevel: LogLevel
  logFormat: LogFormat
}

function command(version: string): Command {
  return new Command(PROGRAM)
    .description(
      'Where the nodes of a Pilot network find each other: the registry (TCP), the\nbeacon (UDP), and on request a status page, the console and WebSockets (HTTP).',
    )
    .usage('[flags]')
    .configureHelp({ helpWidth: 80, optionDescription })
    .optionsGroup('Places:')
    .option('--registry-addr <host:port>', 'registry, TCP', ':9000')
    .option('--beacon-addr <host:port>', 'beacon, UDP', ':9001')
    .option(
      '--http <host:port>',
      'status page, /console/ (a node in a page), /api/stats, /healthz, /metrics, and WebSockets for nodes without UDP',
    )
    .option('--store <file>', 'SQLite file of the state; :memory: keeps nothing', DEFAULT_STORE)
    .optionsGroup('Registry over TLS:')
    .option('--tls', 'speak TLS; without a certificate one is made at each start')
    .option('--tls-cert <file>', 'certificate chain, PEM')
    .option('--tls-key <file>', 'private key, PEM')
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
    .optionsGroup('Program:')
    .option('--config <file>', 'JSON file with flags as members')
    .addOption(new Option('--log-level <level>', 'least level').choices(LOG_LEVELS).default('info'))
    .addOption(
      new Option('--log-format <format>', 'text or json').choices(['text', 'json']).default('text'),
    )
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this')
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({
      outputError: (text, write) =>
        write(oneLine(`${PROGRAM}: ${text.replace(/^error: /, '')} (--help lists the flags)`)),
    })
    .addHelpText(
      'after',
      `
Flags take one dash or two, and "-flag value" or "-flag=value". Members of the
-config file are flag names (with - or _); flags given here win over them.

Examples:
  ${PROGRAM}
  ${PROGRAM} -http 127.0.0.1:8080
  ${PROGRAM} -registry-addr :7000 -beacon-addr :7001 -store :memory:
  ${PROGRAM} -tls -tls-cert cert.pem -tls-key key.pem

Exit codes: 0 stopped by SIGINT or SIGTERM, 1 cannot start, 2 bad flag.`,
    )
}

/** Choices stand in the descriptions where they matter. */
function optionDescription({ description, defaultValue, argChoices }: Option): string {
  const choices = argChoices?.join(', ')
  const text =
    choices === undefined || description === 'text or json'
      ? description
      : `${description}: ${choices}`
  return defaultValue === undefined ? text : `${text} (default: ${defaultValue})`
}

async function main(args: readonly string[]): Promise<number> {
  const { version } = createRequire(import.meta.url)('pilot-ts/package.json') as { version: string }
  const program = command(version)
  let flags: Flags
  let unknownKeys: readonly string[]
  try {
    const { booleans, valued } = flagNames(program)
    program.parse(normaliseArguments(args, valued, booleans), { from: 'user' })
    unknownKeys = applyConfig(program)
    flags = program.opts<Flags>()
    checkAddress('-registry-addr', flags.registryAddr)
    checkAddress('-beacon-addr', flags.beaconAddr)
    if (flags.http !== undefined && flags.http !== '') checkAddress('-http', flags.http)
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    return fail(error, error instanceof UsageError ? 2 : 1)
  }
  const log = createLog({
    level: flags.logLevel,
    format: flags.logFormat,
    write: (line) => process.stderr.write(`${line}\n`),
    time: () => new Date().toISOString(),
  })
  for (const key of unknownKeys) log.warn('the configuration names an unknown flag', { flag: key })

  if (flags.importSnapshot !== undefined || flags.exportSnapshot !== undefined)
    return convert(log, flags)

  // From here on, also while starting, a signal means a clean stop.
  const stopped = new Promise<string>((resolve) => {
    process.once('SIGINT', resolve)
    process.once('SIGTERM', resolve)
  })
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
      ...(tls === undefined ? {} : { tls }),
      limits: { registrationsPerMinute: flags.registrationsPerMinute },
      allowOwnerRecovery: flags.ownerRecovery === true,
      trustLocalBeacons: flags.trustLocalBeacons === true,
      ...(adminToken === '' ? {} : { adminToken }),
      ...(replicationToken === '' ? {} : { replicationToken }),
      ...(standby === undefined ? {} : { standby }),
      log,
    })
  } catch (error) {
    return fail(error, error instanceof UsageError ? 2 : 1)
  }
  if (tls !== undefined && flags.tlsCert === undefined)
    log.warn('the certificate is made for this run: its fingerprint changes at every start')
  announce(log, rendezvous, version, storePath, tls)

  const signal = await stopped
  try {
    await rendezvous.close()
  } catch (error) {
    return fail(error, 1)
  }
  log.info('stopped', { signal })
  return 0
}

/** @throws {UsageError} `ERR_INVALID_ARGUMENT`, naming the flag. */
function standbyOf(
  { standby, standbyFingerprint }: Flags,
  token: string,
): StandbyOptions | undefined {
  const wrong = (why: string): UsageError => new UsageError('ERR_INVALID_ARGUMENT', why)
  if (standby === undefined) {
    if (standbyFingerprint === undefined) return undefined
    throw wrong('-standby-fingerprint needs -standby')
  }
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(standby)
  const port = Number(match?.[3])
  if (match === null || port < 1 || port > 0xffff)
    throw wrong(`-standby: expected the primary's host:port, got ${JSON.stringify(standby)}`)
  if (token === '') throw wrong('-standby needs the -repl-token of the primary')
  const fingerprint = standbyFingerprint?.replaceAll(':', '').toLowerCase()
  if (fingerprint !== undefined && !/^[0-9a-f]{64}$/.test(fingerprint))
    throw wrong('-standby-fingerprint: expected 64 hex digits (SHA-256)')
  const primary = { address: match[1] ?? match[2] ?? '', port }
  return { primary, token, ...(fingerprint === undefined ? {} : { fingerprint }) }
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
    return fail(error, error instanceof UsageError ? 2 : 1)
  }
}

function announce(
  log: Log,
  { registryEndpoint, beaconEndpoint, httpUrl, consoleUrl }: Rendezvous,
  version: string,
  storePath: string | undefined,
  tls: TlsKeyPair | undefined,
): void {
  log.info(`${PROGRAM} ${version}`)
  log.info('registry listening', {
    tcp: formatEndpoint(registryEndpoint),
    ...(tls === undefined ? { tls: false } : { fingerprint: certificateFingerprint(tls.cert) }),
  })
  log.info('beacon listening', { udp: formatEndpoint(beaconEndpoint) })
  if (httpUrl !== undefined) {
    log.info('status page', { url: httpUrl })
    if (consoleUrl !== undefined) log.info('console, a node in a page', { url: consoleUrl })
    log.info('relay for nodes without UDP', { url: httpUrl.replace(/^http/, 'ws') })
  }
  if (storePath !== undefined) log.info('state is kept', { file: storePath })
  else log.warn('state is NOT kept: node ids, trust and hostnames are lost when this process ends')
}

function flagNames(program: Command): {
  readonly booleans: ReadonlySet<string>
  readonly valued: ReadonlySet<string>
} {
  const names = (takesValue: boolean): ReadonlySet<string> =>
    new Set(
      program.options
        .filter((option) => option.required === takesValue)
        .map((option) => option.name()),
    )
  return { booleans: names(false), valued: names(true) }
}

/**
 * Sets what the configuration names and the command line does not; gives back the keys that are no flags.
 *
 * @throws {UsageError} `ERR_INVALID_ARGUMENT` when the file cannot be read or a value does not fit.
 */
function applyConfig(program: Command): readonly string[] {
  const file = program.opts<Flags>().config
  if (file === undefined) return []
  const bad = (why: string): UsageError =>
    new UsageError('ERR_INVALID_ARGUMENT', `configuration ${file}: ${why}`)
  let config: unknown
  try {
    config = JSON.parse(readFileSync(expandHome(file), 'utf8'))
  } catch (error) {
    throw bad(error instanceof Error ? error.message : String(error))
  }
  if (typeof config !== 'object' || config === null || Array.isArray(config))
    throw bad('expected a JSON object of flags')
  const unknown: string[] = []
  for (const [key, value] of Object.entries(config)) {
    const option = program.options.find((one) => one.name() === key.replaceAll('_', '-'))
    if (option === undefined || ['config', 'version'].includes(option.name())) {
      unknown.push(key)
      continue
    }
    const name = option.attributeName()
    if (program.getOptionValueSource(name) === 'cli') continue
    if (!['string', 'number', 'boolean'].includes(typeof value))
      throw bad(`${key} must be a string, a number or a boolean`)
    const text = String(value)
    if (!option.required) {
      if (text !== 'true' && text !== 'false') throw bad(`${key} must be true or false`)
      program.setOptionValueWithSource(name, text === 'true', 'config')
    } else if (option.argChoices !== undefined && !option.argChoices.includes(text))
      throw bad(`${key} must be one of ${option.argChoices.join(', ')}`)
    else {
      try {
        program.setOptionValueWithSource(name, option.parseArg?.(text, undefined) ?? text, 'config')
      } catch (error) {
        throw bad(`${key}: ${(error as Error).message}`)
      }
    }
  }
  return unknown
}

/** @throws {UsageError} `ERR_INVALID_ARGUMENT`, naming the flag. */
function checkAddress(flag: string, text: string): void {
  try {
    parseListenAddress(text)
  } catch (error) {
    throw new UsageError('ERR_INVALID_ARGUMENT', `${flag}: ${(error as Error).message}`)
  }
}

/** For commander. @throws {InvalidArgumentError} unless it is an integer from 1 to a million. */
function parsePositive(text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text) || Number(text) > 1_000_000)
    throw new InvalidArgumentError('Expected an integer from 1 to 1000000.')
  return Number(text)
}

/** Entries between commas. */
function listOf(text: string): readonly string[] {
  return text
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '')
}

function storePathOf(text: string): string | undefined {
  return text === '' || text === ':memory:' ? undefined : expandHome(text)
}

function expandHome(path: string): string {
  return path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : path
}

/** @throws {UsageError} `ERR_INVALID_ARGUMENT` when the three flags do not make a key pair. */
function tlsOf({ tls, tlsCert, tlsKey }: Flags): TlsKeyPair | undefined {
  const wrong = (why: string): UsageError => new UsageError('ERR_INVALID_ARGUMENT', why)
  if (tls !== true) {
    if (tlsCert === undefined && tlsKey === undefined) return undefined
    throw wrong('-tls-cert and -tls-key need -tls; without it the registry would not use them')
  }
  if (tlsCert === undefined && tlsKey === undefined) return selfSignedCertificate(Date.now())
  if (tlsCert === undefined || tlsKey === undefined)
    throw wrong(
      '-tls-cert and -tls-key belong together: name both, or none for a certificate made here',
    )
  const read = (flag: string, path: string): string => {
    try {
      return readFileSync(expandHome(path), 'utf8')
    } catch (error) {
      throw wrong(`${flag}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  const pair = { cert: read('-tls-cert', tlsCert), key: read('-tls-key', tlsKey) }
  try {
    createSecureContext(pair)
    certificateFingerprint(pair.cert)
  } catch (error) {
    throw wrong(
      `-tls-cert and -tls-key: ${error instanceof Error ? error.message : String(error)} (expected PEM files of one key pair)`,
    )
  }
  return pair
}

function fail(error: unknown, exitCode: number): number {
  const advice =
    error instanceof PilotError && error.code === 'ERR_STORE_IO'
      ? '; name another file with -store, or none with -store :memory:'
      : ''
  const text = `${error instanceof Error ? error.message : String(error)}${advice}`
  process.stderr.write(`${PROGRAM}: ${oneLine(text)}`)
  if (!(error instanceof PilotError) && error instanceof Error && process.env.PILOT_DEBUG)
    process.stderr.write(`${error.stack}\n`)
  return exitCode
}

function oneLine(text: string): string {
  return `${text.trim().replace(/\s*\n\s*/g, ' ')}\n`
}

process.exitCode = await main(process.argv.slice(2))
