/** What package.json says of the packed files, as the tools that check packages judge it. */
import { readFileSync } from 'node:fs'
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { expect, it } from 'vitest'

const tarball = readFileSync(process.env.PILOT_TEST_TARBALL ?? '')

it('publint has nothing to say, not even to suggest', async () => {
  const { buffer, byteOffset, byteLength } = tarball
  const bytes = buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer
  const { messages, pkg } = await publint({ pack: { tarball: bytes }, strict: true })
  expect(messages.map((message) => formatMessage(message, pkg))).toEqual([])
  expect(pkg.name).toBe('pilot-ts')
})

it('are the types wrong has nothing to say', async () => {
  const checked = await checkPackage(createPackageFromTarballData(tarball))
  if (!checked.types) throw new Error('the package has no types')
  expect(Object.keys(checked.entrypoints)).toContain('./core')
  // There is ESM only: resolution without exports maps finds nothing, and `require` takes ESM since Node 22.12.
  const isMeant = (problem: (typeof checked.problems)[number]): boolean =>
    problem.kind === 'CJSResolvesToESM' ||
    ('resolutionKind' in problem && problem.resolutionKind === 'node10')
  expect(checked.problems.filter((problem) => !isMeant(problem))).toEqual([])
})
