/** Expression policies as documents (spec/05 §14). What `match` says is for the engine that evaluates it. */

type Members = Readonly<Record<string, unknown>>

const EVENTS = ['connect', 'dial', 'datagram', 'cycle', 'join', 'leave']
/** Members that `params` of an action needs; of a list within a list one is enough. */
const ACTIONS: Readonly<Record<string, readonly (string | readonly string[])[]>> = {
  allow: [],
  deny: [],
  score: ['delta'],
  tag: [['add', 'remove']],
  evict: [],
  evict_where: ['match'],
  prune: ['count'],
  fill: ['count'],
  prune_trust: ['percent', 'min'],
  fill_trust: ['target'],
  webhook: ['event'],
  log: ['message'],
}

/** What is wrong with it, in words of v1.9 where they are known; `undefined` when nothing is. */
export function policyProblem(document: unknown): string | undefined {
  if (!isObject(document)) return 'not a JSON object'
  if (document.version !== 1) return `unsupported version ${document.version ?? 0} (want 1)`
  const { rules } = document
  if (!Array.isArray(rules) || rules.length === 0) return 'no rules'
  for (const [index, rule] of rules.entries()) {
    const problem = isObject(rule) ? ruleProblem(rule) : 'not an object'
    if (problem !== undefined) return `rule ${index}: ${problem}`
  }
  return undefined
}

/** Of a document without a problem, as `policy validate` of v1.9 prints it. */
export function policySummary(document: Members): {
  readonly data: Record<string, unknown>
  readonly lines: readonly string[]
} {
  const rules = document.rules as readonly Members[]
  const events = Object.fromEntries(rules.map((rule) => [`${rule.on}`, true]))
  return {
    data: { valid: true, version: 1, rules: rules.length, events },
    lines: [
      `valid policy: ${rules.length} rules`,
      ...rules.map(
        (rule) => `  - ${rule.name} (on ${rule.on}): ${(rule.actions as unknown[]).length} actions`,
      ),
      'match expressions were not looked at',
    ],
  }
}

function ruleProblem({ name, on, match, actions }: Members): string | undefined {
  if (typeof name !== 'string' || name === '') return 'no name'
  if (typeof on !== 'string' || !EVENTS.includes(on))
    return `on is one of ${EVENTS.join(', ')}, got ${JSON.stringify(on)}`
  if (typeof match !== 'string' || match === '') return 'no match'
  if (!Array.isArray(actions) || actions.length === 0) return 'no actions'
  for (const action of actions) {
    if (!isObject(action)) return 'an action is no object'
    const { type, params } = action
    const needs = typeof type === 'string' && Object.hasOwn(ACTIONS, type) && ACTIONS[type]
    if (!needs) return `unknown action ${JSON.stringify(type)}`
    const given: Members = isObject(params) ? params : {}
    for (const need of needs) {
      const names = typeof need === 'string' ? [need] : need
      if (!names.some((one) => given[one] !== undefined))
        return `action ${type} needs ${names.join(' or ')}`
    }
  }
  return undefined
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
