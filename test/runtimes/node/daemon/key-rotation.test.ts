import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { fromBase64, toBase64, utf8 } from '../../../../core/bytes.ts'
import { PilotError } from '../../../../core/errors.ts'
import { Identity } from '../../../../core/identity/identity.ts'
import {
  type RegistryRequest,
  RegistryRequests,
} from '../../../../core/rendezvous/registry-requests.ts'
import { nodeCrypto } from '../../../../runtimes/node/crypto.ts'
import { rotateKey } from '../../../../runtimes/node/daemon/key-rotation.ts'

const old = Identity.generate(nodeCrypto)
const requests = new RegistryRequests(old.publicKey, 7)
let directory: string
let path: string
let asked: RegistryRequest[]

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'pilot-key-'))
  path = join(directory, 'identity.json')
  writeFileSync(path, old.format())
  asked = []
})
afterEach(() => rmSync(directory, { recursive: true }))

const stored = (file: string): string =>
  toBase64(Identity.parse(nodeCrypto, readFileSync(file, 'utf8')).publicKey)

/** A registry that answers each request by the next of `answers`. */
function rotation(answers: readonly (PilotError | undefined)[], isOverTls = false) {
  return {
    nodeId: 7,
    requests,
    path,
    isOverTls,
    ask: async (request: RegistryRequest) => {
      // The new key is safe before anybody hears of it.
      expect(stored(`${path}.next`)).toBe(request.message.new_public_key)
      const failure = answers[asked.length]
      asked.push(request)
      if (failure !== undefined) throw failure
      return { type: 'rotate_key_ok', public_key: request.message.new_public_key }
    },
  }
}

it('proves the new key, covers it, and then keeps it', async () => {
  const { public_key: key } = await rotateKey(rotation([undefined]))
  expect(stored(path)).toBe(key)
  expect(key).not.toBe(toBase64(old.publicKey))
  expect(existsSync(`${path}.next`)).toBe(false)
  const [{ message, challenge } = { message: {}, challenge: '' }] = asked
  expect(challenge).toBe(`rotate:7:${key}`)
  const proof = fromBase64(`${message.new_key_signature}`)!
  expect(nodeCrypto.ed25519Verify(fromBase64(`${key}`)!, utf8(challenge!), proof)).toBe(true)
})

it('changes nothing where the registry refuses', async () => {
  const refused = new PilotError('ERR_REGISTRY', 'signature verification failed')
  await expect(rotateKey(rotation([refused]))).rejects.toBe(refused)
  expect(stored(path)).toBe(toBase64(old.publicKey))
  expect(existsSync(`${path}.next`)).toBe(false)
  expect(asked).toHaveLength(1) // the weaker form could be changed on its way
})

it('asks in the weaker form only over TLS', async () => {
  await rotateKey(rotation([new PilotError('ERR_REGISTRY', 'x'), undefined], true))
  expect(asked.map(({ challenge }) => challenge)).toEqual([
    `rotate:7:${asked[0]!.message.new_public_key}`,
    'rotate:7',
  ])
  expect(stored(path)).toBe(asked[1]!.message.new_public_key)
})

it('keeps both keys where nobody knows what the registry did', async () => {
  const lost = new PilotError('ERR_REGISTRY_UNAVAILABLE', 'connection lost')
  await expect(rotateKey(rotation([lost]))).rejects.toBe(lost)
  expect(stored(path)).toBe(toBase64(old.publicKey))
  expect(stored(`${path}.next`)).toBe(asked[0]!.message.new_public_key)
})

it('is refused without an identity file', async () => {
  const none = { ...rotation([]), path: undefined }
  await expect(rotateKey(none)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
})
