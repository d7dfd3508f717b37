/** Where webhooks may go (spec/07 §10): http and https, and nothing that answers only to this machine's network card. */
import { isIP } from 'node:net'
import { UsageError } from '../../../core/errors.ts'
import { ipBytes } from '../../../core/ip.ts'

/** Names under which clouds hand out credentials. */
const METADATA_NAMES = new Set([
  'metadata',
  'metadata.google.internal',
  'metadata.google.com',
  'metadata.azure.internal',
  'instance-data',
  'instance-data.ec2.internal',
])

/** @throws {UsageError} `ERR_INVALID_ARGUMENT`, saying why. */
export function parseWebhookUrl(text: string): URL {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw refusal('is no URL')
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw refusal('must begin with http:// or https://')
  const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
  if (METADATA_NAMES.has(host)) throw refusal('names a metadata service')
  if (isIP(host) !== 0 && isLinkLocal(ipBytes(host))) throw refusal('names a link-local address')
  return url
}

/** 169.254.0.0/16, fe80::/10, and the former within ::ffff:0:0/96. */
function isLinkLocal(bytes: Uint8Array | undefined): boolean {
  if (bytes === undefined) return true
  const isMapped =
    bytes.length === 16 && bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff
  const last = isMapped ? bytes.subarray(12) : bytes
  if (last.length === 4) return last[0] === 169 && last[1] === 254
  return last[0] === 0xfe && (last[1]! & 0xc0) === 0x80
}

function refusal(why: string): UsageError {
  return new UsageError('ERR_INVALID_ARGUMENT', `the webhook URL ${why}`)
}
