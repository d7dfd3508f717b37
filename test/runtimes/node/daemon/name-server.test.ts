import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createLog } from '../../../../runtimes/node/daemon/log.ts'
import { NameServer } from '../../../../runtimes/node/daemon/name-server.ts'
import { nameserverOf } from '../../../../runtimes/node/services.ts'
import { FakeNetwork } from '../fake-node.ts'

let home: string
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'pilot-names-'))
  mkdirSync(join(home, '.pilot'))
})
afterEach(() => rmSync(home, { recursive: true }))

const setTimer = (work: () => void, ms: number): (() => void) => {
  const timer = setTimeout(work, ms)
  return () => clearTimeout(timer)
}
const log = createLog(() => {}, 'error', 'text')
const file = (): string => join(home, '.pilot', 'nameserver.json')

it('knows after a restart what it was told before', async () => {
  const first = new FakeNetwork()
  const server = first.add(9)
  const running = new NameServer({ node: server, home, log, setTimer })
  const address = { network: 0, node: 1 }
  await nameserverOf(first.add(1), server.address).registerAddress('alice', address)
  running[Symbol.dispose]()
  await expect.poll(() => readFileSync(file(), 'utf8')).toContain('"name": "alice"')

  const second = new FakeNetwork()
  const again = second.add(9)
  using _running = new NameServer({ node: again, home, log, setTimer })
  expect(await nameserverOf(second.add(2), again.address).address('alice')).toEqual(address)
})

it('leaves a file alone that it cannot understand', () => {
  writeFileSync(file(), 'not records')
  const node = new FakeNetwork().add(9)
  expect(() => new NameServer({ node, home, log, setTimer })).toThrow(/holds no records of names/)
  expect(readFileSync(file(), 'utf8')).toBe('not records')
})
