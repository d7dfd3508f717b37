/**
 * Recorded conversations of two daemons with one of them replaced by ours, as initiator and as responder: the same
 * bytes in the same streams, the same streams opened, ended and refused, the same trust messages. Not compared is what
 * may differ from run to run and from sender to sender: nonces, keys' announcements, segments, windows, pure ACKs,
 * repetitions, control packets, and whether a frame went by the beacon.
 */
import { afterAll, expect, it } from 'vitest'
import { type VectorCase, vectors } from '../support.ts'
import { TunnelNode } from './tunnel-node.ts'
import {
  packetsOf,
  type Recorded,
  type Role,
  recordedOf,
  type Said,
  saidIn,
} from './tunnel-script.ts'

const REVOKED =
  'who ended trust forgets its keys, and the peer does not answer: ours makes fresh ones (spec/01 §7.4)'
const RESTARTED = 'the daemon is another process from here on, with other keys'

/** What cannot be played to the end, by capture, or by capture and role. */
const EXCEPTIONS: Readonly<Record<string, { readonly why: string; readonly untilMs: number }>> = {
  'tunnel-capture main': { why: REVOKED, untilMs: 5370 },
  'tunnel-capture-v19 main': { why: REVOKED, untilMs: 3160 },
  'tunnel-capture rekey A': {
    why: 'G1 never says that it has no keys, and waits (spec/01 §12 d); ours asks for them',
    untilMs: 390,
  },
  'tunnel-capture rekey B': { why: RESTARTED, untilMs: 236 },
  'tunnel-capture-v19 restart B': { why: RESTARTED, untilMs: 242 },
  'tunnel-capture-v19 mixed B': {
    why: 'G1 opens nothing of v1.9 and is silent; ours opens it, answers, and is not heard',
    untilMs: 274,
  },
}

const used = new Set<string>()

const cases = ['tunnel-capture', 'tunnel-capture-v19'].flatMap((file) =>
  vectors(file).flatMap((capture: VectorCase) =>
    (['A', 'B'] as const).map((role) => ({ file, name: capture.name as string, role, capture })),
  ),
)

it.each(cases)('$file, $name: ours as $role', ({ file, name, capture, role }) => {
  const exception = EXCEPTIONS[`${file} ${name} ${role}`] ?? EXCEPTIONS[`${file} ${name}`]
  if (exception !== undefined) used.add(exception.why)
  const recorded = recordedOf(capture, exception?.untilMs)
  const node = new TunnelNode(capture, role)
  node.play(recorded, role)
  const theirs = saidIn(packetsOf(recorded, role))
  const ours = saidIn(node.sent)
  expect([...ours.keys()].sort()).toEqual([...theirs.keys()].sort())
  const isWhole = (key: string): boolean => isAcknowledged(recorded, role, key, theirs.get(key)!)
  const shown = (said: Map<string, Said>) =>
    Object.fromEntries([...said].map(([key, one]) => [key, show(one, isWhole(key))]))
  expect(shown(ours)).toEqual(shown(theirs))

  const peer = role === 'A' ? 'B' : 'A'
  for (const [key, said] of saidIn(packetsOf(recorded, peer))) {
    const own = key.split('-').reverse().join('-')
    // Trust is the node's own affair: what it made of it is seen in what it answered.
    if (said.bytes === '' || own.includes('444')) continue
    expect(Buffer.from(node.received.get(own) ?? []).toString('hex'), key).toBe(said.bytes)
  }
  const datagrams = packetsOf(recorded, peer).filter(({ protocol }) => protocol === 2)
  expect(node.datagrams).toEqual(
    datagrams.map(({ payload }) => Buffer.from(payload).toString('hex')),
  )
})

/** How a stream ended is compared where the recorded peer had taken everything: ours waits for that. */
function show(said: Said, isWhole: boolean) {
  const { isOpened, isReset, isFinished, bytes } = said
  return { isOpened, bytes, ...(isWhole && { isReset, isFinished }) }
}

/** All bytes of this stream of `role`, before its FIN was. */
function isAcknowledged(
  recorded: readonly Recorded[],
  role: Role,
  key: string,
  { end, bytes }: Said,
): boolean {
  return (
    bytes === '' ||
    packetsOf(recorded, role === 'A' ? 'B' : 'A').some(
      (packet) => `${packet.destinationPort}-${packet.sourcePort}` === key && packet.ack === end,
    )
  )
}

afterAll(() => {
  expect([...used].sort()).toEqual(
    [...new Set(Object.values(EXCEPTIONS).map((one) => one.why))].sort(),
  )
})
