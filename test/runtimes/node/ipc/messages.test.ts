import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../../../core/bytes.ts'
import { WireError } from '../../../../core/errors.ts'
import {
  formatAddress,
  formatSocketAddress,
  parseSocketAddress,
} from '../../../../core/wire/address.ts'
import {
  decodeDaemonMessage,
  encodeAccept,
  encodeBindOk,
  encodeCloseOk,
  encodeDialOk,
  encodeEmptyReply,
  encodeError,
  encodeJsonReply,
  encodeRecv,
  encodeRecvFrom,
  encodeUnbindOk,
} from '../../../../runtimes/node/ipc/daemon-message.ts'
import {
  type DriverMessage,
  decodeDriverMessage,
  encodeDriverMessage,
} from '../../../../runtimes/node/ipc/driver-message.ts'
import { FrameDecoder } from '../../../../runtimes/node/ipc/frame.ts'
import {
  encodeNotify,
  encodeSendResult,
  encodeSubscribed,
  encodeTrackedResult,
  type SendResultCode,
} from '../../../../runtimes/node/ipc/later-reply.ts'
import { FRAME_BYTES_MAX, OP, SEND_BYTES_MAX } from '../../../../runtimes/node/ipc/opcode.ts'
import { generated, hex, sha256Hex, type VectorCase, vectors } from '../../../support.ts'

/** The message of a recorded call of the Go driver. */
function messageOf({ call, args }: VectorCase): DriverMessage | undefined {
  const data = (): Uint8Array =>
    args.data_len === undefined ? hex(args.data_hex) : generated(args.data_len)
  switch (call) {
    case 'listen':
      return { type: 'bind', port: args.port }
    case 'listener.close':
      return { type: 'unbind', port: args.port, dialect: 'v1.9' }
    case 'dial':
      return { type: 'dial', to: parseSocketAddress(args.address) }
    case 'conn.write':
      return { type: 'send', id: args.conn_id, data: data() }
    case 'conn.close':
    case 'disconnect':
      return { type: 'close', id: args.conn_id }
    case 'sendTo':
      return { type: 'send-to', to: parseSocketAddress(args.address), data: data() }
    case 'info':
      return { type: 'info' }
    case 'health':
      return { type: 'health' }
    case 'deregister':
      return { type: 'deregister' }
    case 'handshake':
      return { type: 'trust-request', nodeId: args.node_id, justification: args.justification }
    case 'approveHandshake':
      return { type: 'trust-approve', nodeId: args.node_id }
    case 'rejectHandshake':
      return { type: 'trust-reject', nodeId: args.node_id, reason: args.reason }
    case 'revokeTrust':
      return { type: 'trust-revoke', nodeId: args.node_id }
    case 'pendingHandshakes':
      return { type: 'trust-pending' }
    case 'trustedPeers':
      return { type: 'trust-list' }
    case 'resolveHostname':
      return { type: 'resolve-hostname', hostname: args.hostname }
    case 'setHostname':
      return { type: 'set-hostname', hostname: args.hostname }
    case 'setVisibility':
      return { type: 'set-visibility', isPublic: args.public }
    case 'setTags':
      return args.tags === null ? undefined : { type: 'set-tags', tags: args.tags }
    case 'setWebhook':
      return { type: 'set-webhook', url: args.url }
    case 'setTaskExec':
      return { type: 'set-task-exec', enabled: args.enabled }
    case 'networkList':
      return { type: 'network-list' }
    case 'networkPollInvites':
      return { type: 'network-poll-invites' }
    case 'networkJoin':
      return { type: 'network-join', network: args.network, token: args.token }
    case 'networkLeave':
      return { type: 'network-leave', network: args.network }
    case 'networkMembers':
      return { type: 'network-members', network: args.network }
    case 'networkInvite':
      return { type: 'network-invite', network: args.network, nodeId: args.node_id }
    case 'networkRespondInvite':
      return { type: 'network-respond', network: args.network, accept: args.accept }
    case 'lookupNode':
      return { type: 'lookup-node', nodeId: args.node_id }
    case 'signChallenge':
      return { type: 'sign-challenge', data: hex(args.payload_hex) }
    case 'setPeerEndpoints':
      return {
        type: 'set-peer-endpoints',
        nodeId: args.node_id,
        endpoints: args.endpoints.map((one: { network: string; addr: string }) => ({
          network: one.network,
          address: one.addr,
        })),
      }
    default:
      return undefined // managed calls travel as raw bytes
  }
}

const commands = [...vectors('ipc', 'command'), ...vectors('ipc-v19', 'command')].filter(
  (one) => messageOf(one) !== undefined,
)

describe('driver messages', () => {
  it.each(commands.map((one) => [`${one.call} ${JSON.stringify(one.args).slice(0, 60)}`, one]))(
    '%s: the bytes of the Go driver, both ways',
    (_, one: VectorCase) => {
      const message = messageOf(one)!
      const frame = encodeDriverMessage(message)
      if (one.hex !== undefined) expect(toHex(frame)).toBe(one.hex)
      else expect(sha256Hex(frame)).toBe(one.sha256)
      const framed = new Uint8Array(frame.length + 9)
      framed.set(frame, 4)
      const body = framed.subarray(8, 4 + frame.length)
      // Two requests whose empty form is an error reply of the daemon.
      if (message.type === 'resolve-hostname' && message.hostname === '') return
      expect(decodeDriverMessage(body)).toEqual(message)
    },
  )

  it.each(commands.filter((one) => one.hex !== undefined).map((one) => [one.call, one]))(
    '%s: every truncation is a value or a WireError',
    (_, one: VectorCase) => {
      const body = hex(one.hex).subarray(4)
      for (let length = 0; length < body.length; length++) {
        try {
          decodeDriverMessage(body.subarray(0, length))
        } catch (error) {
          expect(error).toBeInstanceOf(WireError)
        }
      }
    },
  )

  it('round trips the later requests', () => {
    const to = parseSocketAddress('0:0000.0000.0002:9')
    const messages: DriverMessage[] = [
      { type: 'unbind', port: 7, dialect: 'h2' },
      { type: 'cancel' },
      { type: 'rotate-key' },
      { type: 'trust-wait', nodeId: 9, timeoutMs: 30_000 },
      { type: 'send-to-confirm', to, data: hex('0102') },
      { type: 'broadcast', network: 3, port: 1000, token: 'tok', data: hex('ff') },
      { type: 'managed', sub: 2, rest: hex('0007') },
      { type: 'subscribe', topic: 'handshake_pending' },
      { type: 'unsubscribe', topic: 'é' },
      { type: 'send-tracked', id: 7, sendId: 2n ** 63n, data: hex('0102') },
      { type: 'prefer-direct', nodeId: 2 },
      { type: 'submit-badge', members: { badge: 'b', badge_sig: 's' } },
      { type: 'enroll-recovery', members: {} },
      { type: 'sign-envelope', members: { audience: 'a' } },
      { type: 'verify-envelope', members: { max_skew_secs: 3 } },
    ]
    for (const message of messages)
      expect(decodeDriverMessage(encodeDriverMessage(message).subarray(4))).toEqual(message)
  })

  it('any bytes are a value or a WireError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (body) => {
        try {
          decodeDriverMessage(body)
        } catch (error) {
          expect(error).toBeInstanceOf(WireError)
        }
        try {
          decodeDaemonMessage(body)
        } catch (error) {
          expect(error).toBeInstanceOf(WireError)
        }
      }),
    )
  })
})

describe('daemon messages', () => {
  it.each(vectors('ipc', 'client_parse').map((one) => [one.name, one]))(
    'parses what the Go driver parses: %s',
    (_, one: VectorCase) => {
      const body = hex(one.hex).subarray(4)
      if (/short/.test(one.name)) {
        expect(() => decodeDaemonMessage(body)).toThrow(WireError)
        return
      }
      const message = decodeDaemonMessage(body)
      switch (message.type) {
        case 'recv-from':
          expect({
            src_addr: formatAddress(message.source.address),
            src_port: message.source.port,
            dst_port: message.destinationPort,
            data_hex: toHex(message.data),
          }).toEqual(one.result)
          break
        case 'accept':
          expect([message.localPort, message.id, formatSocketAddress(message.remote)]).toEqual([
            4000,
            one.result.conn_id,
            one.result.remote_addr,
          ])
          break
        case 'recv':
          expect(new TextDecoder().decode(message.data)).toBe(
            Array.isArray(one.result) ? one.result.join('') : one.result,
          )
          break
        case 'close-ok':
          expect(message.id).toBe(42)
          break
        case 'error':
          if (body.length >= 3) expect(`info: daemon: ${message.text}`).toBe(one.result.error)
          else expect(message.text).toBe('')
          break
        case 'json':
          expect(message.opcode).toBe(OP.infoOk)
          break
        default:
          throw new Error(`unexpected ${message.type}`)
      }
    },
  )

  it('encodes the recorded replies and pushes byte for byte', () => {
    let compared = 0
    for (const one of [...vectors('ipc'), ...vectors('ipc-v19')])
      for (const reply of one.kind === 'push' ? [one] : (one.replies ?? [])) {
        if (reply.hex === undefined) continue
        const bytes = hex(reply.hex)
        const message = decodeDaemonMessage(bytes.subarray(4))
        const again = encodeAgain(message, bytes)
        if (again === undefined) continue
        expect(toHex(again)).toBe(reply.hex)
        compared++
      }
    expect(compared).toBeGreaterThan(120)
  })
})

function encodeAgain(
  message: ReturnType<typeof decodeDaemonMessage>,
  bytes: Uint8Array,
): Uint8Array | undefined {
  switch (message.type) {
    case 'bind-ok':
      return encodeBindOk(message.port)
    case 'unbind-ok':
      return encodeUnbindOk(message.port, bytes[4] === OP.unbindOk ? 'v1.9' : 'h2')
    case 'dial-ok':
      return encodeDialOk(message.id)
    case 'accept':
      return encodeAccept(message.localPort, message.id, message.remote)
    case 'recv':
      return encodeRecv(message.id, [message.data], message.data.length)
    case 'close-ok':
      return encodeCloseOk(message.id)
    case 'error':
      return encodeError(message.text)
    case 'recv-from':
      return encodeRecvFrom(message.source, message.destinationPort, message.data)
    case 'json':
      return encodeJsonReply(message.opcode, JSON.parse(message.text))
    case 'empty':
      return encodeEmptyReply(message.opcode)
    case 'subscribed':
      return encodeSubscribed(message.topic, message.payload)
    case 'notify':
      return encodeNotify(message.topic, message.payload)
    case 'send-result':
      return encodeSendResult(message.id, message.code as SendResultCode, message.text)
    case 'tracked-result':
      return encodeTrackedResult(
        message.id,
        message.sendId,
        message.code as SendResultCode,
        message.text,
      )
    default:
      return undefined
  }
}

describe('FrameDecoder', () => {
  const collect = (streamBytesMax?: number) => {
    const frames: string[] = []
    const streams = new Map<number, number[]>()
    const ends: number[] = []
    const decoder = new FrameDecoder({
      sink: {
        frame: (body) => frames.push(body.length > 1000 ? `${body.length}` : toHex(body)),
        streamEnd: (id) => ends.push(id),
        stream: (id, piece) => {
          const bytes = streams.get(id) ?? []
          streams.set(id, bytes)
          if (bytes.length < 1000) bytes.push(...piece.subarray(0, 1000))
        },
      },
      streamOpcode: OP.send,
      ...(streamBytesMax !== undefined && { streamBytesMax }),
    })
    return { decoder, frames, streams, ends }
  }

  it('finds the same frames however the bytes are cut', () => {
    const parts = commands.filter((one) => one.hex !== undefined).map((one) => hex(one.hex))
    const bytes = Uint8Array.from(Buffer.concat([Buffer.alloc(4), ...parts]))
    const whole = collect()
    whole.decoder.push(bytes)
    expect(whole.frames.length).toBeGreaterThan(40)
    expect(whole.streams.get(7)?.length).toBe(5 + 2 + 20)
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), (sizes) => {
        const cut = collect()
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const end = at + sizes[i % sizes.length]!
          cut.decoder.push(bytes.subarray(at, end))
          at = end
        }
        expect(cut.frames).toEqual(whole.frames)
        expect(cut.streams).toEqual(whole.streams)
        expect(cut.ends).toEqual(whole.ends)
      }),
      { numRuns: 50 },
    )
  })

  it('takes 2^20 bytes and refuses one more; Sends up to their own limit', () => {
    const header = (length: number, opcode: number): Uint8Array =>
      Uint8Array.of(length >>> 24, length >>> 16, length >>> 8, length, opcode)
    const { decoder, frames } = collect(SEND_BYTES_MAX)
    decoder.push(header(FRAME_BYTES_MAX, 0xfe))
    decoder.push(new Uint8Array(FRAME_BYTES_MAX - 1))
    expect(frames).toHaveLength(1)
    decoder.push(header(SEND_BYTES_MAX, OP.send))
    decoder.push(new Uint8Array(SEND_BYTES_MAX - 1))
    decoder.push(header(FRAME_BYTES_MAX + 1, OP.send))
    expect(() => collect().decoder.push(header(FRAME_BYTES_MAX + 1, 0xfe))).toThrow(WireError)
    expect(() => collect(SEND_BYTES_MAX).decoder.push(header(SEND_BYTES_MAX + 1, 6))).toThrow(
      WireError,
    )
    expect(() => collect(SEND_BYTES_MAX).decoder.push(header(FRAME_BYTES_MAX + 1, 0xfe))).toThrow(
      WireError,
    )
  })

  it('delivers nothing after stop', () => {
    const frames: number[] = []
    const decoder = new FrameDecoder({
      sink: {
        frame: () => {
          frames.push(1)
          decoder.stop()
        },
        stream: () => {},
      },
      streamOpcode: OP.send,
    })
    decoder.push(hex('000000010d000000010d'))
    expect(frames).toHaveLength(1)
  })
})
