/** What the programs of the rendezvous share: the reference's flags, a configuration file behind them, one-line errors. */
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { PilotError, UsageError } from '../../core/errors.ts'
import { type Endpoint, formatEndpoint } from '../../core/machine.ts'
import { createLog, LOG_LEVELS, type Log, type LogFormat, type LogLevel } from '../log.ts'
import { parseListenAddress } from '../serve-address.ts'
import { certificateFingerprint, selfSignedCertificate } from '../serve-certificate.ts'
import type { TlsKeyPair } from '../serve-registry.ts'
import type { StandbyOptions } from '../serve-standby.ts'
import { normaliseArguments } from './arguments.ts'

export interface CommonFlags {
  readonly config?: string
  readonly logLevel: LogLevel
  readonly logFormat: LogFormat
}

export interface TlsFlags {
  readonly tls?: boolean
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly tlsOptional?: boolean
}

export interface StandbyFlags {
  readonly standby?: string
  readonly standbyFingerprint?: string
}

export const DEFAULT_STORE: string = join('~', '.pilot', 'rendezvous.sqlite')

/** A program without flags of its own yet. */
export function createProgram(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .usage('[flags]')
    .configureHelp({ helpWidth: 80, optionDescription })
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({
      outputError: (text, write) =>
        write(oneLine(`${name}: ${text.replace(/^error: /, '')} (--help lists the flags)`)),
    })
}

/** Flags that every program has, and what stands below them. */
export function addCommonFlags(program: Command, version: string, notes: string): Command {
  return program
    .optionsGroup('Program:')
    .option('--config <file>', 'JSON file with flags as members')
    .addOption(new Option('--log-level <level>', 'least level').choices(LOG_LEVELS).default('info'))
    .addOption(
      new Option('--log-format <format>', 'text or json').choices(['text', 'json']).default('text'),
    )
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this')
    .addHelpText(
      'after',
      `
Flags take one dash or two, and "-flag value" or "-flag=value". Members of the
-config file are flag names (with - or _); flags given here win over them.

${notes}
Exit codes: 0 stopped by SIGINT or SIGTERM, 1 cannot start, 2 bad flag.`,
    )
}

export function addTlsFlags(program: Command): Command {
  return program
    .optionsGroup('Registry over TLS:')
    .option('--tls', 'speak TLS; without a certificate one is made at each start')
    .option('--tls-cert <file>', 'certificate chain, PEM')
    .option('--tls-key <file>', 'private key, PEM')
    .option(
      '--tls-optional',
      'serve clients without TLS on the same port: pilotctl and beacons know none',
    )
}

/**
 * Flags and a log, or the exit code: 0 for help and version, 2 for a bad flag, which was told. `check` throws a
 * {@link UsageError} for flags that do not fit.
 */
export function readFlags<Flags extends CommonFlags>(
  program: Command,
  args: readonly string[],
  check: (flags: Flags) => void,
): { readonly flags: Flags; readonly log: Log } | number {
  let flags: Flags
  let unknownKeys: readonly string[]
  try {
    const { booleans, valued } = flagNames(program)
    program.parse(normaliseArguments(args, valued, booleans), { from: 'user' })
    unknownKeys = applyConfig(program)
    flags = program.opts<Flags & Record<string, unknown>>()
    check(flags)
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    return fail(program.name(), error, error instanceof UsageError ? 2 : 1)
  }
  const log = createLog({
    level: flags.logLevel,
    format: flags.logFormat,
    write: (line) => process.stderr.write(`${line}\n`),
    time: () => new Date().toISOString(),
  })
  for (const key of unknownKeys) log.warn('the configuration names an unknown flag', { flag: key })
  return { flags, log }
}

/** Settles with the name of the first signal that asks for an end. */
export function untilSignal(): Promise<string> {
  return new Promise((resolve) => {
    process.once('SIGINT', resolve)
    process.once('SIGTERM', resolve)
  })
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
  const file = program.opts<{ config?: string }>().config
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
export function checkAddress(flag: string, text: string): void {
  try {
    parseListenAddress(text)
  } catch (error) {
    throw new UsageError('ERR_INVALID_ARGUMENT', `${flag}: ${(error as Error).message}`)
  }
}

/** For commander. @throws {InvalidArgumentError} unless it is an integer from 1 to a million. */
export function parsePositive(text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text) || Number(text) > 1_000_000)
    throw new InvalidArgumentError('Expected an integer from 1 to 1000000.')
  return Number(text)
}

/** @throws {UsageError} `ERR_INVALID_ARGUMENT`, naming the flag. */
export function parseHostPort(
  flag: string,
  text: string,
  what = 'host:port',
): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || port < 1 || port > 0xffff)
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      `${flag}: expected ${what}, got ${JSON.stringify(text)}`,
    )
  return { host: match[1] ?? match[2] ?? '', port }
}

export function announceRegistry(
  log: Log,
  endpoint: Endpoint,
  tls: TlsKeyPair | undefined,
  { tlsCert }: TlsFlags,
): void {
  if (tls !== undefined && tlsCert === undefined)
    log.warn('the certificate is made for this run: its fingerprint changes at every start')
  log.info('registry listening', {
    tcp: formatEndpoint(endpoint),
    ...(tls === undefined ? { tls: false } : { fingerprint: certificateFingerprint(tls.cert) }),
  })
}

export function announceStore(log: Log, storePath: string | undefined): void {
  if (storePath !== undefined) log.info('state is kept', { file: storePath })
  else log.warn('state is NOT kept: node ids, trust and hostnames are lost when this process ends')
}

/** Entries between commas. */
export function listOf(text: string): readonly string[] {
  return text
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '')
}

export function storePathOf(text: string): string | undefined {
  return text === '' || text === ':memory:' ? undefined : expandHome(text)
}

export function expandHome(path: string): string {
  return path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : path
}

/** @throws {UsageError} `ERR_INVALID_ARGUMENT` when the three flags do not make a key pair. */
export function tlsOf({ tls, tlsCert, tlsKey, tlsOptional }: TlsFlags): TlsKeyPair | undefined {
  const wrong = (why: string): UsageError => new UsageError('ERR_INVALID_ARGUMENT', why)
  if (tls !== true) {
    if (tlsOptional === true) throw wrong('-tls-optional needs -tls')
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

export function fail(program: string, error: unknown, exitCode: number): number {
  const advice =
    error instanceof PilotError && error.code === 'ERR_STORE_IO'
      ? '; name another file with -store, or none with -store :memory:'
      : ''
  const text = `${error instanceof Error ? error.message : String(error)}${advice}`
  process.stderr.write(`${program}: ${oneLine(text)}`)
  if (!(error instanceof PilotError) && error instanceof Error && process.env.PILOT_DEBUG)
    process.stderr.write(`${error.stack}\n`)
  return exitCode
}

export function oneLine(text: string): string {
  return `${text.trim().replace(/\s*\n\s*/g, ' ')}\n`
}

/** @throws {UsageError} `ERR_INVALID_ARGUMENT`, naming the flag. */
export function standbyOf(
  { standby, standbyFingerprint }: StandbyFlags,
  token: string,
): StandbyOptions | undefined {
  const wrong = (why: string): UsageError => new UsageError('ERR_INVALID_ARGUMENT', why)
  if (standby === undefined) {
    if (standbyFingerprint === undefined) return undefined
    throw wrong('-standby-fingerprint needs -standby')
  }
  const { host: address, port } = parseHostPort('-standby', standby, "the primary's host:port")
  if (token === '') throw wrong('-standby needs the -repl-token of the primary')
  const fingerprint = standbyFingerprint?.replaceAll(':', '').toLowerCase()
  if (fingerprint !== undefined && !/^[0-9a-f]{64}$/.test(fingerprint))
    throw wrong('-standby-fingerprint: expected 64 hex digits (SHA-256)')
  return {
    primary: { address, port },
    token,
    ...(fingerprint === undefined ? {} : { fingerprint }),
  }
}
