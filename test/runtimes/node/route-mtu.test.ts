import { networkInterfaces } from 'node:os'
import { describe, expect, it } from 'vitest'
import { datagramBytesTo, type RouteSources } from '../../../runtimes/node/route-mtu.ts'

const ROUTES = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	0100000A	0003	0	0	100	00000000	0	0	0
wlan0	00000000	0100A8C0	0003	0	0	600	00000000	0	0	0
wg0	0000640A	00000000	0001	0	0	0	0000FFFF	0	0	0
jumbo0	0002000A	00000000	0001	0	0	0	00FFFFFF	0	0	0
gone0	0003000A	00000000	0001	0	0	0	00FFFFFF	0	0	0
`
const ROUTES_V6 = `20010db8000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001 jumbo0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00450003 eth0
`
const MTU: Record<string, string> = {
  lo: '65536\n',
  eth0: '1500\n',
  wlan0: '1400\n',
  wg0: '1420\n',
  jumbo0: '9000\n',
}

const linux: RouteSources = {
  platform: 'linux',
  ownAddresses: () => ['127.0.0.1', '10.0.1.7', '2001:db8::7'],
  read: (path) => {
    const text = path.endsWith('/route')
      ? ROUTES
      : path.endsWith('/ipv6_route')
        ? ROUTES_V6
        : MTU[path.split('/').at(-2) ?? '']
    if (text === undefined) throw new Error('no such file')
    return text
  },
}

const bytesTo = (address: string, sources = linux): number =>
  datagramBytesTo({ address, port: 1 }, sources)

describe('the largest datagram of an interface', () => {
  it.each([
    ['127.0.0.1', 65_507],
    ['127.9.9.9', 65_507],
    ['10.0.1.7', 65_507], // our own address leads back to us
    ['::1', 65_488],
    ['2001:db8::7', 65_488],
    ['203.0.113.1', 1472], // the default route of the lower metric
    ['10.100.3.4', 1392],
    ['10.0.2.9', 8972],
    ['10.0.3.9', 1472], // its MTU cannot be read
    ['2001:db8::9', 8952],
    ['2001:db9::9', 1452],
    ['fe80::1%eth0', 1452],
  ])('to %s is %i bytes', (address, bytes) => {
    expect(bytesTo(address)).toBe(bytes)
  })

  it('is that of Ethernet where the system does not tell', () => {
    const silent: RouteSources = {
      ...linux,
      read: () => {
        throw new Error('no')
      },
    }
    expect(bytesTo('203.0.113.1', silent)).toBe(1472)
    expect(bytesTo('203.0.113.1', { ...linux, platform: 'win32' })).toBe(1472)
    expect(bytesTo('127.0.0.1', { ...linux, platform: 'darwin' })).toBe(16_356)
    expect(bytesTo('203.0.113.1', { ...linux, read: () => 'garbage \n in \n the file' })).toBe(1472)
  })

  it.runIf(process.platform === 'linux')('is read from this machine', () => {
    expect(datagramBytesTo({ address: '127.0.0.1', port: 1 })).toBeGreaterThan(16_000)
    for (const list of Object.values(networkInterfaces()))
      for (const { address } of list ?? [])
        expect(datagramBytesTo({ address, port: 1 })).toBeGreaterThanOrEqual(1232)
  })
})
