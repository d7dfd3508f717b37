/** What is read back from storage, how progress is reckoned, and how errors read. */
import { describe, expect, it } from 'vitest'
import { PilotError } from '../../../core/errors.ts'
import {
  type ChatMessage,
  MESSAGES_MAX,
  parseMessages,
  textOfPayload,
  withMessage,
} from '../../../signaling/console/model/chat-message.ts'
import {
  joinProblem,
  mixedContentProblem,
  wordsOf,
} from '../../../signaling/console/model/plain-words.ts'
import { Progress } from '../../../signaling/console/model/progress.ts'
import { DEFAULT_SETTINGS, parseSettings } from '../../../signaling/console/model/settings.ts'

const message = (id: string, state: ChatMessage['state'] = 'received'): ChatMessage => ({
  id,
  direction: state === 'received' ? 'in' : 'out',
  type: 'TEXT',
  text: id,
  bytes: 1,
  at: 1,
  state,
})

describe('conversations', () => {
  it('change in place, and are bounded', () => {
    let all: readonly ChatMessage[] = []
    for (let i = 0; i < MESSAGES_MAX + 5; i++) all = withMessage(all, message(`${i}`))
    expect(all).toHaveLength(MESSAGES_MAX)
    expect(all[0]?.id).toBe('5')
    all = withMessage(all, { ...message('7'), text: 'changed' })
    expect(all).toHaveLength(MESSAGES_MAX)
    expect(all[2]?.text).toBe('changed')
  })
  it('do not claim what nobody acknowledged', () => {
    const stored = [message('a', 'queued'), message('b', 'sent'), message('c', 'acknowledged')]
    const states = parseMessages(stored, () => false).map((one) => one.state)
    expect(states).toEqual(['failed', 'failed', 'acknowledged'])
  })
  it.each([undefined, null, 7, {}, [null], [{ id: 1 }], [{ ...message('a'), state: 'read' }]])(
    'are empty when something else is stored: %j',
    (stored) => expect(parseMessages(stored, () => false)).toEqual([]),
  )
  it('show what is no text as hex, and cut what is long', () => {
    expect(textOfPayload(Uint8Array.of(255, 0, 16))).toBe('ff 00 10')
    expect(textOfPayload(new Uint8Array(1000).fill(255))).toMatch(/ff … \(1000 bytes\)$/)
    expect(textOfPayload(new Uint8Array(20_000).fill(97))).toMatch(/a… \(3616 more\)$/)
  })
})

describe('settings', () => {
  it.each([null, '', '{', '[]', '7', 'null', '{"hostname":7,"isPublic":"yes"}'])(
    'are the default when %s is stored',
    (text) => expect(parseSettings(text)).toEqual(DEFAULT_SETTINGS),
  )
  it('are what was stored', () => {
    const settings = { rendezvous: 'ws://a', hostname: 'b', isPublic: true, isJoined: true }
    expect(parseSettings(JSON.stringify(settings))).toEqual(settings)
  })
})

describe('progress', () => {
  it('is reckoned over the last seconds', () => {
    const progress = new Progress(10_000)
    expect(progress.bytesPerSecond).toBe(0)
    expect(progress.secondsLeft).toBe(Number.POSITIVE_INFINITY)
    for (let second = 0; second <= 10; second++) progress.add(second * 1000, second * 100)
    for (let second = 11; second <= 20; second++)
      progress.add(second * 1000, 1000 + (second - 10) * 400)
    expect(progress.bytesPerSecond).toBe(400)
    expect(progress.secondsLeft).toBe(12.5)
  })
  it('takes news as dense as they come, and is done at the end', () => {
    const progress = new Progress(1000)
    for (let at = 0; at <= 1000; at++) progress.add(at, at)
    expect(progress.bytesPerSecond).toBeCloseTo(1000, 0)
    expect(progress.secondsLeft).toBe(0)
  })
})

describe('errors', () => {
  const url = 'wss://meet.example'
  it('about joining name the field they are about', () => {
    const taken = new PilotError('ERR_REGISTRY', 'hostname "bob" already in use by node 7')
    expect(joinProblem(taken, url)).toEqual({
      field: 'hostname',
      text: 'The hostname “bob” is taken by another node. Choose another one.',
    })
    const silent = joinProblem(new PilotError('ERR_REGISTRY_UNAVAILABLE', 'x'), url)
    expect(silent).toMatchObject({ field: 'rendezvous', isPassing: true })
    expect(silent.text).toContain(url)
    expect(joinProblem(new PilotError('ERR_INVALID_ARGUMENT', 'x'), 'nonsense').text).toContain(
      '“nonsense” is not the address',
    )
  })
  it('name what a browser refuses without a word', () => {
    expect(mixedContentProblem('https://a/', 'ws://b')?.text).toContain('wss://')
    expect(mixedContentProblem('https://a/', 'HTTP://b')).toBeDefined()
    expect(mixedContentProblem('https://a/', 'wss://b')).toBeUndefined()
    expect(mixedContentProblem('http://127.0.0.1/', 'ws://b')).toBeUndefined()
  })
  it('without words of ours are told as they are', () => {
    expect(wordsOf(new PilotError('ERR_LIMIT', 'too many connections are open'))).toBe(
      'too many connections are open',
    )
    expect(wordsOf('odd')).toBe('odd')
  })
})
