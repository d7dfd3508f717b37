/** Bytes of peers as members of a result: text, and base64 beside it where they are no UTF-8. */

export interface TextData {
  readonly data: string
  readonly bytes: number
  /** Only when `data` is lossy. */
  readonly data_b64?: string
}

export function textData(bytes: Uint8Array): TextData {
  const base = { data: decoder.decode(bytes), bytes: bytes.length }
  try {
    strict.decode(bytes)
    return base
  } catch {
    return { ...base, data_b64: Buffer.from(bytes).toString('base64') }
  }
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
const strict = new TextDecoder('utf-8', { fatal: true })
