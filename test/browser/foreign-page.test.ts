/** A page of some other origin, and the doors of a daemon on the same machine: it can be a stranger there, and nothing else. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createRendezvous, type Rendezvous } from '../../signaling/index.ts'
import { CHROMIUM, launch, openTab, type PageServer, servePage } from './chromium.ts'
import { call, until } from './setup.ts'

const program = new URL('../../runtimes/node/bin/pilot-daemon.ts', import.meta.url).pathname

describe.skipIf(!existsSync(CHROMIUM))('a page of a foreign origin', () => {
  const home = mkdtempSync(join(tmpdir(), 'pilot-foreign-'))
  let rendezvous: Rendezvous
  let daemon: ChildProcess
  let pages: PageServer
  let browser: Browser
  let page: Page
  let port = ''
  let log = ''

  beforeAll(async () => {
    rendezvous = await createRendezvous({
      registryAddress: '127.0.0.1:0',
      beaconAddress: '127.0.0.1:0',
    })
    const { registryEndpoint, beaconEndpoint } = rendezvous
    const argv = ['-socket', join(home, 'pilot.sock'), '-identity', join(home, 'identity.json')]
    argv.push('-registry', `127.0.0.1:${registryEndpoint.port}`)
    argv.push('-beacon', `127.0.0.1:${beaconEndpoint.port}`, '-ws-listen=127.0.0.1:0')
    daemon = spawn(process.execPath, [program, ...argv], {
      env: { ...process.env, HOME: home },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    daemon.stderr?.on('data', (chunk) => {
      log += chunk
    })
    await until(() => /daemon running/.test(log), 20_000, 'for the daemon')
    port = /ws:\/\/127\.0\.0\.1:(\d+)/.exec(log)?.[1] ?? ''
    expect(port).not.toBe('')
    pages = await servePage()
    browser = await launch()
    page = await openTab(browser, pages.url)
  }, 60_000)

  afterAll(async () => {
    await browser?.close()
    await pages?.close()
    if (daemon?.exitCode === null) {
      daemon.kill('SIGTERM')
      await once(daemon, 'exit')
    }
    await rendezvous?.close()
    rmSync(home, { recursive: true, force: true })
  })

  it('reads nothing of the daemon by HTTP, whatever it asks for', async () => {
    for (const path of ['/', '/v1/path', '/info', '/ipc', '/pilot.sock', '/api/stats'])
      for (const method of ['GET', 'POST', 'OPTIONS'])
        expect(
          await call(
            page,
            `fetch('http://127.0.0.1:${port}${path}', { method: '${method}' })
              .then((answer) => answer.status, (error) => error.name)`,
          ),
        ).toBe('TypeError') // no answer allows another origin to read it
  })

  it('gets a challenge at the one WebSocket there is, and is shown out when it cannot answer', async () => {
    const speak = (
      path: string,
      protocols: string,
      text: string,
    ): string => `new Promise((done) => {
      const socket = new WebSocket('ws://127.0.0.1:${port}${path}', ${protocols})
      const heard = []
      socket.onmessage = ({ data }) => {
        heard.push(JSON.parse(data).type)
        socket.send(${text})
      }
      socket.onclose = ({ code }) => done({ heard, code })
    })`
    const command = `JSON.stringify({ op: 'info' })`
    expect(await call(page, speak('/v1/path', `'pilot.path.v1'`, command))).toEqual({
      heard: ['auth_challenge'],
      code: 1008,
    })
    // As the driver protocol of the daemon's socket begins: a length and an opcode.
    const driver = 'Uint8Array.of(0, 0, 0, 1, 0x0d)'
    expect(await call(page, speak('/v1/path', `'pilot.path.v1'`, driver))).toEqual({
      heard: ['auth_challenge'],
      code: 1008,
    })
    for (const path of ['/', '/ipc', '/v1/compat'])
      expect(await call(page, speak(path, '[]', command))).toEqual({ heard: [], code: 1006 })
  })

  it('as a node of its own, but a stranger, comes no further', async () => {
    const forged = `new Promise((done) => {
      const socket = new WebSocket('ws://127.0.0.1:${port}/v1/path', 'pilot.path.v1')
      socket.onmessage = async ({ data }) => {
        const { nonce, ts } = JSON.parse(data)
        const pair = await crypto.subtle.generateKey('Ed25519', true, ['sign'])
        const key = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey))
        const text = new TextEncoder().encode('pilot-path-websocket:1:2:' + ts + ':' + nonce)
        const signature = new Uint8Array(await crypto.subtle.sign('Ed25519', pair.privateKey, text))
        const base64 = (bytes) => btoa(String.fromCharCode(...bytes))
        socket.send(JSON.stringify({
          type: 'auth_reply', node_id: 2, public_key: base64(key), signature: base64(signature),
        }))
      }
      socket.onclose = ({ code }) => done(code)
    })`
    expect(await call(page, forged)).toBe(1008)
    expect(daemon.exitCode).toBeNull()
  })
})
