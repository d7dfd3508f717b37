import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Endpoint } from '../../../core/index.ts'
import { PathSelector } from '../../../core/nat/path-selector.ts'

const home: Endpoint = { address: '203.0.113.5', port: 4000 }
const moved: Endpoint = { address: '203.0.113.5', port: 4777 }

function probes(paths: PathSelector): (Endpoint | 'relay')[] {
  const all: (Endpoint | 'relay')[] = []
  for (let probe = paths.pollProbe(); probe !== undefined; probe = paths.pollProbe())
    all.push(probe)
  return all
}

/** Runs the timers up to `until`, answering no probe. */
function run(paths: PathSelector, until: number): (Endpoint | 'relay')[] {
  const sent: (Endpoint | 'relay')[] = []
  for (let at = paths.pollTimeout(); at !== undefined && at <= until; at = paths.pollTimeout()) {
    paths.handleTimeout(at)
    sent.push(...probes(paths))
  }
  return sent
}

describe('first contact', () => {
  it('waits for the registry before it uses the relay, but not for long', () => {
    const paths = new PathSelector(true)
    paths.handleResolving(0)
    expect(paths.route(0)).toBe('none')
    expect(paths.route(1001)).toBe('relay')
  })

  it('gives the direct path a second, then sends on both', () => {
    const paths = new PathSelector(true)
    paths.handleResolved([home], 0)
    expect(paths.route(0)).toBe('direct')
    paths.handleSent(0)
    expect(paths.route(999)).toBe('direct')
    expect(paths.route(1000)).toBe('both')
  })

  it('relays when nothing else is known, and not at all without a beacon', () => {
    expect(new PathSelector(true).route(0)).toBe('relay')
    expect(new PathSelector(false).route(0)).toBe('none')
  })

  it('settles on the relay when only that answers, and goes on probing', () => {
    const paths = new PathSelector(true)
    paths.handleResolved([home], 0)
    paths.handleSent(0)
    paths.handleAuthenticated('relay', 1200)
    expect(paths.route(1200)).toBe('relay')
    expect(paths.kind).toBe('relay')
    expect(run(paths, 12_000)).toContain(home)
    paths.handleProbeAnswer(home, 12_100)
    expect(paths.route(12_100)).toBe('direct')
  })
})

describe('a direct path', () => {
  function direct(): PathSelector {
    const paths = new PathSelector(true)
    paths.handleResolved([home], 0)
    paths.handleAuthenticated(home, 0)
    return paths
  }

  it('that goes silent is doubted after a second, and given up for the relay', () => {
    const paths = direct()
    paths.handleSent(100)
    expect(paths.route(1000)).toBe('direct')
    expect(paths.route(1100)).toBe('both')
    expect(run(paths, 4000)).toEqual(expect.arrayContaining([home, 'relay']))
    paths.handleProbeAnswer('relay', 1700)
    run(paths, 6000)
    expect(paths.kind).toBe('relay')
    expect(paths.route(6000)).toBe('relay')
  })

  it('that answers a probe over the relay is kept: G1 relays for good once it was relayed to', () => {
    const paths = direct()
    paths.handleSent(100)
    run(paths, 1600)
    paths.handleAuthenticated('relay', 1650)
    paths.handleProbeAnswer(home, 1650)
    expect(paths.route(1700)).toBe('direct')
  })

  it('is probed when idle, so that NAT mappings stay, but not for ever', () => {
    const paths = direct()
    paths.handleSent(0)
    paths.handleAuthenticated(home, 10)
    expect(run(paths, 26_000)).toEqual([home])
  })

  it('moves to a new endpoint only when that answers, while the old one is well', () => {
    const paths = direct()
    paths.handleAuthenticated(moved, 100)
    expect(paths.endpoint).toBe(home)
    expect(probes(paths)).toEqual([moved])
    paths.handleProbeAnswer(moved, 150)
    expect(paths.endpoint).toBe(moved)
  })

  it('moves at once when the old endpoint is silent', () => {
    const paths = direct()
    paths.handleSent(100)
    paths.handleAuthenticated(moved, 1200)
    expect(paths.endpoint).toBe(moved)
  })

  it('is not displaced by a key exchange, which may be a replay', () => {
    const paths = direct()
    paths.handleKeyExchange(moved, 100)
    paths.handleKeyExchange('relay', 100)
    expect(paths.endpoint).toBe(home)
    expect(paths.kind).toBe('direct')
  })

  it('that is silent yields to what the registry says now', () => {
    const paths = direct()
    paths.handleResolved([moved], 100)
    expect(paths.endpoint).toBe(home)
    paths.handleSent(200)
    paths.handleResolved([moved], 1300)
    expect(paths.endpoint).toBe(moved)
    expect(paths.isProven).toBe(false)
  })
})

describe('a path on which streams are stuck though the peer is heard there', () => {
  function suspected(): PathSelector {
    const paths = new PathSelector(true)
    paths.handleResolved([home], 0)
    paths.handleAuthenticated(home, 0)
    paths.suspect(1000)
    return paths
  }

  it('is sent on beside the relay, and given up unless a probe there is answered', () => {
    const paths = suspected()
    expect(paths.route(1000)).toBe('both')
    expect(probes(paths)).toEqual([home, 'relay'])
    paths.handleProbeAnswer('relay', 1050)
    for (let now = 1000; now < 6000; now += 100) {
      paths.handleAuthenticated(home, now)
      paths.handleTimeout(now)
      probes(paths)
    }
    expect(paths.route(6000)).toBe('relay')
    expect(paths.isProven).toBe(false)
    // What comes by it proves nothing for a while; an answer does.
    paths.handleProbeAnswer(home, 6100)
    expect(paths.route(6100)).toBe('direct')
  })

  it('is kept when the probe is answered', () => {
    const paths = suspected()
    paths.handleProbeAnswer(home, 1100)
    expect(paths.route(1100)).toBe('direct')
    run(paths, 20_000)
    expect(paths.isProven).toBe(true)
  })

  it('is kept where there is nothing else', () => {
    const paths = new PathSelector(false)
    paths.handleResolved([home], 0)
    paths.handleAuthenticated(home, 0)
    paths.suspect(1000)
    expect(paths.route(5000)).toBe('direct')
  })
})

describe('a path made for a peer', () => {
  const channel: Endpoint = { address: 'channel', port: 1 }

  it('is probed at once while relayed, used when it answers, and left when it closes', () => {
    const paths = new PathSelector(true)
    paths.handleAuthenticated('relay', 0)
    paths.handleTimeout(0)
    probes(paths)
    paths.handleOffered(channel, 100)
    expect(probes(paths)).toEqual([channel])
    expect(paths.route(100)).toBe('relay')
    paths.handleProbeAnswer(channel, 110)
    expect(paths.route(110)).toBe('direct')
    expect(paths.endpoint).toBe(channel)
    paths.handleWithdrawn(channel, 5000)
    expect(paths.route(5000)).toBe('relay')
    expect(run(paths, 20_000)).not.toContain(channel)
  })

  it('does not displace a path that works', () => {
    const paths = new PathSelector(true)
    paths.handleAuthenticated(home, 0)
    paths.handleOffered(channel, 10)
    expect(probes(paths)).toEqual([])
    expect(paths.endpoint).toBe(home)
    paths.handleWithdrawn(channel, 20)
    expect(paths.endpoint).toBe(home)
  })
})

describe('of several paths made for a peer', () => {
  const channel: Endpoint = { address: 'channel', port: 1 }
  const socket: Endpoint = { address: 'socket', port: 1 }

  function onChannel(): PathSelector {
    const paths = new PathSelector(true)
    paths.handleAuthenticated('relay', 0)
    paths.handleOffered(channel, 0, { rank: 1, frameBytesMax: 16_384 })
    paths.handleProbeAnswer(channel, 10)
    probes(paths)
    return paths
  }

  it('the better one is used as soon as it answers, and the other when it closes', () => {
    const paths = onChannel()
    expect(paths.way).toBe(channel)
    expect(paths.frameBytesMax).toBe(16_384)
    paths.handleOffered(socket, 20, { rank: 2, frameBytesMax: 61_440 })
    expect(probes(paths)).toEqual([socket])
    expect(paths.way).toBe(channel)
    paths.handleProbeAnswer(socket, 30)
    expect(paths.way).toBe(socket)
    expect(paths.frameBytesMax).toBe(61_440)
    paths.handleWithdrawn(socket, 100)
    expect(paths.way).toBe('relay')
    expect(paths.frameBytesMax).toBeUndefined()
    expect(probes(paths)).toEqual([channel])
    paths.handleProbeAnswer(channel, 110)
    expect(paths.way).toBe(channel)
  })

  it('the better one is probed again when its first probe is lost, but not for ever', () => {
    const paths = onChannel()
    paths.handleOffered(socket, 20, { rank: 2 })
    const sent = run(paths, 60_000).filter((probe) => probe === socket)
    expect(sent.length).toBeGreaterThan(5)
    expect(sent.length).toBeLessThanOrEqual(11)
  })

  it('the lesser one does not displace the better, nor does a peer that still sends there', () => {
    const paths = onChannel()
    paths.handleOffered(socket, 20, { rank: 2 })
    paths.handleProbeAnswer(socket, 30)
    probes(paths)
    paths.handleAuthenticated(channel, 40)
    paths.handleProbeAnswer(channel, 50)
    expect(probes(paths)).toEqual([])
    expect(paths.way).toBe(socket)
    // Unless the better one is silent.
    paths.handleSent(100)
    paths.handleAuthenticated(channel, 1200)
    expect(paths.way).toBe(channel)
  })

  it('none displaces an endpoint of the network, which displaces them all', () => {
    const paths = onChannel()
    paths.handleAuthenticated(home, 100)
    expect(probes(paths)).toEqual([home])
    paths.handleProbeAnswer(home, 120)
    expect(paths.way).toBe('direct')
    expect(paths.endpoint).toBe(home)
    expect(paths.frameBytesMax).toBeUndefined()
    paths.handleAuthenticated(channel, 130)
    expect(probes(paths)).toEqual([])
  })

  it('a moved peer is probed for a few times, not once per frame', () => {
    const paths = new PathSelector(true)
    paths.handleAuthenticated(home, 0)
    let asked = 0
    for (let now = 1; now <= 200; now++) {
      paths.handleAuthenticated(moved, now)
      asked += probes(paths).length
    }
    expect(asked).toBe(2)
  })
})

it('never asks for a timeout in the past, whatever happens', () => {
  const step = fc.record({
    what: fc.constantFrom(
      ...[
        'sent',
        'home',
        'moved',
        'relay',
        'answer',
        'resolved',
        'key',
        'doubt',
        'offered',
        'gone',
        'suspect',
      ],
    ),
    after: fc.nat(4000),
  })
  fc.assert(
    fc.property(fc.boolean(), fc.array(step, { maxLength: 60 }), (hasRelay, steps) => {
      const paths = new PathSelector(hasRelay)
      let now = 0
      for (const { what, after } of steps) {
        now += after
        if (what === 'sent') paths.handleSent(now)
        else if (what === 'home') paths.handleAuthenticated(home, now)
        else if (what === 'moved') paths.handleAuthenticated(moved, now)
        else if (what === 'relay' && hasRelay) paths.handleAuthenticated('relay', now)
        else if (what === 'answer') paths.handleProbeAnswer(home, now)
        else if (what === 'resolved') paths.handleResolved([moved], now)
        else if (what === 'key') paths.handleKeyExchange(moved, now)
        else if (what === 'doubt') paths.doubt(now)
        else if (what === 'offered') paths.handleOffered(moved, now, { rank: after % 5 })
        else if (what === 'suspect') paths.suspect(now)
        else if (what === 'gone') paths.handleWithdrawn(moved, now)
        paths.handleTimeout(now)
        probes(paths)
        const at = paths.pollTimeout()
        if (at !== undefined) expect(at).toBeGreaterThan(now)
        if (paths.route(now) === 'direct') expect(paths.endpoint).toBeDefined()
      }
    }),
  )
})

describe('a peer that is reached through a beacon only', () => {
  const channel: Endpoint = { address: 'path-1', port: 1 }

  it('is relayed to at once, and never probed', () => {
    const paths = new PathSelector(true)
    paths.setRelayOnly(true, 0)
    paths.handleResolved([], 0)
    expect(paths.route(0)).toBe('relay')
    paths.handleSent(0)
    paths.handleAuthenticated('relay', 100)
    expect(run(paths, 600_000)).toEqual([])
  })

  it('is not reached where it was before, nor where its frames seem to come from', () => {
    const paths = new PathSelector(true)
    paths.handleResolved([home], 0)
    paths.handleAuthenticated(home, 10)
    expect(paths.route(10)).toBe('direct')
    paths.setRelayOnly(true, 20)
    paths.handleKeyExchange(moved, 30)
    paths.handleAuthenticated(moved, 40)
    paths.handleProbeAnswer(home, 50)
    expect(paths).toMatchObject({ kind: 'none', isProven: false })
    expect(paths.endpoint).toBeUndefined()
    expect(paths.route(2000)).toBe('relay')
    expect(paths.keyExchangeRoute(2000)).toBe('relay')
    paths.setRelayOnly(false, 3000)
    paths.handleAuthenticated(home, 3000)
    expect(paths.route(3000)).toBe('direct')
  })

  it('may have a path made for it, as long as that is there', () => {
    const paths = new PathSelector(true)
    paths.handleOffered(channel, 0)
    paths.setRelayOnly(true, 0)
    expect(probes(paths)).toEqual([channel])
    paths.handleProbeAnswer(channel, 10)
    expect(paths.route(10)).toBe('direct')
    expect(paths.endpoint).toEqual(channel)
    paths.handleWithdrawn(channel, 20)
    paths.handleAuthenticated(channel, 30)
    expect(paths.route(30)).toBe('relay')
  })
})
