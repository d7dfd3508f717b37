/** The console in a real browser: pairing, talking, files, streams, coming back, and what it says when it cannot. */
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createRendezvous, type Rendezvous } from '../../signaling/index.ts'
import { User } from '../e2e/programs.ts'
import { CHROMIUM, LOADED_MS, launch } from './chromium.ts'
import { buildAll, CONSOLE_FOLDER, ConsolePage, type Look, serveFolder } from './console-page.ts'

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
/** Dark and 390 wide. */
const PHONE: Look = { width: 390, colorScheme: 'dark' }

describe.skipIf(!existsSync(CHROMIUM))('the console', () => {
  let browser: Browser
  let rendezvous: Rendezvous
  let url: string
  const open: ConsolePage[] = []

  const visit = async (address: string, look?: Look): Promise<ConsolePage> => {
    const one = await ConsolePage.open(browser, address, look)
    open.push(one)
    return one
  }
  /** Two that trust each other, on the page of the other. */
  const pair = async (
    nameA: string,
    nameB: string,
    look?: Look,
  ): Promise<[ConsolePage, ConsolePage]> => {
    const a = await visit(url)
    await a.join(nameA)
    const b = await visit(await a.pairingLink(), look)
    await b.join(nameB)
    await a.approve(nameB)
    await a.choose(nameB)
    await b.page.locator('.peer-head .dot.online').waitFor()
    return [a, b]
  }

  beforeAll(async () => {
    buildAll()
    rendezvous = await createRendezvous({
      registryAddress: '127.0.0.1:0',
      beaconAddress: '127.0.0.1:0',
      httpAddress: '127.0.0.1:0',
      limits: { registrationsPerMinute: 1000 },
    })
    url = `${rendezvous.httpUrl}/console/`
    browser = await launch()
  }, 120_000)

  afterEach(async () => {
    const errors = open.flatMap((one) => one.errors)
    await Promise.all(open.splice(0).map((one) => one.close()))
    expect(errors).toEqual([])
  })

  afterAll(async () => {
    await browser?.close()
    await rendezvous?.close()
  })

  it('is linked from the status page, and asks nobody but its own origin', async () => {
    const context = await browser.newContext()
    const page = await context.newPage()
    const asked = new Set<string>()
    page.on('request', (request) => asked.add(new URL(request.url()).origin))
    await page.goto(`${rendezvous.httpUrl}/`)
    await page.getByRole('link', { name: 'Open the console' }).click()
    await page.getByRole('button', { name: 'Join', exact: true }).waitFor()
    expect([...asked]).toEqual([rendezvous.httpUrl])
    await context.close()
  })

  it('two browsers pair by link, talk, send files, and find a direct path', async () => {
    const a = await visit(url)
    await a.shots('join')
    await a.join('alice')
    await a.shots('home')
    const b = await visit(await a.pairingLink(), PHONE)
    await b.page
      .getByRole('note')
      .getByText(await a.address())
      .waitFor()
    await b.shots('invitation')
    await b.join('bob')
    await a.page.locator('.request', { hasText: 'paired by link from bob' }).waitFor()
    await a.shots('request')
    await a.approve('bob')
    await a.choose('bob')

    // The path starts at the relay or better, and ends direct.
    await a.page.locator('.path[data-path=direct]', { hasText: 'WebRTC' }).waitFor()
    await b.page.locator('.path[data-path=direct]', { hasText: 'WebRTC' }).waitFor()

    await a.say('hello bob')
    await b.message('hello bob').waitFor()
    await a.page.locator('.message.out[data-state=acknowledged]').waitFor()
    await b.say('hello\nalice ✓')
    await a.message('hello alice ✓').waitFor()
    await b.page.locator('.message.out[data-state=acknowledged]').waitFor()
    await a.shots('chat')

    for (const [from, to, name] of [
      [a, b, 'from a.bin'],
      [b, a, 'from b.bin'],
    ] as const) {
      const bytes = randomBytes(1 << 20)
      await from.page.getByRole('tab', { name: 'Files' }).click()
      await to.page.getByRole('tab', { name: 'Files' }).click()
      await from.sendFile(name, bytes)
      const done = from.page.locator('.transfer[data-state=done][data-direction=out]', {
        hasText: name,
      })
      await done.getByText('verified').waitFor()
      const file = to.page.locator('.file', { hasText: name })
      expect(await file.locator('.hash code').textContent()).toBe(sha256(bytes))
      expect(await done.locator('.hash code').textContent()).toBe(sha256(bytes))
      expect(sha256(await to.saved(name))).toBe(sha256(bytes))
    }
    await a.shots('files')

    await a.page.getByRole('tab', { name: 'Connection' }).click()
    await a.page.getByRole('button', { name: 'Measure' }).click()
    await a.page.locator('.result', { hasText: 'there and back' }).waitFor({ timeout: 40_000 })
    console.log(await a.page.locator('.result').innerText())
    expect(await a.page.locator('.result').innerText()).toMatch(/p50 .* p95 .* 0 of 20 lost/)
    await a.page
      .locator('.events', { hasText: /path: .*WebRTC/ })
      .first()
      .waitFor()
    await a.shots('connection')
    await b.page.getByRole('tab', { name: 'Connection' }).click()
  }, 90_000)

  it('sends 32 MiB, and a transfer can be cancelled', async () => {
    const [a, b] = await pair('big-a', 'big-b')
    const bytes = randomBytes(32 << 20)
    await a.page.getByRole('tab', { name: 'Files' }).click()
    await b.page.getByRole('tab', { name: 'Files' }).click()
    await a.sendFile('big.bin', bytes)
    await a.page.locator('.transfer[data-state=moving] .meta', { hasText: '/s' }).waitFor()
    const started = Date.now()
    await a.page.locator('.transfer[data-state=done]').waitFor({ timeout: 60_000 })
    console.log(`32 MiB tab to tab: ${Date.now() - started} ms`)
    expect(await b.page.locator('.file .hash code').first().textContent()).toBe(sha256(bytes))
    await a.sendFile('unwanted.bin', bytes)
    await b.page.getByRole('button', { name: 'Cancel unwanted.bin' }).click()
    await b.page.locator('.transfer[data-state=cancelled]').waitFor()
    await a.page
      .locator('.transfer[data-state=failed]', { hasText: 'the receiver cancelled' })
      .waitFor()
    await a.sendFile('regretted.bin', bytes)
    await b.page.getByRole('button', { name: 'Cancel regretted.bin' }).waitFor()
    await a.page.getByRole('button', { name: 'Cancel regretted.bin' }).click()
    await a.page.locator('.transfer[data-state=cancelled]').waitFor()
    await b.page
      .locator('.transfer[data-state=failed]', { hasText: 'the sender cancelled' })
      .waitFor()
    expect(await b.page.locator('.file').count()).toBe(1)
  }, 120_000)

  it('types into the echo of a peer, in text and hex, and closes either way', async () => {
    const [a] = await pair('term-a', 'term-b')
    const { page } = a
    await page.getByRole('tab', { name: 'Terminal' }).click()
    await page.getByLabel('Port').fill('99999')
    await page.getByRole('button', { name: 'Connect' }).click()
    await page.getByText('A port is a number from 1 to 65535.').waitFor()
    await page.getByLabel('Port').fill('4000')
    await page.getByRole('button', { name: 'Connect' }).click()
    await page.locator('.screen .note', { hasText: 'nothing listens on that port' }).waitFor()
    await page.getByLabel('Port').fill('7')
    await page.getByRole('button', { name: 'Connect' }).click()
    await page.locator('.screen .note', { hasText: 'connected to port 7' }).waitFor()
    await page.getByLabel('Line to send').fill('héllo')
    await page.keyboard.press('Enter')
    await page.locator('.screen .in.text', { hasText: 'héllo' }).waitFor()
    await page.getByLabel('Hex').check()
    await page.getByLabel('Line to send').fill('hello')
    await page.keyboard.press('Enter')
    await page.locator('.screen .in.hex', { hasText: '68 65 6c 6c 6f 0a' }).waitFor()
    await a.shots('terminal')
    await page.getByRole('tab', { name: 'Connection' }).click()
    await page.locator('tr', { hasText: 'echo' }).getByText('established').waitFor()
    await page.getByRole('tab', { name: 'Terminal' }).click()
    await page.getByRole('button', { name: 'Close our side' }).click()
    await page.locator('.screen .note', { hasText: 'the peer closed its side' }).waitFor()
    await page.locator('.screen .note', { hasText: 'connection closed' }).waitFor()
    await page.getByRole('button', { name: 'Connect' }).click()
    await page.getByRole('button', { name: 'Drop' }).click()
    await page.getByText('Not connected', { exact: true }).waitFor()
    await page.getByRole('button', { name: 'Connect' }).click()
    await page.getByRole('button', { name: 'Drop' }).waitFor()
    await page.getByRole('tab', { name: 'Connection' }).click()
    // The one that was dropped may still be listed.
    const close = page.getByRole('button', { name: /^Close the stream from port \d+ to 7$/ })
    await close.last().click()
    await page.getByRole('tab', { name: 'Terminal' }).click()
    await page.getByText('Not connected', { exact: true }).waitFor()
  }, 60_000)

  it('is back by itself after a reload, with its address, peers and conversation', async () => {
    const [a, b] = await pair('again-a', 'again-b')
    await b.say('remember this')
    await a.message('remember this').waitFor()
    await b.page.locator('.message.out[data-state=acknowledged]').waitFor()
    await a.page.reload()
    const started = Date.now()
    await a.joined()
    expect(Date.now() - started).toBeLessThan(LOADED_MS)
    await a.message('remember this').waitFor()
    expect(await a.page.locator('.own strong').textContent()).toBe('again-a')
    await b.say('and this')
    await a.message('and this').waitFor()
    await a.page.getByRole('button', { name: 'Leave' }).click()
    await a.page.getByRole('button', { name: 'Join', exact: true }).waitFor()
    await a.page.reload()
    await a.page.getByRole('button', { name: 'Join', exact: true }).waitFor()
    expect(await a.page.getByLabel('Hostname').first().inputValue()).toBe('again-a')
  }, 60_000)

  it('is one node in several tabs: conversations are the same, and another tab takes over', async () => {
    const [a, b] = await pair('tabs-a', 'tabs-b')
    expect(a.page.workers()).toHaveLength(1)
    await a.say('from the first tab')
    await b.message('from the first tab').waitFor()
    const second = await a.sibling()
    await second.joined()
    expect(await second.page.locator('.own code').textContent()).toBe(
      await a.page.locator('.own code').textContent(),
    )
    await second.choose('tabs-b')
    await second.message('from the first tab').waitFor()
    await b.say('to whoever serves')
    await a.message('to whoever serves').waitFor()
    await second.message('to whoever serves').waitFor()
    await second.say('from the second tab')
    await b.message('from the second tab').waitFor()
    await a.message('from the second tab').waitFor()
    await a.page.close()
    await second.page.locator('.own code').waitFor()
    await second.say('after the first tab went')
    await b.message('after the first tab went').waitFor()
    await expect
      .poll(
        async () => {
          await b.say('are you there?')
          await second.page.waitForTimeout(500)
          return second.message('are you there?').count()
        },
        { timeout: 20_000 },
      )
      .toBeGreaterThan(0)
  }, 60_000)

  it('ends a trust after asking back, and can decline', async () => {
    const [a, b] = await pair('end-a', 'end-b')
    await a.page.getByRole('button', { name: 'Revoke' }).click()
    await a.page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
    await a.page.getByRole('button', { name: 'Revoke' }).click()
    await a.page.getByRole('dialog').getByRole('button', { name: 'End it' }).click()
    await a.page.getByText('You do not trust each other.').waitFor()
    await b.page.getByText('You do not trust each other.').waitFor()
    // A link that is opened in a node that has joined asks back first.
    await b.page.goto(`${url}#pair=end-a`)
    const dialog = b.page.getByRole('dialog')
    await dialog.getByText('end-a').waitFor()
    await b.shots('pairing')
    await dialog.getByRole('button', { name: 'Not now' }).click()
    await dialog.waitFor({ state: 'detached' })
    expect(b.page.url()).toBe(url)
    await b.page.goto(`${url}#pair=end-a`)
    await dialog.getByRole('button', { name: 'Ask for trust' }).click()
    await a.page.locator('blockquote', { hasText: 'paired by link from end-b' }).waitFor()
    await a.page.getByRole('button', { name: 'Reject end-b' }).click()
    await b.page.locator('.notice', { hasText: 'declined' }).waitFor()
    await b.ask('end-a', 'once more')
    await a.page.locator('blockquote', { hasText: 'once more' }).waitFor()
    await a.page.getByRole('button', { name: 'Reject end-b' }).click()
    await b.page.locator('.notice', { hasText: 'declined' }).waitFor()
    await a.page.locator('.request').waitFor({ state: 'detached' })
  }, 60_000)

  it('talks with a daemon as pilotctl does', async () => {
    const user = new User({
      registry: `127.0.0.1:${rendezvous.registryEndpoint.port}`,
      beacon: `127.0.0.1:${rendezvous.beaconEndpoint.port}`,
    })
    try {
      const started = await user.ctl(
        'daemon',
        'start',
        '--hostname',
        'server',
        '--listen',
        '127.0.0.1:0',
      )
      expect(started.code, started.stderr).toBe(0)
      const a = await visit(url, { colorScheme: 'dark' })
      await a.join('person')
      await a.ask('server', 'to talk')
      expect((await user.eventually(10_000, 'approve', 'person')).code).toBe(0)
      await a.choose('server')
      await a.say('to the inbox <i>ü</i>')
      await a.page.locator('.message.out[data-state=acknowledged]').waitFor()
      const inbox = await user.ctl('inbox', '--json')
      expect(JSON.stringify(inbox.json)).toContain('to the inbox <i>ü</i>')
      const sent = await user.ctl('send-message', 'person', '--data', 'from the shell', '--json')
      expect(sent.json).toMatchObject({ ack: 'ACK TEXT 14 bytes' })
      await a.message('from the shell').waitFor()
      await a.shots('chat')

      await a.page.getByRole('tab', { name: 'Files' }).click()
      const bytes = randomBytes(3 << 20)
      const path = join(user.home, 'shell.bin')
      writeFileSync(path, bytes)
      const file = await user.ctl('send-file', 'person', path, '--json')
      expect(file.code, file.stderr).toBe(0)
      expect(sha256(await a.saved('shell.bin'))).toBe(sha256(bytes))
      await a.sendFile('page.bin', bytes)
      await a.page.locator('.transfer[data-state=done][data-direction=out]').waitFor()
      const received = await user.ctl('received', '--json')
      const [first] = received.json.files as { path: string }[]
      expect(sha256(readFileSync(first?.path ?? ''))).toBe(sha256(bytes))
    } finally {
      await user.dispose()
    }
  }, 90_000)

  it('says in plain words why it cannot join', async () => {
    const a = await visit(url, { width: 390 })
    const { page } = a
    const hostname = page.getByLabel('Hostname').first()
    const submit = page.getByRole('button', { name: 'Join', exact: true })
    await hostname.fill('-bad-')
    await submit.click()
    await page.locator('#hostname-problem', { hasText: 'lowercase alphanumeric' }).waitFor()
    expect(await hostname.getAttribute('aria-invalid')).toBe('true')
    await hostname.fill('localhost')
    await submit.click()
    await page.locator('#hostname-problem', { hasText: 'reserved' }).waitFor()
    await a.shots('bad-hostname')
    const holder = await visit(url)
    await holder.join('taken')
    await hostname.fill('taken')
    await submit.click()
    await page
      .locator('#hostname-problem', { hasText: '“taken” is taken by another node' })
      .waitFor()
    await hostname.fill('free')
    await submit.click()
    await a.joined()
  }, 60_000)

  it('asks for a rendezvous where it is a static page, and says when none answers', async () => {
    const named = await visit(`${url}?rendezvous=ws://127.0.0.1:9`, PHONE)
    await named.page.getByRole('button', { name: 'Join', exact: true }).click()
    await named.page
      .locator('.problem', { hasText: 'The rendezvous at ws://127.0.0.1:9 cannot be reached' })
      .waitFor({ timeout: 20_000 })
    await named.shots('unreachable')
    const wrong = await visit(`${url}?rendezvous=nonsense`)
    await wrong.page.getByRole('button', { name: 'Join', exact: true }).click()
    await wrong.page
      .locator('.problem', { hasText: 'is not the address of a rendezvous' })
      .waitFor()
  }, 60_000)

  it('says when the rendezvous is gone, and is back with it', async () => {
    const options = {
      registryAddress: '127.0.0.1:0',
      beaconAddress: '127.0.0.1:0',
      httpAddress: '127.0.0.1:0',
    }
    const first = await createRendezvous(options)
    const a = await visit(`${first.httpUrl}/console/`)
    await a.join('patient')
    await first.close()
    await a.page.locator('.link-state.reconnecting').waitFor()
    const at = (endpoint: { port: number } | undefined): string => `127.0.0.1:${endpoint?.port}`
    const second = await createRendezvous({
      registryAddress: at(first.registryEndpoint),
      beaconAddress: at(first.beaconEndpoint),
      httpAddress: at(first.httpEndpoint),
    })
    await a.joined()
    await a.page.locator('.events', { hasText: 'connected to the rendezvous again' }).waitFor()
    await second.close()
  }, 60_000)

  const outward = Object.values(networkInterfaces())
    .flat()
    .find((one) => one?.family === 'IPv4' && !one.internal)?.address
  it.skipIf(outward === undefined)(
    'says why it cannot keep keys where it came without https',
    async () => {
      const plain = await createRendezvous({
        registryAddress: '127.0.0.1:0',
        beaconAddress: '127.0.0.1:0',
        httpAddress: `${outward}:0`,
      })
      const a = await visit(`${plain.httpUrl}/console/`)
      await a.page.getByRole('alert').getByText('only over https or on localhost').waitFor()
      expect(await a.page.getByRole('button').count()).toBe(0)
      await plain.close()
    },
  )

  it('works from any static host under any path, by a rendezvous that is named', async () => {
    const host = await serveFolder(CONSOLE_FOLDER, '/some/path/')
    const a = await visit(`${host.url}some/path/`)
    await a.page.getByRole('button', { name: 'Join', exact: true }).click()
    await a.page.getByText('Say which rendezvous to join.').waitFor()
    await a.page.getByLabel('Rendezvous').fill(`ws://127.0.0.1:${rendezvous.httpEndpoint?.port}`)
    await a.join('static-a')
    const link = await a.pairingLink()
    expect(link).toContain(`${host.url}some/path/?rendezvous=ws`)
    const b = await visit(link)
    await b.join('static-b')
    await a.approve('static-b')
    await a.choose('static-b')
    await a.say('from afar')
    await b.message('from afar').waitFor()
    await host.close()
  }, 60_000)

  it('saves an identity under its recovery passphrase, and another browser takes it over', async () => {
    const a = await visit(url)
    await a.page.getByText('Make this address movable').click()
    await a.page.getByLabel('Recovery passphrase').fill('short')
    await a.page.getByRole('button', { name: 'Join', exact: true }).click()
    await a.page.getByText('At least 8 characters').waitFor()
    await a.page.getByLabel('Recovery passphrase').fill('correct horse battery')
    await a.join('mover')
    const address = await a.address()
    const passphrase = a.page.getByLabel('The recovery passphrase it was made with')
    await passphrase.fill('not the right one')
    await a.page.getByRole('button', { name: 'Save to a file' }).click()
    await a.page.getByText('That is not the recovery passphrase').waitFor()
    await passphrase.fill('correct horse battery')
    const coming = a.page.waitForEvent('download')
    await a.page.getByRole('button', { name: 'Save to a file' }).click()
    const path = await (await coming).path()
    await a.page.getByRole('button', { name: 'Leave' }).click()
    await a.page.getByRole('button', { name: 'Join', exact: true }).waitFor()

    const b = await visit(url)
    await b.page.getByText('Use a saved identity').click()
    await b.page.getByLabel('File').setInputFiles(path)
    await b.page.getByLabel('Its passphrase').fill('wrong one here')
    await b.page.getByRole('button', { name: 'Take it over' }).click()
    await b.page.getByText('The file does not open').waitFor()
    await b.page.getByLabel('Its passphrase').fill('correct horse battery')
    await b.page.getByRole('button', { name: 'Take it over' }).click()
    await b.page.getByText('The identity is in this browser now.').waitFor()
    await b.join('mover')
    expect(await b.address()).toBe(address)

    // One that was made without cannot be saved, and says so.
    const c = await visit(url)
    await c.join('stayer')
    await c.page.getByText('it was made without a recovery passphrase').waitFor()
  }, 60_000)

  it('is worked by keyboard alone', async () => {
    const [a, b] = await pair('keys-a', 'keys-b')
    const { page } = a
    await page.getByRole('tab', { name: 'Chat' }).focus()
    await page.keyboard.press('ArrowRight')
    await page.getByRole('tab', { name: 'Files', selected: true }).waitFor()
    await page.keyboard.press('End')
    await page.getByRole('tab', { name: 'Connection', selected: true }).waitFor()
    await page.keyboard.press('Home')
    await page.keyboard.press('Tab')
    expect(await page.evaluate('document.activeElement.id')).toBe('composer')
    await page.keyboard.type('typed')
    await page.keyboard.press('Enter')
    await b.message('typed').waitFor()
    await page.getByRole('button', { name: 'Revoke' }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('dialog').waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Revoke')
  }, 60_000)

  it('shows markup of others as text', async () => {
    const markup = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    const [a, b] = await pair('inert-a', 'inert-b')
    await a.say(markup)
    await b.message(markup).waitFor()
    await a.page.getByRole('button', { name: 'Revoke' }).click()
    await a.page.getByRole('dialog').getByRole('button', { name: 'End it' }).click()
    await b.page.getByText('You do not trust each other.').waitFor()
    await b.ask('inert-a', markup)
    await a.page.locator('blockquote', { hasText: markup }).waitFor()
    for (const { page } of [a, b]) {
      expect(await page.locator('main img, .side img, main script').count()).toBe(0)
      expect(await page.title()).toContain('Pilot console')
    }
    const invited = await visit(`${url}#pair=${encodeURIComponent(markup)}`)
    await invited.page.getByRole('button', { name: 'Join', exact: true }).waitFor()
    expect(await invited.page.locator('.invitation').count()).toBe(0)
  }, 60_000)
})
