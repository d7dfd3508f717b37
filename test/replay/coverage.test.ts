/** No recorded conversation is left out in silence: each has the test that plays it. */
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { registryLines } from './registry-lines.ts'

/** Test file by session, and by the beginning of names of sessions. */
const PLAYED: Readonly<Record<string, string>> = {
  'feb-daemons': 'registry-feb.test.ts',
  'feb-probe': 'registry-feb.test.ts',
  'feb-replication': 'registry-replication.test.ts',
  'v19-daemon-on-feb-registry': 'registry-daemons.test.ts',
  'feb-daemon-on-v19-registry': 'registry-daemons.test.ts',
  'v19-daemon-on-v19-registry': 'registry-daemons.test.ts',
  'v19-probe': 'registry-v19.test.ts',
}

it('every session with a registry is in the list, and played by the file it names', () => {
  const sessions = new Set(
    (['registry-session', 'registry-session-v19'] as const).flatMap((name) =>
      registryLines(name).map((line) => line.session.replace(/^(v19-probe)\d$/, '$1')),
    ),
  )
  expect([...sessions].sort()).toEqual(Object.keys(PLAYED).sort())
  for (const [session, file] of Object.entries(PLAYED))
    expect(readFileSync(new URL(file, import.meta.url), 'utf8')).toContain(session)
})
