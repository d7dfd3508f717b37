/** Help: true, within 80 columns, and with examples that the program takes itself. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { normalizeArguments, takeJsonFlag } from '../../../../runtimes/node/cli/arguments.ts'
import { Cli, type CliIo } from '../../../../runtimes/node/cli/cli.ts'
import { closest, wrap } from '../../../../runtimes/node/cli/help.ts'
import { HELP_TEXTS } from '../../../../runtimes/node/cli/help-texts.ts'
import { createProgram } from '../../../../runtimes/node/cli/main.ts'
import { parseDaemonArguments } from '../../../../runtimes/node/daemon/config.ts'
import { CliHarness } from './harness.ts'

let cli: CliHarness
beforeEach(() => {
  cli = new CliHarness()
})
afterEach(() => cli.dispose())

describe('help', () => {
  it('is there for every command, within 80 columns', async () => {
    const { json } = await cli.run('context', '--json')
    const paths = Object.keys(json.commands as Record<string, unknown>)
    expect(Object.keys(HELP_TEXTS).sort()).toEqual(paths.sort())
    const helps = [...paths.map((path) => [...path.split(' '), '--help']), ['--help'], ['daemon']]
    for (const argv of helps) {
      const { stdout, stderr } = await cli.run(...argv)
      expectNarrow(`${stdout}${stderr}`)
    }
    const daemon = parseDaemonArguments(['--help'], cli.home)
    expectNarrow('text' in daemon ? daemon.text : '')
  })

  it('shows the same by flag and by command', async () => {
    const byFlag = await cli.run('send-file', '--help')
    expect(byFlag.stdout).toContain('pilotctl send-file agent-b report.pdf')
    expect((await cli.run('help', 'send-file')).stdout).toBe(byFlag.stdout)
    expect((await cli.run('help')).stdout).toBe((await cli.run('--help')).stdout)
  })

  it('gives examples that the program takes', () => {
    const program = createProgram(new Cli({ home: '/' } as CliIo, false))
    for (const [path, { summary, examples }] of Object.entries(HELP_TEXTS)) {
      expect(summary.length, summary).toBeLessThanOrEqual(50)
      expect(examples.length, path).toBeGreaterThan(0)
      for (const example of examples) {
        const [name, ...argv] = shellWords(example)
        expect(name).toBe('pilotctl')
        const {
          ignored,
          command,
          argv: normal,
        } = normalizeArguments(program, takeJsonFlag(argv).rest)
        expect(ignored, example).toEqual([])
        const needed = command.registeredArguments.filter((argument) => argument.required)
        const given = normal.includes('--') ? normal.slice(normal.indexOf('--') + 1) : []
        expect(given.length, example).toBeGreaterThanOrEqual(needed.length)
        expect(command.commands, example).toEqual([])
      }
    }
  })

  it('guesses what was meant', async () => {
    expect((await cli.run('conect')).stderr).toContain('did you mean: pilotctl connect\n')
    expect((await cli.run('trust', '--serch', '4')).stderr).toContain(
      'warning: unknown flag --serch ignored (did you mean --search?)\n',
    )
    expect(await cli.run('daemon', 'begin')).toMatchObject({
      code: 1,
      stderr: 'error: unknown command: begin\nhint:  usage: pilotctl daemon start|stop|status\n',
    })
    expect(closest('zzz', ['connect', 'send'])).toBeUndefined()
    expect(closest('snd', ['connect', 'send'])).toBe('send')
  })

  it('breaks long lines between words', () => {
    expect(wrap('word '.repeat(30).trim())).toEqual([
      'word '.repeat(16).trim(),
      `  ${'word '.repeat(14).trim()}`,
    ])
  })
})

function expectNarrow(text: string): void {
  expect(text).not.toBe('')
  for (const line of text.split('\n')) expect([...line].length, line).toBeLessThanOrEqual(80)
}

/** Words of a shell line with single and double quotes; redirections and what follows `&&` left out. */
function shellWords(line: string): string[] {
  const [first = ''] = line.split(' && ')
  return [...first.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(
    ([, double, single, bare]) => double ?? single ?? bare ?? '',
  )
}
