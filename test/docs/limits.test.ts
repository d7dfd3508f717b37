import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'

const root = join(import.meta.dirname, '../..')
const ROW = /^\| (.+?) \| (\d+) \| `(\S+?)` `(\w+)` \|/gm
const rows = [...readFileSync(join(root, 'core/node/README.md'), 'utf8').matchAll(ROW)]

it('names limits', () => {
  expect(rows.length).toBeGreaterThan(20)
})

it.each(rows.map(([, what, value, file, name]) => [what, value, file, name] as const))(
  '%s: %s, as in %s',
  (_, value, file, name) => {
    const source = readFileSync(join(root, file ?? ''), 'utf8')
    const written = new RegExp(`\\b${name}(?:: number)?(?: = |: )([\\d_ *<]+)`).exec(source)?.[1]
    // Products and shifts of plain numbers.
    const [first = Number.NaN, ...rest] = (written ?? '')
      .split(/<<|\*/)
      .map((text) => Number(text.replaceAll('_', '').trim() || Number.NaN))
    const combine = (a: number, b: number): number => (written?.includes('<<') ? a << b : a * b)
    expect(rest.reduce(combine, first)).toBe(Number(value))
  },
)
