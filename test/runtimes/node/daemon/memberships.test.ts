import { expect, it } from 'vitest'
import { PilotError } from '../../../../core/errors.ts'
import { createLog } from '../../../../runtimes/node/daemon/log.ts'
import { Memberships } from '../../../../runtimes/node/daemon/memberships.ts'
import { FakeNetwork } from '../fake-node.ts'

it('joins what it is told to, once, and says what failed', async () => {
  const node = new FakeNetwork().add(5)
  const lines: string[] = []
  const log = createLog((line) => lines.push(line), 'info', 'text')
  let networks: unknown = [0, 2]
  node.registry.lookup = async () => ({ networks })
  const asked: unknown[] = []
  node.registry.requestSigned = async (message) => {
    asked.push(message)
    if (message.network_id === 4) throw new PilotError('ERR_REGISTRY', 'no such network')
    networks = [0, 2, 3]
    return { address: '3:0003.0000.0005' }
  }
  const memberships = new Memberships({ node, log, join: [2, 3, 4], adminToken: 'adm' })
  await memberships.start()
  expect(asked).toEqual([
    { type: 'join_network', network_id: 3, admin_token: 'adm' },
    { type: 'join_network', network_id: 4, admin_token: 'adm' },
  ])
  expect(memberships.addresses).toEqual([
    { network: 2, node: 5 },
    { network: 3, node: 5 },
  ])
  expect(lines.join('\n')).toMatch(/joined network.*3[\s\S]*not joined.*no such network/)
  expect(lines.join('\n')).not.toContain('adm"')
  // An answer that makes no sense, or none, leaves what was known.
  for (const bad of ['x', { networks: [1] }]) {
    networks = bad
    await memberships.refresh()
  }
  node.registry.lookup = async () => {
    throw new PilotError('ERR_REGISTRY_UNAVAILABLE', 'gone')
  }
  await memberships.refresh()
  expect(memberships.addresses).toHaveLength(2)
  memberships[Symbol.dispose]()
})
