import { expect, it } from 'vitest'
import { toBase64 } from '../../../core/bytes.ts'
import { Identity } from '../../../core/identity/identity.ts'
import type { SecureMode } from '../../../core/service/secure-channel.ts'
import {
  SecureConnection,
  type SecureOptions,
  type SecurePlatform,
  dialSecure as sharedDial,
} from '../../../runtimes/shared/services/secure-connection.ts'
import { crypto, generated } from '../../support.ts'
import { FakeNetwork, type FakeNode } from '../node/fake-node.ts'

/** Twenty times as fast, so that waiting for a version costs the tests nothing. */
const SPEED = 20
const platform: SecurePlatform = {
  crypto,
  unixSeconds: () => Math.floor(Date.now() / 1000),
  now: () => performance.now() * SPEED,
  setTimer: (work, ms) => {
    const timer = setTimeout(work, ms / SPEED)
    return () => clearTimeout(timer)
  },
}
const dialSecure = (
  node: FakeNode,
  to: { readonly address: FakeNode['address'] },
  options: SecureOptions,
): Promise<SecureConnection> => sharedDial(node, to, options, platform)

interface Pair {
  readonly client: FakeNode
  readonly server: FakeNode
  readonly identities: ReadonlyMap<number, Identity>
  readonly accepted: SecureConnection[]
}

/** A server that answers `echo: ` and what it read. */
function start(mode: SecureMode, withIdentity = true): Pair {
  const network = new FakeNetwork()
  const identities = new Map([1, 2].map((id) => [id, Identity.generate(crypto)]))
  const nodes = [1, 2].map((id) => network.add(id))
  for (const node of nodes)
    node.registry.lookup = async (id) => ({ public_key: toBase64(identities.get(id)!.publicKey) })
  const [client, server] = nodes as [FakeNode, FakeNode]
  const accepted: SecureConnection[] = []
  server.listen(443).onconnection = (connection) => {
    const secure = new SecureConnection(
      server,
      connection,
      'server',
      {
        mode,
        ...(withIdentity && { identity: identities.get(2)! }),
      },
      platform,
    )
    accepted.push(secure)
    void (async () => {
      for (let data = await secure.read(); data !== undefined; data = await secure.read())
        await secure.write(Buffer.concat([Buffer.from('echo: '), data]))
      await secure.close()
    })().catch(() => {})
  }
  return { client, server, identities, accepted }
}

const textOf = async (secure: SecureConnection): Promise<string> =>
  Buffer.from((await secure.read()) ?? []).toString()

it.each([
  ['auto', true, 'v2', true],
  ['v2-auth', true, 'v2', true],
  ['v2', false, 'v2', false],
  ['v1', false, 'v1', false],
] as const)('dials a listener of mode %s', async (mode, withIdentity, version, isAuthenticated) => {
  const { client, server, identities, accepted } = start(mode, withIdentity)
  const secure = await dialSecure(
    client,
    { address: server.address },
    { identity: identities.get(1)! },
  )
  await secure.write(Buffer.from('hello'))
  expect(await textOf(secure)).toBe('echo: hello')
  expect(await accepted.at(-1)!.opened).toEqual({ version, isAuthenticated })
  // A version-1 listener closed on the first words, and heard them again in its own version.
  expect(accepted).toHaveLength(version === 'v1' ? 2 : 1)
  await secure.close()
})

it.each(['v1', 'v2', 'v2-auth', 'auto'] as const)(
  'a listener that detects serves mode %s',
  async (mode) => {
    const { client, server, identities } = start('auto')
    const identity = mode === 'v1' || mode === 'v2' ? {} : { identity: identities.get(1)! }
    const secure = await dialSecure(client, { address: server.address }, { mode, ...identity })
    await secure.write(Buffer.from('hello'))
    expect(await textOf(secure)).toBe('echo: hello')
    await secure.close()
    expect(await secure.read()).toBeUndefined()
  },
)

it('carries a megabyte both ways', async () => {
  const { client, server, identities } = start('auto')
  const secure = await dialSecure(
    client,
    { address: server.address },
    { identity: identities.get(1)! },
  )
  const data = generated(1_000_000)
  const writing = secure.write(data)
  // 16 frames of at most 64 KiB, each answered.
  const expected = Buffer.concat(
    Array.from({ length: 16 }, (_, i) => [
      Buffer.from('echo: '),
      data.subarray(i * 65_536, (i + 1) * 65_536),
    ]).flat(),
  )
  const got: Buffer[] = []
  for (let length = 0; length < expected.length; length += got.at(-1)!.length)
    got.push(Buffer.from((await secure.read())!))
  await writing
  expect(Buffer.concat(got).equals(expected)).toBe(true)
  await secure.close()
})

it('insists on proofs where it is told to', async () => {
  const { client, server, identities } = start('v2', false)
  const options = { identity: identities.get(1)!, requireAuthentication: true }
  await expect(dialSecure(client, { address: server.address }, options)).rejects.toMatchObject({
    code: 'ERR_SECURE_AUTH',
  })
})

it('refuses a server with another key than the registered one', async () => {
  const { client, server, identities } = start('auto')
  client.registry.lookup = async () => ({ public_key: toBase64(new Uint8Array(32).fill(9)) })
  const options = { identity: identities.get(1)! }
  await expect(dialSecure(client, { address: server.address }, options)).rejects.toMatchObject({
    code: 'ERR_SECURE_AUTH',
  })
})
