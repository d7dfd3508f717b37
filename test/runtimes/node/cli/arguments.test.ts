import { Command } from 'commander'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { normalizeArguments, takeJsonFlag } from '../../../../runtimes/node/cli/arguments.ts'
import { formatFields, formatTable, printable } from '../../../../runtimes/node/cli/table.ts'
import {
  formatBytes,
  formatUptime,
  isTrue,
  parseDuration,
  parseNodeId,
} from '../../../../runtimes/node/cli/values.ts'

function program(): Command {
  const root = new Command('x')
  root
    .command('send')
    .option('--data <text>')
    .option('--clear [bool]')
    .option('--wait [duration]')
    .option('--no-encrypt')
  root.command('daemon').command('start').option('--listen <addr>')
  return root
}

const normal = (...words: string[]): readonly string[] => normalizeArguments(program(), words).argv

describe('argument syntax', () => {
  it('takes --json wherever it stands, also where a value was meant', () => {
    expect(takeJsonFlag(['--json', 'info'])).toEqual({ json: true, rest: ['info'] })
    expect(takeJsonFlag(['send', '--data', '--json', 'x'])).toEqual({
      json: true,
      rest: ['send', '--data', 'x'],
    })
    expect(takeJsonFlag(['info'])).toEqual({ json: false, rest: ['info'] })
  })

  it.each([
    [
      ['send', 'a', '7', '--data', 'hi'],
      ['send', '--data=hi', '--', 'a', '7'],
    ],
    [
      ['send', '--data=x=y', 'a'],
      ['send', '--data=x=y', '--', 'a'],
    ],
    [
      ['send', 'a', '--data', '-5'],
      ['send', '--data=-5', '--', 'a'],
    ],
    [
      ['send', 'a', '-5'],
      ['send', '--', 'a', '-5'],
    ],
    [
      ['send', '-data', 'x', 'a'],
      ['send', '--data=x', '--', 'a'],
    ],
    // The word after a boolean is swallowed only when it can be meant.
    [
      ['send', '--clear', 'a'],
      ['send', '--clear=true', '--', 'a'],
    ],
    [
      ['send', '--clear', 'false', 'a'],
      ['send', '--clear=false', '--', 'a'],
    ],
    [
      ['send', '--wait', '5s', 'a'],
      ['send', '--wait=5s', '--', 'a'],
    ],
    [
      ['send', '--wait', 'a'],
      ['send', '--wait=true', '--', 'a'],
    ],
    [
      ['send', '--no-encrypt'],
      ['send', '--no-encrypt'],
    ],
    [['send', '--no-encrypt=false'], ['send']],
    [
      ['daemon', 'start', '--listen', ':0'],
      ['daemon', 'start', '--listen=:0'],
    ],
    [
      ['send', '--', '--data'],
      ['send', '--', '--data'],
    ],
    [
      ['send', '-h'],
      ['send', '--help'],
    ],
  ])('%j', (typed, expected) => {
    expect(normal(...typed)).toEqual(expected)
  })

  it('names unknown flags and swallows their values', () => {
    expect(normalizeArguments(program(), ['send', '--nope', '3', 'a', '--no=1'])).toMatchObject({
      argv: ['send', '--', 'a'],
      ignored: ['--nope', '--no=1'],
    })
  })

  it('any words give arguments that commander takes apart without a positional lost', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (words) => {
        const { argv } = normalizeArguments(program(), ['send', ...words])
        expect(argv[0]).toBe('send')
      }),
    )
  })
})

describe('values', () => {
  it.each([
    ['500ms', 500],
    ['30s', 30_000],
    ['1m30s', 90_000],
    ['1.5h', 5_400_000],
    ['45', 45_000],
    ['0', 0],
    ['.5s', 500],
  ])('duration %s', (text, ms) => {
    expect(parseDuration(text, 'timeout')).toBe(ms)
  })

  it.each(['', 'x', '5 s', '5d', '-1s', '1s2', 's'])('refuses the duration %j', (text) => {
    expect(() => parseDuration(text, 'timeout')).toThrow('invalid duration for --timeout')
  })

  it('booleans, node ids, sizes, times', () => {
    expect([true, 'true', '1', '', 'yes', 'mynode', '0', undefined].map(isTrue)).toEqual([
      true,
      true,
      true,
      true,
      false,
      false,
      false,
      false,
    ])
    expect(['0', '4294967295', '4294967296', '-1', 'a', ''].map(parseNodeId)).toEqual([
      0,
      4294967295,
      undefined,
      undefined,
      undefined,
      undefined,
    ])
    expect([0, 1023, 1024, 3 * 1024 ** 3].map(formatBytes)).toEqual([
      '0 B',
      '1023 B',
      '1.0 KB',
      '3.0 GB',
    ])
    expect(formatUptime(3 * 3600 + 62)).toBe('03:01:02')
  })
})

describe('tables', () => {
  it('aligns columns and removes what would move the cursor', () => {
    expect(
      formatTable(
        ['A', 'LONG'],
        [
          ['wide cell', 'x'],
          ['1', '\u001b[2Jy'],
        ],
      ),
    ).toEqual(['A          LONG', 'wide cell  x', '1          \ufffd[2Jy'])
    expect(
      formatFields([
        ['A', '1'],
        ['Long', '2'],
      ]),
    ).toEqual(['A:    1', 'Long: 2'])
    expect(printable('tab\tnew\nline')).toBe('tab\tnew\nline')
  })
})
