import { describe, expect, it } from 'vitest'
import {
  RegistryClient,
  type RegistryClientEvent,
} from '../../../core/rendezvous/registry-client.ts'
import { encodeRegistryFrame } from '../../../core/wire/registry-message.ts'

function drain(client: RegistryClient): RegistryClientEvent[] {
  const events: RegistryClientEvent[] = []
  for (let event = client.pollEvent(); event !== undefined; event = client.pollEvent())
    events.push(event)
  return events
}

function connected(now = 0): RegistryClient {
  const client = new RegistryClient(now)
  client.handleTimeout(now)
  client.handleConnected()
  drain(client)
  return client
}

const ok = (type: string) => encodeRegistryFrame({ type })

describe('a registry connection', () => {
  it('gives answers to requests in order, however the bytes are cut', () => {
    const client = connected()
    const first = client.request({ type: 'a' }, 0)
    const second = client.request({ type: 'b' }, 0)
    drain(client)
    for (const byte of [...ok('a_ok'), ...encodeRegistryFrame({ type: 'error', error: 'no' })])
      client.handleData(Uint8Array.of(byte), 1)
    expect(drain(client)).toMatchObject([
      { type: 'reply', id: first, reply: { type: 'a_ok' } },
      { type: 'failed', id: second, error: { code: 'ERR_REGISTRY', message: 'registry: no' } },
    ])
  })

  it('repeats once what a lost connection left open, then fails it', () => {
    const client = connected()
    const id = client.request({ type: 'a' }, 0)
    drain(client)
    client.handleDisconnected('gone', 1)
    expect(drain(client)).toEqual([{ type: 'lost', reason: 'gone' }])
    client.handleTimeout(1)
    client.handleConnected()
    expect(drain(client).map((event) => event.type)).toEqual(['connect', 'connected', 'send'])
    client.handleDisconnected('gone again', 2)
    expect(drain(client)).toMatchObject([
      { type: 'lost' },
      { type: 'failed', id, error: { code: 'ERR_REGISTRY_UNAVAILABLE', message: 'gone again' } },
    ])
  })

  it('drops a connection that does not answer, and one that answers nonsense', () => {
    const client = connected()
    client.request({ type: 'a' }, 0)
    drain(client)
    client.handleTimeout(10_000)
    expect(drain(client).map((event) => event.type)).toContain('disconnect')
    const other = connected()
    other.handleData(Uint8Array.of(0, 0, 0, 2, 0x5b, 0x5d), 0)
    expect(drain(other).map((event) => event.type)).toEqual(['disconnect', 'lost'])
  })

  it('backs off while nobody answers, and fails what waited too long', () => {
    const client = new RegistryClient(0)
    const id = client.request({ type: 'a' }, 0)
    const attempts: number[] = []
    let failed: RegistryClientEvent | undefined
    for (let now = 0; now <= 15_000; now = client.pollTimeout() ?? 99_999) {
      client.handleTimeout(now)
      for (const event of drain(client)) {
        if (event.type === 'failed') failed ??= event
        if (event.type !== 'connect') continue
        attempts.push(now)
        client.handleDisconnected('refused', now)
      }
    }
    expect(attempts.length).toBeGreaterThan(4)
    expect(attempts.length).toBeLessThan(12)
    expect(failed).toMatchObject({
      id,
      error: { code: 'ERR_REGISTRY_UNAVAILABLE', message: 'refused' },
    })
  })

  it('takes no more than 1024 requests', () => {
    const client = new RegistryClient(0)
    for (let i = 0; i < 1024; i++) client.request({ type: 'a' }, 0)
    expect(drain(client)).toEqual([])
    client.request({ type: 'a' }, 0)
    expect(drain(client)).toMatchObject([{ type: 'failed' }])
  })

  it('fails everything when closed, and asks for no timer any more', () => {
    const client = connected()
    client.request({ type: 'a' }, 0)
    drain(client)
    client.close()
    expect(drain(client).map((event) => event.type)).toEqual(['disconnect', 'failed'])
    expect(client.pollTimeout()).toBeUndefined()
  })
})
