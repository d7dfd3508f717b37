/**
 * JSON as the reference writes and reads it (test/vectors/tasksubmit.json): no spaces, `<`, `>`, `&`, U+2028 and
 * U+2029 escaped; when reading, member names match in any case, the last of equal ones wins, null is nothing.
 */
import { lossyUtf8 } from '../bytes.ts'
import { WireError } from '../errors.ts'

export type JsonMembers = ReadonlyMap<string, unknown>

/** Text of a value; `indent` 2 for files. Lone surrogates become U+FFFD. */
export function formatGoJson(value: unknown, indent = 0): string {
  return JSON.stringify(value, undefined, indent)
    .replace(/\\u(d[89a-f][0-9a-f]{2})/g, '\\ufffd')
    .replace(/[<>&\u2028\u2029]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/**
 * Members of an object by lower-case name, without those that are null. `null` itself is an object without
 * members. Bytes that are not UTF-8 become U+FFFD.
 *
 * @throws {WireError} `ERR_WIRE_VALUE` for anything that is no JSON object.
 */
export function parseGoJson(bytes: Uint8Array): JsonMembers {
  let value: unknown
  try {
    value = JSON.parse(lossyUtf8(bytes))
  } catch {
    throw new WireError('ERR_WIRE_VALUE', 'need JSON')
  }
  if (value === null) return new Map()
  if (typeof value !== 'object' || Array.isArray(value))
    throw new WireError('ERR_WIRE_VALUE', 'need a JSON object')
  const members = new Map<string, unknown>()
  for (const [name, member] of Object.entries(value))
    if (member !== null) members.set(name.toLowerCase(), member)
  return members
}

/** @throws {WireError} `ERR_WIRE_VALUE` when it is there and no string. */
export function textMember(members: JsonMembers, name: string): string {
  const value = members.get(name)
  if (value === undefined) return ''
  if (typeof value !== 'string') throw new WireError('ERR_WIRE_VALUE', `${name} must be a string`)
  return value.replace(
    /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g,
    '\ufffd',
  )
}

/**
 * An int64; beyond 2^53 the nearest number. `2e2` counts as 200, which the reference refuses.
 *
 * @throws {WireError} `ERR_WIRE_VALUE` when it is there and no whole number of that range.
 */
export function integerMember(members: JsonMembers, name: string): number {
  const value = members.get(name)
  if (value === undefined) return 0
  if (typeof value !== 'number' || !Number.isInteger(value) || Math.abs(value) >= 2 ** 63)
    throw new WireError('ERR_WIRE_VALUE', `${name} must be a whole number`)
  return value
}
