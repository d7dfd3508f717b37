/**
 * A self-signed certificate as the reference makes one (spec/04 §3): ECDSA P-256, `O=Pilot Protocol`, valid
 * 365 days, for localhost, 127.0.0.1 and ::1. Clients pin its fingerprint, so the names hardly matter.
 */
import { createHash, generateKeyPairSync, randomBytes, sign, X509Certificate } from 'node:crypto'
import type { TlsKeyPair } from './serve-registry.ts'

const VALID_DAYS = 365
const ECDSA_WITH_SHA256 = sequence(oid('2a8648ce3d040302'))

/** A fresh key pair. @param nowMs Unix time in ms, from which it is valid. */
export function selfSignedCertificate(nowMs: number): TlsKeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const name = sequence(tlv(0x31, sequence(oid('55040a'), tlv(0x0c, 'Pilot Protocol'))))
  const certificate = sequence(
    tlv(0xa0, tlv(0x02, Buffer.of(2))),
    // Positive, and its first byte not zero, as DER wants.
    tlv(0x02, Buffer.concat([Buffer.of(0x40), randomBytes(15)])),
    ECDSA_WITH_SHA256,
    name,
    sequence(utcTime(nowMs), utcTime(nowMs + VALID_DAYS * 86_400_000)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    tlv(0xa3, sequence(...extensions())),
  )
  const signature = sign('sha256', certificate, privateKey)
  const der = sequence(
    certificate,
    ECDSA_WITH_SHA256,
    tlv(0x03, Buffer.concat([Buffer.of(0), signature])),
  )
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${der
      .toString('base64')
      .replace(/.{1,64}/g, '$&\n')}-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  }
}

/**
 * What a daemon's `-registry-fingerprint` wants: SHA-256 of the leaf's DER, 64 lower-case hex digits.
 *
 * @throws {Error} OpenSSL's, when the text is no PEM certificate.
 */
export function certificateFingerprint(pem: string): string {
  return createHash('sha256').update(new X509Certificate(pem).raw).digest('hex')
}

function extensions(): Buffer[] {
  const extension = (id: string, isCritical: boolean, value: Buffer): Buffer =>
    sequence(oid(id), ...(isCritical ? [tlv(0x01, Buffer.of(0xff))] : []), tlv(0x04, value))
  const loopback6 = Buffer.alloc(16)
  loopback6[15] = 1
  return [
    // digitalSignature and keyEncipherment: bits 0 and 2, five bits unused.
    extension('551d0f', true, tlv(0x03, Buffer.of(5, 0xa0))),
    extension('551d25', false, sequence(oid('2b06010505070301'))),
    extension('551d13', true, sequence()),
    extension(
      '551d11',
      false,
      sequence(tlv(0x82, 'localhost'), tlv(0x87, Buffer.of(127, 0, 0, 1)), tlv(0x87, loopback6)),
    ),
  ]
}

/** Tag, length, value (X.690); values stay far below 64 KiB. */
function tlv(tag: number, value: Buffer | string): Buffer {
  const body = typeof value === 'string' ? Buffer.from(value) : value
  const { length } = body
  const header =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from(header), body])
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return tlv(0x30, Buffer.concat(parts))
}

/** Object identifier by the hex of its encoded value. */
function oid(hex: string): Buffer {
  return tlv(0x06, Buffer.from(hex, 'hex'))
}

/** `YYMMDDHHMMSSZ`: right until 2049. */
function utcTime(unixMs: number): Buffer {
  const digits = new Date(unixMs).toISOString().replace(/\D/g, '')
  return tlv(0x17, `${digits.slice(2, 14)}Z`)
}
