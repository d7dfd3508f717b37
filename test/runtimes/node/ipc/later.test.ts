/** What drivers of v1.9 and of H2 ask for beyond the common commands (spec/06 §11.2, §11.3). */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { fromBase64, toBase64, utf8 } from '../../../../core/bytes.ts'
import { PilotError } from '../../../../core/errors.ts'
import { Identity } from '../../../../core/identity/identity.ts'
import type { DriverMessage } from '../../../../runtimes/node/ipc/driver-message.ts'
import { OP } from '../../../../runtimes/node/ipc/opcode.ts'
import { IpcServer } from '../../../../runtimes/node/ipc/server.ts'
import type { NodeEvent } from '../../../../runtimes/shared/api.ts'
import { crypto, generated, hex, sha256Hex, vectors } from '../../../support.ts'
import { type FakeConnection, FakeNetwork, type FakeNode } from '../fake-node.ts'
import { RawClient } from './raw-client.ts'

const facts = {
  version: '0',
  owner: '',
  hasIdentity: true,
  beacon: '',
  transport: 'compat',
} as const
const identity = Identity.fromSeed(crypto, new Uint8Array(32).fill(5))

let directory: string
let path: string
let near: FakeNode
let far: FakeNode
let server: IpcServer
let clients: RawClient[]
let tellEvent: (event: NodeEvent) => void
let sought: number[]
let seekError: PilotError | undefined

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'pilot-ipc-'))
  path = join(directory, 's')
  const network = new FakeNetwork()
  near = network.add(1)
  far = network.add(2, 'bob')
  Object.assign(near, { publicKey: identity.publicKey })
  near.on = ((listener: typeof tellEvent) => {
    tellEvent = listener
    return () => {}
  }) as typeof near.on
  clients = []
  sought = []
  seekError = undefined
  server = await IpcServer.listen({
    node: near,
    facts,
    socketPath: path,
    stallMs: 300,
    sign: async (message) => identity.sign(message),
    seekDirect: async (nodeId) => {
      sought.push(nodeId)
      if (seekError !== undefined) throw seekError
    },
  })
})
afterEach(async () => {
  for (const one of clients) one.socket.destroy()
  await server.close()
  rmSync(directory, { recursive: true })
})

function client(): RawClient {
  const one = new RawClient(path)
  clients.push(one)
  return one
}

const recorded = (name: string) => {
  const found = vectors('ipc-v19').find((one) => one.name === name)
  if (found === undefined) throw new Error(`no vector ${name}`)
  return found
}
const wire = (body: Uint8Array): string =>
  Buffer.concat([Buffer.from([0, 0, 0, body.length]), body]).toString('hex')

async function dial(raw: RawClient): Promise<{ id: number; peer: FakeConnection }> {
  let peer: FakeConnection | undefined
  const listener = far.listen(4000)
  listener.onconnection = (connection) => {
    peer = connection as FakeConnection
  }
  raw.write({ type: 'dial', to: { address: far.address, port: 4000 } })
  const { id } = await raw.nextOf('dial-ok')
  return { id, peer: peer! }
}

async function json(raw: RawClient, message: DriverMessage): Promise<Record<string, unknown>> {
  raw.write(message)
  const { text } = await raw.nextOf('json')
  return JSON.parse(text) as Record<string, unknown>
}

describe('subscriptions', () => {
  it('answers as recorded, byte for byte', async () => {
    const raw = client()
    for (const one of vectors('ipc-v19', 'exchange')) {
      if (!/^(UN)?SUBSCRIBE/.test(one.name)) continue
      raw.socket.write(hex(one.request_hex))
      await raw.until(() => raw.bodies.length > 0)
      expect(wire(raw.bodies.shift()!), one.name).toBe(one.replies[0].hex)
    }
  })

  it('pushes pending requests when they change, to who subscribed and nobody else', async () => {
    const [raw, other] = [client(), client()]
    raw.write({ type: 'subscribe', topic: 'handshake_pending' })
    await raw.nextOf('subscribed')
    other.write({ type: 'info' })
    await other.nextOf('json')
    near.pendingRequests.set(2, 'may I')
    tellEvent({ type: 'trust-request', nodeId: 2, justification: 'may I' })
    tellEvent({ type: 'trust-request', nodeId: 2, justification: 'may I' }) // nothing new
    const { topic, payload } = await raw.nextOf('notify')
    expect([topic, JSON.parse(Buffer.from(payload).toString())]).toEqual([
      'handshake_pending',
      { pending: [{ node_id: 2, public_key: '', justification: 'may I', received_at: 1 }] },
    ])
    // As recorded: the change comes beside the answer to the one who makes it.
    other.write({ type: 'trust-approve', nodeId: 2 })
    const change = await raw.nextOf('notify')
    expect(Buffer.from(change.payload).toString()).toBe('{"pending":[]}')
    raw.write({ type: 'unsubscribe', topic: 'handshake_pending' })
    await raw.nextOf('empty')
    near.pendingRequests.set(3, 'again')
    tellEvent({ type: 'trust-request', nodeId: 3, justification: 'again' })
    raw.write({ type: 'info' })
    expect((await raw.next()).type).toBe('json')
    expect(other.bodies.map((body) => body[0])).toEqual([OP.handshakeOk])
  })

  it('caps topics, and tells a client that did not read what is so in the end, once', async () => {
    const raw = client()
    for (let i = 0; i < 65; i++) raw.write({ type: 'subscribe', topic: `topic ${i}` })
    expect(await raw.nextOf('error')).toMatchObject({ text: 'subscribe: more than 64 topics' })
    const slow = client()
    slow.write({ type: 'subscribe', topic: 'handshake_pending' })
    await slow.nextOf('subscribed')
    slow.socket.pause()
    // Datagrams fill its queue up to their mark; what is pushed beyond is dropped or held back.
    for (let i = 0; i < 40; i++)
      near.deliver({
        source: { address: far.address, port: 9 },
        destinationPort: 9,
        data: new Uint8Array(60_000),
      })
    for (let i = 0; i < 500; i++) {
      near.pendingRequests.set(7, `changed ${i}`)
      tellEvent({ type: 'trust-request', nodeId: 7, justification: '' })
    }
    slow.socket.resume()
    const { payload } = await slow.nextOf('notify')
    expect(Buffer.from(payload).toString()).toContain('changed 499')
  })
})

describe('results of Sends', () => {
  it('are pushed to clients that use v1.9, and to no others', async () => {
    const [raw, base] = [client(), client()]
    raw.write({ type: 'unsubscribe', topic: 'x' })
    await raw.nextOf('empty')
    const { id } = await dial(raw)
    raw.write({ type: 'send', id, data: utf8('from a') }, { type: 'send', id, data: utf8('') })
    expect(await raw.next()).toEqual({ type: 'send-result', id, code: 0, text: '' })
    expect(await raw.next()).toEqual({ type: 'send-result', id, code: 0, text: '' })
    const one = recorded('SEND on an unknown connection')
    raw.socket.write(hex(one.request_hex))
    await raw.until(() => raw.bodies.length === 2)
    expect(raw.bodies.splice(0).map(wire)).toEqual(
      one.replies.map((reply: { hex: string }) => reply.hex),
    )
    base.socket.write(hex(one.request_hex))
    base.write({ type: 'health' })
    expect((await base.next()).type).toBe('close-ok')
    expect((await base.next()).type).toBe('json')
  })

  it('SendTracked is answered when the stream has taken the bytes, not before', async () => {
    const raw = client()
    const { id, peer } = await dial(raw)
    raw.write({ type: 'send-tracked', id, sendId: 1n, data: utf8('now') })
    expect(await raw.next()).toEqual({ type: 'tracked-result', id, sendId: 1n, code: 0, text: '' })
    // 256 KiB fit; the rest waits for the reader.
    raw.write({ type: 'send-tracked', id, sendId: 2n, data: generated(300_000) })
    raw.write({ type: 'health' })
    expect((await raw.next()).type).toBe('json')
    expect(Buffer.from(peer.read()!).toString()).toBe('now')
    expect(peer.read()).toBeDefined()
    expect(await raw.next()).toMatchObject({ type: 'tracked-result', sendId: 2n, code: 0 })
    peer.read()
    raw.write({ type: 'send-tracked', id, sendId: 3n, data: generated(300_000) })
    raw.write({ type: 'health' })
    expect((await raw.next()).type).toBe('json')
    peer.reset()
    expect(await raw.nextOf('tracked-result')).toEqual({
      type: 'tracked-result',
      id,
      sendId: 3n,
      code: 4,
      text: 'connection closed',
    })
  })

  it('SendTracked of nothing known is answered as recorded', async () => {
    const raw = client()
    for (const name of ['SEND_TRACKED unknown connection', 'SEND_TRACKED short']) {
      const one = recorded(name)
      raw.socket.write(hex(one.request_hex))
      await raw.until(() => raw.bodies.length > 0)
      expect(wire(raw.bodies.shift()!), name).toBe(one.replies[0].hex)
    }
  })

  it('a client that owes the reading of a thousand results is told so, and nothing is sent', async () => {
    const raw = client()
    const { id } = await dial(raw)
    raw.write({ type: 'send-tracked', id, sendId: 0n, data: generated(300_000) })
    for (let i = 1; i <= 1024; i++)
      raw.write({ type: 'send-tracked', id, sendId: BigInt(i), data: hex('01') })
    expect(await raw.nextOf('tracked-result')).toMatchObject({ sendId: 1024n, code: 4 })
  })
})

describe('signatures for local programs', () => {
  it('SignChallenge signs under a name of its own, as recorded', async () => {
    const one = recorded('SIGN_CHALLENGE')
    const told = JSON.parse(one.replies[0].json)
    const signed = Buffer.from(`pilot.ipc.sign_challenge.v1\0challenge`)
    const verify = (reply: { public_key: string; signature: string }): boolean =>
      crypto.ed25519Verify(fromBase64(reply.public_key)!, signed, fromBase64(reply.signature)!)
    expect(verify(told)).toBe(true)
    const raw = client()
    raw.socket.write(hex(one.request_hex))
    const ours = JSON.parse((await raw.nextOf('json')).text)
    expect(Object.keys(ours).sort()).toEqual(Object.keys(told).sort())
    expect(verify(ours)).toBe(true)
    for (const name of ['SIGN_CHALLENGE empty', 'SIGN_CHALLENGE 4097 bytes']) {
      raw.socket.write(hex(recorded(name).request_hex))
      expect(await raw.next(), name).toEqual({
        type: 'error',
        text: recorded(name).replies[0].text,
      })
    }
  })

  it('signs a request envelope, and verifies it: from itself, pinned, or by the registry', async () => {
    const raw = client()
    const body = toBase64(utf8('{"do":"it"}'))
    const made = await json(raw, {
      type: 'sign-envelope',
      members: { audience: 'api.example', body_b64: body, nonce: '00112233445566ff' },
    })
    expect(made.envelope).toMatch(
      new RegExp(
        `^pilot-req-v1\\|000000000001\\|\\d+\\|00112233445566ff\\|${sha256Hex(utf8('{"do":"it"}'))}\\|api.example$`,
      ),
    )
    const { envelope, signature } = made
    const verify = (more: Record<string, unknown> = {}) =>
      json(raw, { type: 'verify-envelope', members: { envelope, signature, ...more } })
    expect(await verify()).toMatchObject({ valid: true, node_id: 1, verified_via: 'self' })

    // The same envelope, seen from node 2, which knows node 1 by the registry or by trust.
    Object.assign(near, { nodeId: 2 })
    near.registry.lookup = async () => ({
      public_key: toBase64(identity.publicKey),
      networks: [0],
      online: true,
    })
    expect(await verify({ check_standing: true })).toMatchObject({
      valid: true,
      node_id: 1,
      address: '0:0000.0000.0001',
      verified_via: 'registry',
      trusted: false,
      online: true,
      network_member: true,
    })
    const pinned = { nodeId: 1, approvedAt: 1, mutual: true, network: 0 }
    near.trust.trusted = () => [{ ...pinned, publicKey: toBase64(identity.publicKey) }]
    expect(await verify()).toMatchObject({ verified_via: 'trusted', trusted: true })
    // A key of the registry's does not replace the pinned one.
    near.trust.trusted = () => [{ ...pinned, publicKey: toBase64(new Uint8Array(32).fill(9)) }]
    expect(await verify()).toMatchObject({ valid: false, reason: 'bad signature' })
    near.trust.trusted = () => []
    expect(await verify({ signature: toBase64(new Uint8Array(64)) })).toMatchObject({
      reason: 'bad signature',
    })
    expect(await verify({ envelope: `${envelope}x|` })).toMatchObject({
      reason: 'malformed envelope',
    })
    expect(await verify({ signature: 'AA==' })).toMatchObject({ reason: 'malformed signature' })
    const old = `${envelope}`.replace(/\|\d{10}\|/, '|1000|')
    expect(await verify({ envelope: old })).toMatchObject({
      reason: 'timestamp outside of the allowed skew',
    })
    near.registry.lookup = async () => {
      throw new PilotError('ERR_REGISTRY', 'node 1: node not found')
    }
    expect(await verify()).toMatchObject({ valid: false, reason: 'unknown node' })
  })

  it.each([
    [{ audience: 'UPPER', body_hash: 'a'.repeat(64) }, 'sign_envelope: audience'],
    [{ audience: 'a|b', body_hash: 'a'.repeat(64) }, 'sign_envelope: audience'],
    [{ audience: 'a', body_hash: 'A'.repeat(64) }, 'sign_envelope: body_hash'],
    [{ audience: 'a', body_hash: 'a'.repeat(64), nonce: 'zz' }, 'sign_envelope: nonce'],
    [{ audience: 7, body_hash: 'a'.repeat(64) }, 'sign_envelope: audience must be a text'],
  ])('makes no envelope of %j', async (members, text) => {
    const raw = client()
    raw.write({ type: 'sign-envelope', members })
    expect((await raw.nextOf('error')).text.slice(0, text.length)).toBe(text)
  })

  it('hands badges and enrollments to the registry, signed', async () => {
    const asked: Record<string, unknown>[] = []
    near.registry.request = async (message) => {
      asked.push(message)
      return { type: 'ok' }
    }
    const raw = client()
    const badge = 'pilotbadge:v1:1:mail:1:2:k:me'
    await json(raw, { type: 'submit-badge', members: { badge, badge_sig: 's' } })
    const enrollment = 'pilotenroll:v1:1:mail:abcd:5:k'
    await json(raw, { type: 'enroll-recovery', members: { enrollment, enrollment_sig: 'e' } })
    const [first, second] = asked
    expect(first).toMatchObject({ type: 'submit_badge', node_id: 1, badge, badge_sig: 's' })
    expect(second).toMatchObject({ type: 'enroll_recovery', node_id: 1, enrollment })
    for (const [message, signed] of [
      [first, `submit_badge:1:${badge}`],
      [second, 'enroll_recovery:1:abcd'],
    ] as const)
      expect(
        crypto.ed25519Verify(
          identity.publicKey,
          utf8(signed),
          fromBase64(`${message!.signature}`)!,
        ),
      ).toBe(true)
    raw.write({
      type: 'enroll-recovery',
      members: { enrollment: enrollment.replace('v1:1', 'v1:2') },
    })
    expect((await raw.nextOf('error')).text).toBe('enroll_recovery: not an enrollment of node 1')
  })
})

it('PreferDirect looks for a path, and says what the registry says', async () => {
  const raw = client()
  expect(await json(raw, { type: 'prefer-direct', nodeId: 2 })).toEqual({
    node_id: 2,
    had_tunnel: false,
    was_relay_active: false,
    was_relay_pinned: false,
    pila_pushed: true,
    resolve_error: '',
  })
  seekError = new PilotError('ERR_REGISTRY', 'node 9: node not found')
  expect(await json(raw, { type: 'prefer-direct', nodeId: 9 })).toMatchObject({
    resolve_error: 'node 9: node not found',
  })
  expect(sought).toEqual([2, 9])
})

it('Info tells how the node is reached, and what drivers may use', async () => {
  const info = await json(client(), { type: 'info' })
  expect(info).toMatchObject({ transport: 'compat', webhook_queue_dropped: 0 })
  expect(info.capabilities).toContain('stream_send_result_v2')
})
