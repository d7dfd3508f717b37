/** The first minute: the link that `npm run demo -- --stay` prints, opened in a browser. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CHROMIUM, launch } from './chromium.ts'
import { buildAll, ConsolePage } from './console-page.ts'

const story: string = fileURLToPath(new URL('../../examples/demo/story.ts', import.meta.url))

describe.skipIf(!existsSync(CHROMIUM))('the demo that stays', () => {
  let browser: Browser
  let demo: ChildProcess
  let told = ''

  beforeAll(async () => {
    buildAll()
    demo = spawn(process.execPath, [story, '--stay'], { stdio: ['ignore', 'pipe', 'pipe'] })
    demo.stdout?.setEncoding('utf8').on('data', (text: string) => {
      told += text
    })
    browser = await launch()
  }, 120_000)

  afterAll(async () => {
    await browser?.close()
    const gone = new Promise((resolve) => demo.once('exit', resolve))
    demo.kill('SIGINT')
    await gone
  }, 30_000)

  it('prints a link by which a tab meets an agent that approves, answers and takes files', async () => {
    const link = (): string => /http:\S+#pair=agent-a/.exec(told)?.[0] ?? ''
    await expect.poll(link, { timeout: 60_000 }).not.toBe('')
    const one = await ConsolePage.open(browser, link())
    await one.join('visitor')
    await one.choose('agent-a')
    await one.say('good morning')
    await one.message('this is agent-a').waitFor()
    await one.page.getByRole('tab', { name: 'Files' }).click()
    await one.sendFile('gift.bin', Buffer.alloc(100_000, 7))
    await one.page.locator('.transfer[data-state=done]').waitFor()
    await expect.poll(() => told).toContain('file of 100000 bytes')
    expect(told).toMatch(/agent-a.* asked for trust, "paired by link from visitor": approved/)
    expect(told).toMatch(/agent-a.* message from .*: good morning/)
    expect(one.errors).toEqual([])
    await one.close()
  }, 120_000)
})
