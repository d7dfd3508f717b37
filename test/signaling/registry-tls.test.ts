/** The registry's port when it speaks TLS, alone or beside plain TCP (spec/04 §3, spec/05 §25). */
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { afterEach, expect, it } from 'vitest'
import { encodeRegistryFrame, RegistryFrameDecoder } from '../../core/wire/registry-message.ts'
import { selfSignedCertificate } from '../../signaling/serve-certificate.ts'
import { createRendezvous, type Rendezvous } from '../../signaling/serve-node.ts'

let rendezvous: Rendezvous
const sockets: Socket[] = []
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await rendezvous.close()
})

async function start(plainToo: boolean): Promise<number> {
  rendezvous = await createRendezvous({
    registryAddress: '127.0.0.1:0',
    beaconAddress: '127.0.0.1:0',
    tls: selfSignedCertificate(Date.now()),
    plainToo,
    connectionLimits: { frameMs: 300 },
  })
  return rendezvous.registryEndpoint.port
}

/** The answer to a request that is written byte by byte, `undefined` when the connection ends before. */
function ask(socket: Socket): Promise<unknown> {
  sockets.push(socket)
  const decoder = new RegistryFrameDecoder()
  for (const byte of encodeRegistryFrame({ type: 'beacon_list' })) socket.write(Uint8Array.of(byte))
  return new Promise((resolve) => {
    socket.on('error', () => {})
    socket.on('close', () => resolve(undefined))
    socket.on('data', (chunk) => {
      decoder.push(chunk)
      const message = decoder.next()
      if (message !== undefined) resolve(message.type)
    })
  })
}

const plain = (port: number): Socket => connect({ port, host: '127.0.0.1', noDelay: true })
const secure = (port: number): Socket =>
  connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })

it('takes both on one port when it is told to, whatever a client says first', async () => {
  const port = await start(true)
  const both = await Promise.all([ask(plain(port)), ask(secure(port)), ask(plain(port))])
  expect(both).toEqual(['beacon_list_ok', 'beacon_list_ok', 'beacon_list_ok'])
  // What begins like TLS and is none, and what says nothing, is let go.
  for (const first of [Uint8Array.of(0x16, 0, 0, 0, 0, 0), undefined]) {
    const socket = plain(port)
    sockets.push(socket)
    if (first !== undefined) socket.write(first)
    socket.on('error', () => {})
    socket.resume()
    await new Promise<void>((resolve) => socket.on('close', () => resolve()))
  }
  expect(await ask(secure(port))).toBe('beacon_list_ok')
  expect(rendezvous.stats()).toBeDefined()
})

it('refuses plain TCP otherwise, as the reference does', async () => {
  const port = await start(false)
  expect(await ask(plain(port))).toBeUndefined()
  expect(await ask(secure(port))).toBe('beacon_list_ok')
})
