/** Binary frames as recorded from v1.9, through the same registry that answers JSON (spec/05 §4). */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { WireError } from '../../core/errors.ts'
import { encodeRegistryFrame, type RegistryMessage } from '../../core/wire/registry-message.ts'
import { RegistryIntake } from '../../signaling/registry-intake.ts'
import { type BenchConnection, RegistryBench } from './registry-bench.ts'

interface Line {
  readonly dir: 'c2s' | 's2c'
  readonly name: string
  readonly hex: string | null
  readonly node_id?: number
  readonly public_key?: string
}

const lines: readonly Line[] = readFileSync(
  new URL('../vectors/registry-binary-v1.jsonl', import.meta.url),
  'utf8',
)
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Line)

/** Answers that are no errors there. */
const STRICTER: readonly string[] = ['heartbeat bad signature but within 120 s of a verified one']

/** The two nodes of the recording. */
function scene(): { bench: RegistryBench; connection: BenchConnection } {
  const bench = new RegistryBench()
  const { nodes } = bench.registry.desk
  const keyOf = (name: string): string =>
    lines.find((line) => line.name === name && line.public_key !== undefined)!.public_key!
  for (let i = 1; i < 36; i++) bench.node(`left out ${i}`, { address: `192.0.2.${i}` })
  const connection = bench.connect('127.0.0.1')
  const register = (publicKey: string, port: number): void => {
    const lan = [`192.168.1.5:${port}`, `10.0.0.2:${port}`]
    const message = { type: 'register', public_key: publicKey, listen_addr: `:${port}` }
    connection.send({ ...message, lan_addrs: lan })
  }
  register(keyOf('heartbeat'), 4001)
  register(keyOf('resolve public'), 4002)
  nodes.change(nodes.live(36)!, {
    isPublic: true,
    hostname: 'bina',
    tags: ['web', 'gpu'],
    poloScore: -3,
    taskExec: true,
  })
  return { bench, connection }
}

function exchange(intake: RegistryIntake, connection: BenchConnection): Uint8Array | undefined {
  const request = intake.next()
  if (request === undefined) return undefined
  return request.message === undefined
    ? request.refusal
    : request.encode(connection.send(request.message))
}

describe('binary mode', () => {
  it('answers as recorded, byte for byte where it answers at all', () => {
    const { connection } = scene()
    let intake = new RegistryIntake()
    let compared = 0
    lines.forEach(({ dir, name, hex }, number) => {
      if (dir === 'c2s') {
        if (name.startsWith('preamble')) intake = new RegistryIntake()
        intake.push(Buffer.from(hex!, 'hex'))
        return
      }
      if (name === 'length 0') expect(() => intake.next()).toThrow(WireError)
      else if (name !== 'then') {
        const answer = Buffer.from(exchange(intake, connection)!)
        const recorded = Buffer.from(hex!, 'hex')
        if (STRICTER.includes(name)) expect(answer[4], name).toBe(0xff)
        else if (recorded[4] === 0xff || name.startsWith('json')) {
          expect(answer[4], name).toBe(recorded[4])
          expect(answer.readUInt32BE(0), name).toBe(answer.length - 4)
        } else if (name === 'heartbeat') {
          expect(answer.length, name).toBe(recorded.length)
          expect(Number(answer.readBigUInt64BE(5)), name).toBe(connection.bench.now.unixSeconds)
        } else expect(answer.toString('hex'), `${number} ${name}`).toBe(hex)
        compared++
      }
      if (name === 'length 0') intake = new RegistryIntake()
    })
    expect(compared).toBe(16)
  })

  it('is found however the bytes are cut, and only at the start', () => {
    const { connection } = scene()
    const bytes = Buffer.from('50494c5401000000050200000024', 'hex')
    const whole = new RegistryIntake()
    whole.push(bytes)
    const answer = exchange(whole, connection)
    for (let cut = 1; cut < bytes.length; cut++) {
      const intake = new RegistryIntake()
      intake.push(bytes.subarray(0, cut))
      expect(intake.next()).toBeUndefined()
      expect(intake.pendingBytes).toBeGreaterThan(0)
      intake.push(bytes.subarray(cut))
      expect(exchange(intake, connection)).toEqual(answer)
      expect(intake.pendingBytes).toBe(0)
    }
    const json = new RegistryIntake()
    json.push(encodeRegistryFrame({ type: 'lookup', node_id: 36 }))
    expect(json.next()?.message).toEqual({ type: 'lookup', node_id: 36 })
    json.push(bytes)
    expect(() => json.next()).toThrow(WireError)
  })

  it('ends with an unknown version', () => {
    const intake = new RegistryIntake()
    intake.push(Buffer.from('50494c5402', 'hex'))
    expect(intake.next()).toMatchObject({ closes: true })
  })

  it('makes requests, refusals or a WireError of any bytes', () => {
    const { connection } = scene()
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 8 }), (payloads) => {
        const intake = new RegistryIntake()
        intake.push(Buffer.from('50494c5401', 'hex'))
        for (const payload of payloads) {
          const frame = Buffer.alloc(4 + payload.length)
          frame.writeUInt32BE(payload.length)
          frame.set(payload, 4)
          intake.push(frame)
        }
        try {
          for (
            let answer = exchange(intake, connection);
            answer;
            answer = exchange(intake, connection)
          )
            expect(answer.length).toBeGreaterThan(4)
        } catch (error) {
          expect(error).toBeInstanceOf(WireError)
        }
      }),
    )
  })
})

it('reads JSON as before', () => {
  const intake = new RegistryIntake()
  const messages: RegistryMessage[] = [{ type: 'a' }, { type: 'b' }]
  intake.push(Buffer.concat(messages.map(encodeRegistryFrame)))
  expect([intake.next()?.message, intake.next()?.message]).toEqual(messages)
  expect(intake.pendingBytes).toBe(0)
})
