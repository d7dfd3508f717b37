/** The table of weaknesses names every one of the sheets, and tests that are there. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

const text = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8')
const sheet = (number: string): string => {
  const folder = new URL('../core/spec/', import.meta.url)
  return text(`../core/spec/${readdirSync(folder).find((name) => name.startsWith(number))!}`)
}

/** The section of a sheet that begins with this heading. */
function section(number: string, heading: RegExp): string {
  const lines = sheet(number).split('\n')
  const from = lines.findIndex((line) => /^#+ /.test(line) && heading.test(line))
  expect(from, `${number} ${heading}`).toBeGreaterThanOrEqual(0)
  const to = lines.findIndex((line, i) => i > from && /^##? /.test(line))
  return lines.slice(from + 1, to < 0 ? undefined : to).join('\n')
}

/** What `pattern` captures in each line of a section. */
function ids(number: string, heading: RegExp, prefix: string, pattern: RegExp): string[] {
  const found = [...section(number, heading).matchAll(pattern)].map((match) => match[1]!)
  expect(found.length, prefix).toBeGreaterThan(5)
  return found.map((id) => `${prefix}${id}`)
}

/** Rows of a table, its head left out. */
function rows(number: string, prefix: string): string[] {
  const table = section(number, /Known weaknesses/)
    .split('\n')
    .filter((line) => line.startsWith('| '))
  return table.slice(1).map((_, i) => `${prefix}${i + 1}`)
}

const table = text('WEAKNESSES.md')
  .split('\n')
  .filter((line) => /^\| 0\d /.test(line))
  .map((line) => line.slice(2, -2).split(' | ') as [string, string, string])

it('names every weakness of the sheets, once', () => {
  expect(table.map(([id]) => id)).toEqual([
    ...ids('01', /Known weaknesses/, '01 §12 ', /^([a-z])\. /gm),
    ...ids('02', /Known weaknesses/, '02 §9 ', /^([a-z])\. /gm),
    ...ids('03', /^## 8\. Known weaknesses/, '03 §', /^(8\.\d) /gm),
    ...ids('03', /D\.8 Known weaknesses/, '03 D.8 ', /^([a-z])\. /gm),
    ...ids('04', /Known weaknesses/, '04 §22 ', /^\* (W\d+) /gm),
    ...ids('05', /Known weaknesses/, '05 §24 ', /^\| (L\d+) /gm),
    ...rows('06', '06 §13.'),
    ...rows('07', '07 §13.'),
    ...rows('08', '08 §9.'),
  ])
})

it('names a test for each that is there, or says why there is none', () => {
  const vectors = readdirSync(new URL('vectors/', import.meta.url)).map((name) =>
    text(`vectors/${name}`),
  )
  const isRecorded = (name: string): boolean =>
    vectors.some((vector) => vector.includes(JSON.stringify(name)))
  for (const [id, , proof] of table) {
    const proofs = [...proof.matchAll(/`([^`]+)` (?:'(.+?)'|"(.+?)")(?=; |$)/g)]
    if (proofs.length === 0) expect(proof, id).toMatch(/^(The wire|Not there): /)
    for (const [, file, single, double] of proofs) {
      const name = (single ?? double)!
      const path = new URL(file!, import.meta.url)
      expect(existsSync(path), `${id}: ${file}`).toBe(true)
      const source = readFileSync(path, 'utf8')
      const isThere = source.includes(name) || (source.includes('vectors(') && isRecorded(name))
      expect(isThere, `${id}: ${file} has no ${name}`).toBe(true)
    }
  }
})
