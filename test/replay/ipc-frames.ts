/** Frames of the daemon's socket as text that can be compared and read. */
import { toHex } from '../../core/bytes.ts'
import { hex, type VectorCase, vectors } from '../support.ts'

const NAMES = new Map<number, string>(
  ['ipc', 'ipc-v19'].flatMap((file) =>
    vectors(file, 'codes').flatMap(({ codes }: VectorCase) =>
      (codes as { code: number; name: string }[]).map(({ code, name }): [number, string] => [
        code,
        name,
      ]),
    ),
  ),
)

export interface Frame {
  readonly name: string
  /** Text of an Error, object of a reply in JSON, else the payload in hex. */
  readonly body: unknown
}

/** `body`: opcode and payload, without the length. */
export function readFrame(body: Uint8Array): Frame {
  const name = NAMES.get(body[0]!) ?? `0x${toHex(body.subarray(0, 1))}`
  const payload = body.subarray(1)
  const text = Buffer.from(payload).toString()
  if (name === 'ERROR') return { name, body: text.slice(2) }
  if (text.startsWith('{')) return { name, body: JSON.parse(text) }
  return { name, body: toHex(payload) }
}

/** A recorded message, length included. */
export function readRecorded(text: string): Frame {
  return readFrame(hex(text).subarray(4))
}
