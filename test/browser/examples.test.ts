/** The examples that are pages, served by the commands of their READMEs, from the built package by its public name. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest'
import { createRendezvous, type Rendezvous } from '../../signaling/index.ts'
import { buildPackage } from '../build-package.ts'
import { start } from '../examples/documented.ts'
import { launch } from './chromium.ts'

const FILE_BYTES = 3_000_000
const WAIT_MS = 15_000

let rendezvous: Rendezvous
let browser: Browser
let more: readonly string[]

beforeAll(async () => {
  await buildPackage()
  const any = '127.0.0.1:0'
  const addresses = { registryAddress: any, beaconAddress: any, httpAddress: any }
  rendezvous = await createRendezvous(addresses)
  const { registryEndpoint, beaconEndpoint } = rendezvous
  more = [`127.0.0.1:${registryEndpoint.port}`, `127.0.0.1:${beaconEndpoint.port}`]
  browser = await launch()
})

afterAll(async () => {
  await browser?.close()
  await rendezvous?.close()
})

/** Serves as documented, on a free port, and gives the address of the page. */
async function serve(example: string, entry: string): Promise<string> {
  const command =
    `npx esbuild ${entry} worker=pilot-ts/browser/worker --bundle --format=esm ` +
    `--outdir=examples/${example}/out --servedir=examples/${example}`
  const server = start(example, command, { more: ['--serve=127.0.0.1:0', '--log-level=info'] })
  onTestFinished(() => server.stop())
  const [, url] = await server.tells(/(http:\/\/127\.0\.0\.1:\d+\/)/)
  return `${url}?rendezvous=ws://127.0.0.1:${rendezvous.httpEndpoint?.port}`
}

async function program(example: string, command: string, words = more): Promise<void> {
  const running = start(example, command, { more: words })
  onTestFinished(() => running.stop())
  await running.tells(/node \d+/)
}

async function open(url: string): Promise<Page> {
  const context = await browser.newContext()
  onTestFinished(() => context.close())
  const page = await context.newPage()
  await page.goto(url)
  return page
}

const shows = async (page: Page, text: string | RegExp): Promise<void> =>
  page.locator('#log', { hasText: text }).waitFor({ timeout: WAIT_MS })

it('tab: a page of ten lines talks to a program', async () => {
  await program('tab', 'node examples/tab/echo.ts')
  await shows(
    await open(await serve('tab', 'pilot=pilot-ts/browser')),
    'back came: hello from a tab',
  )
})

it('chat: two pages write to each other', async () => {
  const url = await serve('chat', 'chat=examples/chat/chat.ts')
  const [ann, bob] = [await open(url), await open(url)]
  for (const [page, name] of [
    [ann, 'ann'],
    [bob, 'bob'],
  ] as const) {
    await page.fill('[name=name]', name)
    await page.click('text=Join')
    await shows(page, `you are ${name}`)
  }
  await ann.fill('[name=peer]', 'bob')
  await ann.fill('[name=text]', 'hello <b>bob</b>')
  await ann.click('text=Send')
  await shows(bob, /ann \(node \d+\): hello <b>bob<\/b>/)
  await shows(ann, 'to bob: hello')
  await ann.fill('[name=peer]', 'nobody')
  await ann.click('text=Send')
  await shows(ann, 'not sent to nobody')
})

it('file-drop: what is dropped is stored, and its hash comes back', async () => {
  const inbox = mkdtempSync(join(tmpdir(), 'pilot-inbox-'))
  onTestFinished(() => rmSync(inbox, { recursive: true, force: true }))
  await program('file-drop', 'node examples/file-drop/inbox.ts', [inbox, ...more])
  const page = await open(await serve('file-drop', 'drop=examples/file-drop/drop.ts'))
  await shows(page, 'this page is node')
  const buffer = Buffer.alloc(FILE_BYTES, 'pilot')
  await page.setInputFiles('#file', { name: 'a.bin', mimeType: 'application/octet-stream', buffer })
  await shows(page, 'a.bin: stored, SHA-256')
  expect(readFileSync(join(inbox, 'a.bin')).equals(buffer)).toBe(true)
  // Nothing hidden is written.
  await page.setInputFiles('#file', { name: '.bashrc', mimeType: 'text/plain', buffer })
  await shows(page, /\.bashrc: NOT (sent|stored)/)
})
