/** How help looks: 80 columns, terms without brackets of their own, defaults after a colon. */
import type { Command, Option } from 'commander'

const COLUMNS = 80
/** Commands of a group that the list of all commands names. */
const LISTED_MAX = 3

/** Sets the looks of a program's help; its subcommands made afterwards inherit them. */
export function plainHelp(command: Command): Command {
  return command.configureHelp({
    helpWidth: COLUMNS,
    optionTerm: (option) => option.flags.replace(' [bool]', ''),
    optionDescription,
    subcommandTerm,
    subcommandDescription: (one) => one.summary() || one.description(),
  })
}

function optionDescription({ description, defaultValue, negate }: Option): string {
  const hasDefault = typeof defaultValue === 'string' && defaultValue !== '' && !negate
  return hasDefault ? `${description} (default: ${defaultValue})` : description
}

/** `connect <target> [port]`; a group as `daemon start|stop|status`, a large one as `task <command>`. */
function subcommandTerm(command: Command): string {
  if (command.commands.length > LISTED_MAX) return `${command.name()} <command>`
  if (command.commands.length > 0)
    return `${command.name()} ${command.commands.map((one) => one.name()).join('|')}`
  const words = command.registeredArguments.map((argument) => {
    const name = `${argument.name()}${argument.variadic ? '...' : ''}`
    return argument.required ? `<${name}>` : `[${name}]`
  })
  return [command.name(), ...words].join(' ')
}

/** Lines of at most 80 columns; those after the first are indented. */
export function wrap(text: string): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > COLUMNS) {
      lines.push(line)
      line = `  ${word}`
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}

/** The candidate that differs by at most two letters, `undefined` when none does. */
export function closest(word: string, candidates: readonly string[]): string | undefined {
  let best: { readonly name: string; readonly distance: number } | undefined
  for (const name of candidates) {
    const distance = editDistance(word, name)
    if (
      distance <= Math.min(2, word.length / 2) &&
      (best === undefined || distance < best.distance)
    )
      best = { name, distance }
  }
  return best?.name
}

/** Letters to insert, delete or replace. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++)
      next.push(
        Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)),
      )
    row = next
  }
  return row[b.length]!
}
