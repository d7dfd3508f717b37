/** What later daemons say in `register` besides their port (spec/05 §5.1); what is no good is left out. */
import { formatEndpoint } from '../core/machine.ts'
import type { RegistryMessage } from '../core/wire/registry-message.ts'
import {
  EXTRA_ENDPOINT_BYTES_MAX,
  EXTRA_ENDPOINTS_MAX,
  LAN_ADDRS_MAX,
  VERSION_BYTES_MAX,
} from './limits.ts'
import type { ExtraEndpoint } from './registry-store.ts'
import { cutBytes, isLocalAddress, parseEndpoint, stringField } from './request-fields.ts'

export interface RegistrationExtras {
  readonly version: string
  readonly lanAddrs: readonly string[]
  readonly endpoints: readonly ExtraEndpoint[]
}

export function registrationExtras(message: RegistryMessage): RegistrationExtras {
  return {
    version: cutBytes(stringField(message, 'version'), VERSION_BYTES_MAX),
    lanAddrs: parseLanAddrs(message.lan_addrs),
    endpoints: parseExtraEndpoints(message.endpoints),
  }
}

export function sameExtras(a: RegistrationExtras, b: RegistrationExtras): boolean {
  return JSON.stringify(extrasOf(a)) === JSON.stringify(extrasOf(b))
}

export function extrasOf({ version, lanAddrs, endpoints }: RegistrationExtras): RegistrationExtras {
  return { version, lanAddrs, endpoints }
}

/** `ip:port` with private, loopback or link-local addresses only. */
export function parseLanAddrs(value: unknown): readonly string[] {
  const addrs = (Array.isArray(value) ? value : []).flatMap((text) => {
    const endpoint = typeof text === 'string' ? parseEndpoint(text) : undefined
    return endpoint !== undefined && isLocalAddress(endpoint.address)
      ? [formatEndpoint(endpoint)]
      : []
  })
  return addrs.slice(0, LAN_ADDRS_MAX)
}

/** Entries with an empty member, or that are no objects, are dropped. */
export function parseExtraEndpoints(value: unknown): readonly ExtraEndpoint[] {
  const endpoints = (Array.isArray(value) ? value : []).flatMap((entry: unknown) => {
    if (typeof entry !== 'object' || entry === null) return []
    const { network, addr } = entry as Record<string, unknown>
    if (typeof network !== 'string' || typeof addr !== 'string') return []
    const isGood = /^[a-z0-9]{1,16}$/.test(network) && PRINTABLE.test(addr)
    return isGood && addr.length <= EXTRA_ENDPOINT_BYTES_MAX ? [{ network, addr }] : []
  })
  return endpoints.slice(0, EXTRA_ENDPOINTS_MAX)
}

const PRINTABLE = /^[\x21-\x7e]+$/
