/** Which addresses of this machine peers of the same network are told. */
import type { networkInterfaces } from 'node:os'
import { expect, it } from 'vitest'
import { lanAddresses } from '../../../runtimes/node/lan-addresses.ts'

const entry = (address: string, { internal = false, family = 'IPv4' } = {}) => ({
  address,
  family,
  internal,
  netmask: '255.255.255.0',
  mac: '00:00:00:00:00:00',
  cidr: null,
})

const interfaces = {
  lo: [entry('127.0.0.1', { internal: true })],
  eth0: [entry('192.168.1.5'), entry('2001:db8::1', { family: 'IPv6' }), entry('203.0.113.7')],
  eth1: [entry('172.31.0.2'), entry('172.32.0.2'), entry('10.0.0.2'), entry('169.254.1.1')],
  down: undefined,
} as unknown as ReturnType<typeof networkInterfaces>

it.each([
  ['0.0.0.0', ['192.168.1.5', '172.31.0.2', '10.0.0.2', '169.254.1.1']],
  ['::', ['192.168.1.5', '172.31.0.2', '10.0.0.2', '169.254.1.1']],
  ['10.0.0.2', ['10.0.0.2']],
  ['127.0.0.1', []],
  ['203.0.113.7', []],
])('are those that a socket bound to %s takes, private ones only', (address, expected) => {
  expect(lanAddresses({ address, port: 4000 }, interfaces)).toEqual(
    expected.map((one) => `${one}:4000`),
  )
})

it('are at most 16', () => {
  const many = { eth0: Array.from({ length: 40 }, (_, i) => entry(`10.0.0.${i}`)) }
  const found = lanAddresses({ address: '::', port: 1 }, many as unknown as typeof interfaces)
  expect(found).toHaveLength(16)
})
