import { describe, expect, it } from 'vitest'
import {
  formatView,
  isTarget,
  namedRendezvous,
  ownRendezvous,
  pairLink,
  parsePairTarget,
  parseView,
} from '../../../signaling/console/model/place.ts'

describe('pairing links', () => {
  it.each(['0:0000.0001.2345', 'agent-a', '17'])('lead to %s and back', (target) => {
    const link = pairLink('https://host/base/console/?x=1#peer=3', target, undefined)
    expect(link).toBe(`https://host/base/console/#pair=${target}`)
    expect(parsePairTarget(new URL(link).hash)).toBe(target)
  })
  it('name the rendezvous of a page that has none', () => {
    const link = pairLink('https://static.example/c/', 'bob', 'wss://meet.example/p?q')
    expect(namedRendezvous(link)).toBe('wss://meet.example/p?q')
    expect(parsePairTarget(new URL(link).hash)).toBe('bob')
  })
  it.each([
    '',
    '#',
    '#peer=1',
    '#pair=',
    '#pair=<b>',
    '#pair=A B',
    `#pair=${'a'.repeat(81)}`,
    '#pair=-x',
    '#pair=0:0000.0001',
    '#pair=javascript:alert(1)',
  ])('are nothing else: %s', (hash) => expect(parsePairTarget(hash)).toBeUndefined())
  it('reads targets as the registry does', () => {
    expect(isTarget('a'.repeat(63))).toBe(true)
    expect(isTarget('a'.repeat(64))).toBe(false)
    expect(isTarget('Agent')).toBe(false)
  })
})

describe('views', () => {
  it.each([
    [{ name: 'home' }, '#home'],
    [{ name: 'peer', nodeId: 7, tab: 'chat' }, '#peer=7'],
    [{ name: 'peer', nodeId: 4294967295, tab: 'files' }, '#peer=4294967295&tab=files'],
  ] as const)('%j is %s', (view, hash) => {
    expect(formatView(view)).toBe(hash)
    expect(parseView(hash)).toEqual(view)
  })
  it.each(['', '#peer=0', '#peer=1.5', '#peer=4294967296', '#peer=x', '#tab=files', '#%'])(
    'anything else is home: %s',
    (hash) => expect(parseView(hash)).toEqual({ name: 'home' }),
  )
  it('takes a tab it does not know for the first', () => {
    expect(parseView('#peer=7&tab=nope')).toEqual({ name: 'peer', nodeId: 7, tab: 'chat' })
  })
})

describe('the rendezvous', () => {
  it.each([
    ['http://127.0.0.1:8080/console/', 'ws://127.0.0.1:8080'],
    ['https://host/console/?a=b#peer=1', 'wss://host'],
    ['https://host/base/console/index.html', 'wss://host/base'],
  ])('of %s is its server, %s', (page, url) => {
    expect(ownRendezvous(page, 'self')).toBe(url)
    expect(ownRendezvous(page, '')).toBeUndefined()
  })
  it('is what the address names', () => {
    expect(namedRendezvous('https://h/?rendezvous=%20ws://a:1%20')).toBe('ws://a:1')
    expect(namedRendezvous('https://h/?rendezvous=')).toBeUndefined()
  })
})
