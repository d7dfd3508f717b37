/** The same page in the Firefox that Debian packages, driven over WebDriver BiDi. */
import puppeteer, { type Browser, type Page } from 'puppeteer-core'

export const FIREFOX: string = process.env.FIREFOX ?? '/usr/bin/firefox-esr'

const PREFERENCES = {
  // Asks nobody outside.
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'app.normandy.enabled': false,
  'browser.safebrowsing.downloads.remote.enabled': false,
  // Host candidates by address: no multicast names.
  'media.peerconnection.ice.obfuscate_host_addresses': false,
}

export function launchFirefox(): Promise<Browser> {
  return puppeteer.launch({
    browser: 'firefox',
    executablePath: FIREFOX,
    headless: true,
    extraPrefsFirefox: PREFERENCES,
  })
}

/** A tab with the page loaded; those of one browser share their origin's storage. */
export async function openFirefoxTab(browser: Browser, url: string): Promise<Page> {
  const page = await browser.newPage()
  page.on('pageerror', (error) => console.error('page:', error))
  await page.goto(url)
  await page.waitForFunction('globalThis.tab !== undefined')
  return page
}
