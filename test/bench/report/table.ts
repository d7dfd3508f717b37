/** The tables on the terminal. */
import type { Comparison } from './comparisons.ts'
import { FIGURES, type Result } from './result.ts'
import { shown, spread } from './statistics.ts'

/** Medians; systems down, figures across. */
export function figureTable({ rows, figures }: Result): string {
  const measured = rows.filter(({ id }) => figures[id] !== undefined)
  const columns = FIGURES.filter(({ name }) =>
    measured.some(({ id }) => spread(figures[id]?.[name]) !== undefined),
  )
  const lines = [
    ['', ...columns.map(({ short }) => short)],
    ['', ...columns.map(({ unit }) => unit)],
    ...measured.map(({ id }) => [
      id,
      ...columns.map(({ name }) => {
        const value = spread(figures[id]?.[name])
        return value === undefined ? '-' : shown(value.median)
      }),
    ]),
  ]
  return aligned(lines)
}

/** A ratio above 1: ours is that many times faster, or smaller. */
export function comparisonTable(list: readonly Comparison[]): string {
  let before = ''
  const lines = [['work', 'ours', '', 'beside it', '', 'ratio', 'aim']]
  for (const one of list) {
    const begins = `${one.work}${one.ours}`
    const isAgain = begins === before
    before = begins
    lines.push([
      isAgain ? '' : one.work,
      isAgain ? '' : one.ours,
      isAgain ? '' : `${shown(one.oursValue)} ${one.unit}`,
      one.otherTitle,
      shown(one.otherValue),
      `${shown(one.ratio)} ×`,
      one.aim === undefined ? '' : `${one.aim} ×${one.ratio < one.aim ? '  below' : ''}`,
    ])
  }
  return aligned(lines, new Set([2, 4, 5]))
}

function aligned(lines: readonly (readonly string[])[], right?: ReadonlySet<number>): string {
  const widths = (lines[0] ?? []).map((_, i) => Math.max(...lines.map((cells) => cells[i]!.length)))
  return lines
    .map((cells) =>
      cells
        .map((cell, i) =>
          (right?.has(i) ?? i > 0) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
