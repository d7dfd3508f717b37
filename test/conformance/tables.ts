/** Tables of results, as text for a terminal and as Markdown. A cell is never empty: what cannot be has a note. */
import { readFileSync, writeFileSync } from 'node:fs'

export interface Table {
  readonly title: string
  readonly rows: readonly string[]
  readonly columns: readonly string[]
  cell(row: string, column: string): string
}

const README = new URL('README.md', import.meta.url)
const BEGIN = '<!-- tables -->'
const END = '<!-- end of tables -->'

/** Numbers reasons, so that a cell holds `(1)` and the reason stands below. */
export class Notes {
  readonly #reasons: string[] = []

  mark(reason: string): string {
    let index = this.#reasons.indexOf(reason)
    if (index < 0) index = this.#reasons.push(reason) - 1
    return `(${index + 1})`
  }

  get lines(): readonly string[] {
    return this.#reasons.map((reason, index) => `(${index + 1}) ${reason}`)
  }
}

export function asText({ title, rows, columns, cell }: Table): string {
  const width = Math.max(10, ...columns.map((column) => column.length)) + 2
  const first = Math.max(4, ...rows.map((row) => row.length)) + 2
  const line = (head: string, cells: readonly string[]): string =>
    head.padEnd(first) + cells.map((text) => text.padStart(width)).join('')
  const body = rows.map((row) =>
    line(
      row,
      columns.map((column) => cell(row, column)),
    ),
  )
  return ['', title, line('', columns), ...body].join('\n')
}

export function asMarkdown({ title, rows, columns, cell }: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [
    `### ${title}`,
    '',
    line(['', ...columns]),
    line(['---', ...columns.map(() => '---:')]),
    ...rows.map((row) => line([row, ...columns.map((column) => cell(row, column))])),
    '',
  ].join('\n')
}

/** The tables of the committed copy, each as its rows of cells. */
export function committedTables(): readonly (readonly (readonly string[])[])[] {
  return committed()
    .split('### ')
    .slice(1)
    .map((section) =>
      section
        .split('\n')
        .filter((line) => line.startsWith('|') && !line.startsWith('| ---'))
        .map((line) =>
          line
            .split('|')
            .slice(1, -1)
            .map((text) => text.trim()),
        ),
    )
}

export function commit(tables: readonly Table[], notes: Notes): void {
  const readme = readFileSync(README, 'utf8')
  const text = [BEGIN, ...tables.map(asMarkdown), ...notes.lines.map((one) => `${one}\n`)].join(
    '\n',
  )
  writeFileSync(
    README,
    readme.replace(`${BEGIN}${committed()}`, () => text),
  )
}

function committed(): string {
  const readme = readFileSync(README, 'utf8')
  const [begin, end] = [readme.indexOf(BEGIN), readme.indexOf(END)]
  if (begin < 0 || end < begin) throw new Error(`${BEGIN} and ${END} mark the tables`)
  return readme.slice(begin + BEGIN.length, end)
}
