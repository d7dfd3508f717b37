/** HTTP routes: shapes, who may see what, and that nothing private is in them. */
import type { Hono } from 'hono'
import { beforeEach, describe, expect, it } from 'vitest'
import { createApp } from '../../signaling/app.ts'
import { Beacon } from '../../signaling/beacon.ts'
import { REGISTRY_REQUEST_TYPES } from '../../signaling/registry.ts'
import { RequestMetrics } from '../../signaling/request-metrics.ts'
import {
  prometheusText,
  registryStats,
  type StatisticsSources,
} from '../../signaling/statistics.ts'
import { RegistryBench } from './registry-bench.ts'

let app: Hono
let bench: RegistryBench
let sources: StatisticsSources
let peer: string | undefined
let isHealthy: boolean

beforeEach(() => {
  bench = new RegistryBench()
  peer = '127.0.0.1'
  isHealthy = true
  sources = {
    registry: bench.registry,
    beacon: new Beacon({}, 0),
    requests: new RequestMetrics(),
    sockets: { connections: 0, connectionsRefused: 0, framesRefused: 0, datagramsUnsent: 0 },
    startedAt: 0,
  }
  app = createApp({
    view: {
      stats: () => registryStats(sources, bench.at),
      metrics: () => prometheusText(sources, bench.at),
      isHealthy: () => isHealthy,
    },
    peerAddress: () => peer,
  })
})

/** Two nodes that trust each other, one with tags and tasks; one that went away. */
function populate(): void {
  const a = bench.node('a', { isPublic: true, owner: 'owner@example.com' })
  const b = bench.node('b', { address: '203.0.113.77' })
  a.signed('set_hostname', { hostname: 'secret-name' })
  a.signed('set_tags', { tags: ['web', 'gpu'] })
  b.signed('set_tags', { tags: ['web'] })
  b.signed('set_task_exec', { enabled: true })
  a.toward('report_trust', b)
  const gone = bench.node('gone')
  b.toward('report_trust', gone)
  gone.signed('deregister')
  bench.at = 90_500
  b.heartbeat()
}

const CORP = {
  name: 'corp',
  joinRule: 'open',
  token: '',
  adminToken: '',
  isEnterprise: false,
  createdAt: 0,
  maxMembers: 0,
  allowedPorts: null,
  description: '',
  rules: '',
  exprPolicy: '',
} as const

describe('/api/stats', () => {
  it('has the shape of the reference', async () => {
    populate()
    const { networks } = bench.registry.desk
    networks.restore({ ...CORP, id: 1 })
    for (const node of [1, 2]) networks.addMember(1, node, 'member')
    bench.at = 185_000
    sources.requests.observe('lookup', false, 0.001)
    const answer = await app.request('/api/stats')
    expect(answer.headers.get('access-control-allow-origin')).toBe('*')
    expect(await answer.json()).toEqual({
      total_nodes: 2,
      active_nodes: 1,
      total_trust_links: 2,
      total_requests: 1,
      unique_tags: 2,
      task_executors: 1,
      networks: [
        { id: 0, name: 'backbone', members: 2, online_members: 1 },
        { id: 1, name: 'corp', members: 2, online_members: 1 },
      ],
      nodes: [
        {
          address: '0:0000.0000.0001',
          tags: ['web', 'gpu'],
          online: false,
          trust_links: 1,
          task_exec: false,
          polo_score: 0,
        },
        {
          address: '0:0000.0000.0002',
          tags: ['web'],
          online: true,
          trust_links: 2,
          task_exec: true,
          polo_score: 0,
        },
      ],
      edges: [{ source: '0:0000.0000.0001', target: '0:0000.0000.0002' }],
      uptime_secs: 185,
    })
  })
})

it('gives away no address, key, hostname or owner on any route', async () => {
  populate()
  for (const type of REGISTRY_REQUEST_TYPES) sources.requests.observe(type, true, 0.01)
  const key = bench.registry.desk.nodes.get(1)!.publicKey
  for (const path of ['/', '/api/stats', '/metrics', '/healthz', '/api/badge/nodes']) {
    const text = await (await app.request(path)).text()
    for (const secret of ['192.0.2', '203.0.113', '4000', key, 'secret-name', 'owner@'])
      expect(text, `${path} and ${secret}`).not.toContain(secret)
  }
})

describe('/healthz', () => {
  it('says ok, or unhealthy with 503', async () => {
    expect(await (await app.request('/healthz')).text()).toBe('ok')
    isHealthy = false
    const answer = await app.request('/healthz')
    expect([answer.status, await answer.text()]).toEqual([503, 'unhealthy'])
  })
})

describe('/metrics', () => {
  it.each<[string | undefined, Record<string, string>, number]>([
    ['127.0.0.1', {}, 200],
    ['::1', {}, 200],
    ['192.0.2.1', {}, 403],
    [undefined, {}, 403],
    ['192.0.2.1', { 'X-Real-IP': '127.0.0.1' }, 403],
    ['192.0.2.1', { 'X-Forwarded-For': '127.0.0.1' }, 403],
    ['127.0.0.1', { 'X-Real-IP': '127.0.0.1' }, 200],
    ['127.0.0.1', { 'X-Real-IP': '192.0.2.1' }, 403],
    ['127.0.0.1', { 'X-Forwarded-For': '127.0.0.1, 192.0.2.1' }, 403],
  ])('from %s with %j: %i', async (address, headers, status) => {
    peer = address
    expect((await app.request('/metrics', { headers })).status).toBe(status)
  })

  it('is Prometheus text with cumulative histograms', async () => {
    sources.requests.observe('lookup', false, 0.0002)
    sources.requests.observe('lookup', true, 2)
    sources.requests.observe('register', false, 0.0001)
    const answer = await app.request('/metrics')
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    const lines = (await answer.text()).split('\n')
    expect(lines).toEqual(
      expect.arrayContaining([
        '# TYPE pilot_requests_total counter',
        'pilot_requests_total{type="lookup"} 2',
        'pilot_errors_total{type="lookup"} 1',
        'pilot_request_duration_seconds_bucket{type="lookup",le="0.0001"} 0',
        'pilot_request_duration_seconds_bucket{type="lookup",le="0.00025"} 1',
        'pilot_request_duration_seconds_bucket{type="lookup",le="1"} 1',
        'pilot_request_duration_seconds_bucket{type="lookup",le="+Inf"} 2',
        'pilot_request_duration_seconds_count{type="lookup"} 2',
        'pilot_request_duration_seconds_bucket{type="register",le="0.0001"} 1',
        'pilot_registrations_total 1',
        'pilot_nodes_total 0',
        '# TYPE pilot_beacon_drops_total counter',
      ]),
    )
    for (const line of lines)
      expect(line).toMatch(/^$|^# (HELP|TYPE) pilot_\w+ .+$|^pilot_\w+(\{[^}]*\})? [0-9.e+-]+$/)
  })

  it('counts all unknown types under one label (W16)', async () => {
    for (const type of ['x', 'y"\n', 7, undefined, '__proto__', 'constructor'])
      sources.requests.observe(type, true, 0)
    const text = await (await app.request('/metrics')).text()
    expect(text).toContain('pilot_requests_total{type="other"} 6')
    expect(text.match(/^pilot_requests_total\{/gm)).toHaveLength(1)
  })
})

describe('badges', () => {
  it.each([
    ['nodes', 'online nodes', '#9f9f9f'],
    ['trust', 'trust links', '#9f9f9f'],
    ['requests', 'requests', '#a855f7'],
    ['tags', 'tags', '#9f9f9f'],
    ['task-executors', 'task executors', '#9f9f9f'],
  ])('%s is an SVG, grey at 0 but for requests', async (name, label, color) => {
    const answer = await app.request(`/api/badge/${name}`)
    expect(answer.headers.get('content-type')).toContain('image/svg+xml')
    expect(answer.headers.get('cache-control')).toBe('no-cache, no-store, must-revalidate')
    const svg = await answer.text()
    expect(svg).toContain(`<title>${label}: 0</title>`)
    expect(svg).toContain(`fill="${color}"`)
    expect(svg).toContain(`width="${Math.floor(6.5 * label.length) + 10}"`)
  })

  it('abbreviate from a thousand up', async () => {
    for (let i = 0; i < 1234; i++) sources.requests.observe('lookup', false, 0)
    expect(await (await app.request('/api/badge/requests')).text()).toContain('requests: 1.2K')
  })

  it('are five', async () => {
    expect((await app.request('/api/badge/other')).status).toBe(404)
  })
})

describe('the status page', () => {
  it('shows the numbers without its script', async () => {
    populate()
    const answer = await app.request('/')
    const html = await answer.text()
    expect(html).toContain('<dt>Nodes online</dt><dd data-stat="active_nodes">2</dd>')
    expect(html).toContain('0:0000.0000.0001')
    expect(html).toContain('<html lang="en">')
    expect(answer.headers.get('content-security-policy')).toContain("default-src 'none'")
  })

  it('needs nothing from elsewhere, and its policy holds nothing inline', async () => {
    const html = await (await app.request('/')).text()
    const links = [...html.matchAll(/(?:src|href)="([^"]*)"/g)].map((match) => match[1]!)
    expect(links.length).toBeGreaterThan(0)
    for (const link of links) {
      expect(link).toMatch(/^\/[^/]/)
      expect((await app.request(link)).status).toBe(200)
    }
    expect(html).not.toMatch(/<style|style=|<script>|\son\w+=/)
  })

  it('says so when there are no nodes, and 404 elsewhere', async () => {
    expect(await (await app.request('/')).text()).toContain('No node is registered yet.')
    expect((await app.request('/nowhere')).status).toBe(404)
    expect((await app.request('/debug/pprof/')).status).toBe(404)
  })

  it('has a script that parses', async () => {
    const script = await (await app.request('/status.js')).text()
    expect(() => new Function(script)).not.toThrow()
  })
})
