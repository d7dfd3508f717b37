/**
 * Argument syntax of the reference (spec/08 §2) in front of commander: `--json` anywhere, `--name=value`
 * or `--name value`, booleans with an optional value, single-dash words as positional unless they name a
 * flag, unknown flags ignored. The result is unambiguous: command words, `--name=value`, `--`, positionals.
 */
import type { Command, Option } from 'commander'

export interface NormalizedArguments {
  readonly argv: readonly string[]
  /** Flags that no option of the command has; not in `argv`. */
  readonly ignored: readonly string[]
  /** The command the leading words name. */
  readonly command: Command
}

/** Removes `--json` (and `--json=true`) wherever it stands. */
export function takeJsonFlag(argv: readonly string[]): { json: boolean; rest: string[] } {
  const isJson = (word: string): boolean => /^--json(=(true|1|))?$/.test(word)
  return { json: argv.some(isJson), rest: argv.filter((word) => !isJson(word)) }
}

/** `argv` without program names. */
export function normalizeArguments(
  program: Command,
  argv: readonly string[],
  options: { readonly singleDash?: boolean } = {},
): NormalizedArguments {
  const words: string[] = []
  let command = program
  let at = 0
  for (; at < argv.length; at++) {
    const next = command.commands.find(
      (one) => one.name() === argv[at] || one.aliases().includes(argv[at]!),
    )
    if (next === undefined) break
    words.push(argv[at]!)
    command = next
  }
  const flags: string[] = []
  const positionals: string[] = []
  const ignored: string[] = []
  for (; at < argv.length; at++) {
    const word = argv[at]!
    if (word === '--') {
      positionals.push(...argv.slice(at + 1))
      break
    }
    const match = /^(--?)([A-Za-z][\w-]*)(?:=(.*))?$/s.exec(word)
    const option = match === null ? undefined : findOption(command, match[2]!)
    if (match === null) positionals.push(word)
    else if (match[2] === 'help' || word === '-h') flags.push('--help')
    else if (option === undefined) {
      if (match[1] === '-') {
        if (options.singleDash) ignored.push(word)
        else positionals.push(word)
        continue
      }
      ignored.push(word)
      const value = argv[at + 1]
      if (match[3] === undefined && value !== undefined && !value.startsWith('--')) at++
    } else if (option.negate) {
      if (match[3] === undefined || /^(true|1|)$/.test(match[3])) flags.push(`--${option.name()}`)
    } else if (match[3] !== undefined) flags.push(`--${option.name()}=${match[3]}`)
    else if (option.optional) {
      // The reference swallows any next word; we take only one that can be meant.
      const value = argv[at + 1]
      const meant = option.flags.endsWith('[bool]') ? /^(true|false|0|1)$/ : /^[\d.]/
      const isValue = value !== undefined && meant.test(value)
      flags.push(`--${option.name()}=${isValue ? value : 'true'}`)
      if (isValue) at++
    } else if (option.required) {
      const value = argv[at + 1]
      if (value === undefined || value.startsWith('--')) flags.push(`--${option.name()}`)
      else {
        flags.push(`--${option.name()}=${value}`)
        at++
      }
    } else flags.push(`--${option.name()}`)
  }
  const isLeaf = command.commands.length === 0
  return {
    argv: [...words, ...flags, ...(isLeaf && positionals.length > 0 ? ['--'] : []), ...positionals],
    ignored,
    command,
  }
}

function findOption(command: Command, name: string): Option | undefined {
  return command.options.find((option) => option.long?.slice(2) === name)
}
