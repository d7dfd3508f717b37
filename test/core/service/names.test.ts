import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { WireError } from '../../../core/errors.ts'
import {
  formatNameRequest,
  type NameRequest,
  parseNameReply,
  parseNameRequest,
} from '../../../core/service/name-message.ts'
import { NAME_LIFETIME_MS, NameTable } from '../../../core/service/name-table.ts'
import { formatAddress, parseAddress } from '../../../core/wire/address.ts'
import { hex, type VectorCase, vectors } from '../../support.ts'

const VERBS: Record<string, NameRequest['type']> = {
  'QUERY A': 'query-address',
  'QUERY N': 'query-network',
  'QUERY S': 'query-services',
  'REGISTER A': 'register-address',
  'REGISTER N': 'register-network',
  'REGISTER S': 'register-service',
}
const ours = ({ command, record_type, name, address, net_id, port }: VectorCase): NameRequest =>
  ({
    type: VERBS[`${command} ${record_type}`],
    name,
    address,
    network: net_id,
    port,
  }) as NameRequest
const textOf = (one: VectorCase): string => Buffer.from(hex(one.hex)).toString()

const ask = (table: NameTable, text: string, node: number, now = 0): string =>
  table.handle(Buffer.from(text), { network: 0, node }, now)

describe('nameserver.json', () => {
  it.each(
    vectors('nameserver', 'format_request').filter(
      ({ request }) => VERBS[`${request.command} ${request.record_type}`] !== undefined,
    ),
  )('formats the request: $text', (one) => {
    if (one.text.endsWith(' '))
      expect(() => formatNameRequest(ours(one.request))).toThrow(/a name has/)
    else expect(formatNameRequest(ours(one.request))).toBe(one.text)
  })

  it.each(vectors('nameserver', 'parse_request'))('parses the request: $text', (one) => {
    if (one.error) {
      expect(() => parseNameRequest(textOf(one))).toThrow(one.error_message)
      return
    }
    const expected = Object.entries(ours(one.request)).filter(
      ([, value]) => value !== '' && value !== 0,
    )
    // toMatchObject: members that this request does not have are zero in the recording.
    expect(parseNameRequest(textOf(one))).toMatchObject(Object.fromEntries(expected))
  })

  /** Services that the reference makes up out of lines without a sensible address or port. */
  const MADE_UP = /bad-address| x$| 70000$/
  it.each(vectors('nameserver', 'parse_response'))('parses the reply: $text', (one) => {
    if (one.error) {
      expect(() => parseNameReply(textOf(one))).toThrow(one.error_message)
      return
    }
    const { type, name, address, net_id, error, services } = one.response
    const reply = parseNameReply(textOf(one))
    if (type === 'OK') expect(reply).toEqual({ type: 'ok' })
    else if (type === 'ERR') expect(reply).toEqual({ type: 'error', reason: error })
    else if (type === 'A') expect(reply).toEqual({ type: 'address', name, address })
    else if (type === 'N') expect(reply).toEqual({ type: 'network', name, network: net_id })
    else {
      if (reply.type !== 'services') throw new Error('need services')
      const list = reply.services.map((service) => ({
        ...service,
        address: formatAddress(service.address),
      }))
      expect(list).toEqual(MADE_UP.test(one.text) ? [] : services)
    }
  })

  it.each(vectors('nameserver', 'server'))('answers: $name', (one) => {
    const table = new NameTable()
    /** A later name for the same service counts. */
    let renamed = false
    for (const step of one.steps) {
      const from = parseAddress(step.from.replace(/:\d+$/, '').padEnd(1))
      const reply = table.handle(hex(step.request_hex), from, 0)
      const isRenamed = step.reply.startsWith('S web ') && renamed
      renamed ||= / renamed /.test(step.request)
      if (isRenamed) expect(reply).toBe('S renamed 0:0000.0000.0001 80')
      else if (step.reply.startsWith('S evil')) expect(reply).toBe('S')
      else expect(reply).toBe(CORRECTED[step.request] ?? step.reply)
    }
  })
})

/** Where the reference has the rule and does not keep it: addresses are registered by whose they are. */
const CORRECTED: Record<string, string> = {
  'REGISTER A evil 0:0000.0000.0099': 'ERR cannot register address for another node',
  'QUERY A evil': 'ERR name "evil" not found',
  'REGISTER S evil 0:0000.0000.0099 1 80': 'ERR cannot register service for another node',
  'REGISTER S web2 0:0000.0000.0002 1 80': 'ERR cannot register service for another node',
}

describe('name table', () => {
  it('keeps a live name for whom it is, and gives it away when it ended', () => {
    const table = new NameTable()
    expect(ask(table, 'REGISTER A alice 0:0000.0000.0001', 1)).toBe('OK')
    expect(ask(table, 'REGISTER A alice 0:0000.0000.0002', 2)).toBe(
      'ERR name "alice" is registered by another node',
    )
    expect(ask(table, 'REGISTER A alice 0:0000.0000.0001', 1, 1000)).toBe('OK')
    expect(ask(table, 'QUERY A alice', 3, NAME_LIFETIME_MS + 999)).toContain('0:0000.0000.0001')
    const later = NAME_LIFETIME_MS + 1000
    expect(ask(table, 'QUERY A alice', 3, later)).toBe('ERR name "alice" not found')
    expect(ask(table, 'REGISTER A alice 0:0000.0000.0002', 2, later)).toBe('OK')
    table.sweep(2 * later)
    expect(table.size).toBe(0)
  })

  it('bounds what one node and all together may register', () => {
    const table = new NameTable()
    for (let i = 0; i < 256; i++) expect(ask(table, `REGISTER N n${i} 1`, 1)).toBe('OK')
    expect(ask(table, 'REGISTER N one-more 1', 1)).toBe('ERR too many records')
    expect(ask(table, 'REGISTER N n0 2', 1)).toBe('OK')
    for (let node = 2; table.size < 10_000; node++)
      for (let i = 0; i < 256 && table.size < 10_000; i++)
        ask(table, `REGISTER N ${node}-${i} 1`, node)
    expect(ask(table, 'REGISTER N last 1', 99_999)).toBe('ERR too many records')
    expect(ask(table, 'REGISTER N last 1', 99_999, NAME_LIFETIME_MS)).toBe('OK')
  })

  it('comes back from its file, the one of the reference', () => {
    const table = new NameTable()
    expect(JSON.parse(table.format())).toEqual({
      a_records: null,
      n_records: null,
      s_records: null,
    })
    ask(table, 'REGISTER A alice 0:0000.0000.0001', 1)
    ask(table, 'REGISTER N lab 7', 1)
    ask(table, 'REGISTER S web 0:0000.0000.0001 1 80', 1)
    const copy = new NameTable()
    copy.load(table.format(), 0)
    expect(copy.format()).toBe(table.format())
    expect(ask(copy, 'REGISTER A alice 0:0000.0000.0002', 2)).toContain('another node')
    for (const bad of ['', '[]x', '1', '{"a_records":1}', '{"a_records":[{}]}'])
      expect(() => new NameTable().load(bad, 0)).toThrow(WireError)
  })

  it('answers any bytes with one of its replies, and any reply parses or is refused', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.string(), (bytes, text) => {
        const reply = new NameTable().handle(bytes, { network: 0, node: 1 }, 0)
        expect(reply).toMatch(/^(OK|S|ERR .+)$/s)
        try {
          parseNameReply(text)
        } catch (error) {
          expect(error).toBeInstanceOf(WireError)
        }
      }),
    )
  })
})
