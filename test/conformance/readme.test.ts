import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { KIND_NAMES } from './runtimes.ts'
import { SCENARIO_NAMES } from './suite.ts'
import { committedTables } from './tables.ts'

const readme = readFileSync(new URL('README.md', import.meta.url), 'utf8')

// Figures are of one run on one machine; what is in the tables is not.
it.each([
  ['suite', 0, SCENARIO_NAMES, /^\d+$/],
  ['matrix', 1, KIND_NAMES, /^(udp|webrtc|websocket|relay) \d+$/],
] as const)(
  'the committed %s has every runtime, and no cell without a value or a reason',
  (_, index, rows, value) => {
    const [header = [], ...body] = committedTables()[index] ?? []
    expect(header.slice(1)).toEqual(KIND_NAMES)
    expect(body.map(([name]) => name)).toEqual(rows)
    for (const [name, ...cells] of body) {
      expect(cells).toHaveLength(KIND_NAMES.length)
      for (const cell of cells) {
        const isReasoned = /^\(\d+\)$/.test(cell) && readme.includes(`\n${cell} `)
        expect(value.test(cell) || isReasoned, `${name}: ${cell}`).toBe(true)
      }
    }
  },
)
