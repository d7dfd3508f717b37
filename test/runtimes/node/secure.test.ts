import { expect, it } from 'vitest'
import { toBase64 } from '../../../core/bytes.ts'
import { acceptSecure, dialSecure, Identity, nodeCrypto } from '../../../runtimes/node/index.ts'
import { FakeNetwork } from './fake-node.ts'

it('opens a channel on which both sides are proven', async () => {
  const network = new FakeNetwork()
  const identities = [1, 2].map(() => Identity.generate(nodeCrypto))
  const [near, far] = [network.add(1), network.add(2)]
  for (const node of [near, far])
    node.registry.lookup = async (id) => ({ public_key: toBase64(identities[id - 1]!.publicKey) })
  far.listen(443).onconnection = async (connection) => {
    const secure = acceptSecure(far, connection, { identity: identities[1]! })
    await secure.write((await secure.read())!)
    await secure.close()
  }
  await using secure = await dialSecure(
    near,
    { address: far.address },
    { identity: identities[0]! },
  )
  expect(secure.info).toEqual({ version: 'v2', isAuthenticated: true })
  await secure.write(Buffer.from('hello'))
  expect(Buffer.from((await secure.read())!).toString()).toBe('hello')
  expect(await secure.read()).toBeUndefined()
})
