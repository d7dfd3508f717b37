/** Documents that the registry keeps for the daemons of a network, and what it checks of them (spec/05 §14). */
import { GO_UNIT_MS } from '../core/time-text.ts'
import { POLICY_BYTES_MAX, POLICY_RULES_MAX } from './limits.ts'
import { cutBytes } from './request-fields.ts'

export type ParsedDocument =
  | { readonly text: string; readonly value?: Document; readonly problem?: undefined }
  | { readonly text: ''; readonly value?: undefined; readonly problem: string }

type Document = Readonly<Record<string, unknown>>

const MINUTE_MS = 60_000

/** An object, or a string that holds one; absent, null, `""` and `"null"` are no document. */
export function parseDocument(given: unknown): ParsedDocument {
  if (given === undefined || given === null || given === '' || given === 'null') return { text: '' }
  let value: unknown = given
  if (typeof given === 'string')
    try {
      value = JSON.parse(given)
    } catch {
      return { text: '', problem: 'not JSON' }
    }
  if (!isObject(value)) return { text: '', problem: 'expected an object' }
  const text = JSON.stringify(value)
  return cutBytes(text, POLICY_BYTES_MAX) === text
    ? { text, value }
    : { text: '', problem: `too long (max ${POLICY_BYTES_MAX} bytes)` }
}

/** Why a policy document is refused; the rest of it is the daemons' to judge (spec/05 §14). */
export function exprPolicyProblem({ version, rules }: Document): string | undefined {
  if (version !== 1) return 'version must be 1'
  if (!Array.isArray(rules) || rules.length === 0) return 'at least one rule is required'
  if (rules.length > POLICY_RULES_MAX) return `too many rules (max ${POLICY_RULES_MAX})`
  return rules.every(isObject) ? undefined : 'a rule must be an object'
}

/** Why the rules of a managed network are refused (spec/05 §14). */
export function rulesProblem(rules: Document): string | undefined {
  const { links, prune, fill } = rules
  if (!isCount(links) || links < 1) return 'links must be an integer of at least 1'
  if (!isDuration(rules.cycle, MINUTE_MS)) return 'cycle must be a duration of at least 1m'
  for (const [name, value] of [
    ['prune', prune],
    ['fill', fill],
  ] as const)
    if (value !== undefined && !(isCount(value) && value <= links))
      return `${name} must be an integer of 0 to links`
  if (prune !== undefined && prune !== 0 && !PRUNE_BY.includes(rules.prune_by))
    return `prune_by must be one of ${PRUNE_BY.join(', ')}`
  if (fill !== undefined && fill !== 0 && rules.fill_how !== 'random')
    return 'fill_how must be random'
  const { grace } = rules
  if (grace !== undefined && grace !== '' && !isDuration(grace, 0))
    return 'grace must be a duration'
  return undefined
}

const PRUNE_BY: readonly unknown[] = ['score', 'age', 'activity']
/** Milliseconds of a duration as Go writes it (`24h`, `1h30m`, `1.5s`); `undefined` for anything else. */
export function parseGoDuration(text: string): number | undefined {
  if (!/^(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h)){1,16}$/.test(text)) return undefined
  let sum = 0
  for (const [, digits, unit] of text.matchAll(/(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)/g))
    sum += Number(digits) * GO_UNIT_MS[unit!]!
  return sum
}

function isDuration(value: unknown, leastMs: number): boolean {
  const ms = typeof value === 'string' ? parseGoDuration(value) : undefined
  return ms !== undefined && ms >= leastMs
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function isObject(value: unknown): value is Document {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
