/**
 * The nameserver's text, port 53 (spec/07 §2): one request and one reply per stream, without terminators. Requests
 * are parsed by the server, replies by the client.
 */
import { UsageError, WireError } from '../errors.ts'
import { type Address, parseAddress } from '../wire/address.ts'

/** Address of a name, number of a network's name, providers of a port on a network. */
export type NameRequest =
  | { readonly type: 'query-address' | 'query-network'; readonly name: string }
  | { readonly type: 'query-services'; readonly network: number; readonly port: number }
  | { readonly type: 'register-address'; readonly name: string; readonly address: string }
  | { readonly type: 'register-network'; readonly name: string; readonly network: number }
  | {
      readonly type: 'register-service'
      readonly name: string
      readonly address: string
      readonly network: number
      readonly port: number
    }

export interface NamedService {
  readonly name: string
  readonly address: Address
  readonly port: number
}

export type NameReply =
  | { readonly type: 'ok' }
  | { readonly type: 'error'; readonly reason: string }
  /** `address` as it stands there, which may be none. */
  | { readonly type: 'address'; readonly name: string; readonly address: string }
  | { readonly type: 'network'; readonly name: string; readonly network: number }
  | { readonly type: 'services'; readonly services: readonly NamedService[] }

/** Longest name, as the newest nameserver has it. */
export const NAME_BYTES_MAX = 253
/** Every valid request is far below; it fits any generation's segment. */
export const NAME_REQUEST_BYTES_MAX = 1024

/** @throws {UsageError} `ERR_INVALID_ARGUMENT` for a name that is empty, has white space or passes 253 bytes. */
export function formatNameRequest(request: NameRequest): string {
  if (request.type !== 'query-services' && !isName(request.name))
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      `a name has 1 to ${NAME_BYTES_MAX} bytes and no white space, got ${JSON.stringify(request.name)}`,
    )
  switch (request.type) {
    case 'query-address':
      return `QUERY A ${request.name}`
    case 'query-network':
      return `QUERY N ${request.name}`
    case 'query-services':
      return `QUERY S ${request.network} ${request.port}`
    case 'register-address':
      return `REGISTER A ${request.name} ${request.address}`
    case 'register-network':
      return `REGISTER N ${request.name} ${request.network}`
    case 'register-service':
      return `REGISTER S ${request.name} ${request.address} ${request.network} ${request.port}`
  }
}

/** @throws {WireError} `ERR_WIRE_VALUE`; the message is what the reference answers behind `ERR `. */
export function parseNameRequest(text: string): NameRequest {
  const fields = fieldsOf(text)
  if (fields.length < 2) throw refusal('too few fields')
  const [command, type] = [fields[0]!.toUpperCase(), fields[1]!.toUpperCase()]
  if (command !== 'QUERY' && command !== 'REGISTER') throw refusal(`unknown command: ${command}`)
  const need = USAGE[`${command} ${type}`]
  if (need === undefined) throw refusal(`unknown record type: ${type}`)
  const [a = '', b = '', c = '', d = ''] = fields.slice(2)
  if (fields.length - 2 < need.length)
    throw refusal(`${command} ${type} requires ${need.map((one) => `<${one}>`).join(' ')}`)
  const name = (): string => {
    const bytes = byteLength(a)
    if (bytes > NAME_BYTES_MAX)
      throw refusal(`name too long: ${bytes} bytes (max ${NAME_BYTES_MAX})`)
    return a
  }
  switch (`${command} ${type}`) {
    case 'QUERY A':
      return { type: 'query-address', name: name() }
    case 'QUERY N':
      return { type: 'query-network', name: name() }
    case 'QUERY S':
      return { type: 'query-services', network: uint16(a, 'net_id'), port: uint16(b, 'port') }
    case 'REGISTER A':
      return { type: 'register-address', name: name(), address: b }
    case 'REGISTER N':
      return { type: 'register-network', name: name(), network: uint16(b, 'net_id') }
    default: {
      const [network, port] = [uint16(c, 'net_id'), uint16(d, 'port')]
      return { type: 'register-service', name: name(), address: b, network, port }
    }
  }
}

const USAGE: Readonly<Record<string, readonly string[]>> = {
  'QUERY A': ['name'],
  'QUERY N': ['name'],
  'QUERY S': ['net_id', 'port'],
  'REGISTER A': ['name', 'address'],
  'REGISTER N': ['name', 'net_id'],
  'REGISTER S': ['name', 'address', 'net_id', 'port'],
}

/** @throws {WireError} `ERR_WIRE_VALUE`. Lines of services that make no sense are left out. */
export function parseNameReply(text: string): NameReply {
  const lines = trimmed(text).split('\n')
  const first = trimmed(lines[0] ?? '')
  if (first === '') throw refusal('empty response line')
  if (first === 'OK') return { type: 'ok' }
  if (first === 'ERR' || first.startsWith('ERR '))
    return { type: 'error', reason: first.slice(4) || 'ERR' }
  const [type, name = '', value = ''] = fieldsOf(first)
  switch (type) {
    case 'A':
      if (value === '') throw refusal('invalid A response')
      return { type: 'address', name, address: value }
    case 'N':
      if (value === '') throw refusal('invalid N response')
      return { type: 'network', name, network: uint16(value, 'net_id') }
    case 'S':
      return { type: 'services', services: lines.flatMap(serviceOf) }
    default:
      throw refusal(`unknown response type: ${type}`)
  }
}

function serviceOf(line: string): NamedService[] {
  const [type, name = '', address = '', port = ''] = fieldsOf(line)
  if (type !== 'S' || port === '') return []
  try {
    return [{ name, address: parseAddress(address), port: uint16(port, 'port') }]
  } catch {
    // Deviation: the reference makes address and port up, as 0 or 65535.
    return []
  }
}

/** As `strings.Fields` cuts: U+0085 is white space to it, U+FEFF is none. */
function fieldsOf(text: string): string[] {
  return text.split(SPACE).filter((field) => field !== '')
}

function trimmed(text: string): string {
  return text.replace(SPACE_AROUND, '')
}

const SPACE = /[\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/u
const SPACE_AROUND = new RegExp(`^${SPACE.source}|${SPACE.source}$`, 'gu')

function isName(name: string): boolean {
  return name !== '' && fieldsOf(name).join('') === name && byteLength(name) <= NAME_BYTES_MAX
}

/** Texts as the reference's number parser has them. */
function uint16(text: string, what: string): number {
  const said = `invalid ${what}: strconv.ParseUint: parsing ${JSON.stringify(text)}`
  if (!/^[0-9]+$/.test(text)) throw refusal(`${said}: invalid syntax`)
  if (Number(text) > 0xffff) throw refusal(`${said}: value out of range`)
  return Number(text)
}

function byteLength(text: string): number {
  let length = 0
  for (const char of text) {
    const code = char.codePointAt(0)!
    length += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4
  }
  return length
}

function refusal(text: string): WireError {
  return new WireError('ERR_WIRE_VALUE', text)
}
