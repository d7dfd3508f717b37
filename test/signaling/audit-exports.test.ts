/** The audit log on its way to a webhook and to a log collector (spec/05 §17). */
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { RegistryMessage } from '../../core/wire/registry-message.ts'
import { AuditQueue, type ExportTarget, NO_EXPORT } from '../../signaling/audit-exports.ts'
import { exportBody, webhookBody } from '../../signaling/audit-format.ts'
import { createRendezvous, type Rendezvous } from '../../signaling/serve-node.ts'
import { identity, RegistryBench } from './registry-bench.ts'
import { RegistrySocket } from './registry-socket.ts'

const event = (details: Record<string, string> = {}, action = 'hostname.changed') => ({
  eventId: 7,
  details,
  entry: {
    sequence: 1,
    kind: 'node' as const,
    unixSeconds: 1_772_200_000,
    action,
    node: 38,
    network: 0,
    details: Object.entries(details)
      .map(([name, value]) => `${name}=${value}`)
      .join(', '),
  },
})

describe('bodies', () => {
  const target = (format: ExportTarget['format']): ExportTarget => ({
    ...NO_EXPORT,
    format,
    index: 'i',
    source: 's',
  })

  it('are those of v1.9', () => {
    const one = event({ hostname: 'hooked' })
    expect(JSON.parse(webhookBody(one))).toEqual({
      event_id: 7,
      action: 'hostname.changed',
      timestamp: '2026-02-27T13:46:40Z',
      details: { hostname: 'hooked', node_id: 38 },
    })
    expect(JSON.parse(exportBody(one, target('json')).body)).toEqual({
      timestamp: '2026-02-27T13:46:40Z',
      action: 'hostname.changed',
      node_id: 38,
      details: 'hostname=hooked',
    })
    expect(JSON.parse(exportBody(one, target('splunk_hec')).body)).toEqual({
      time: 1_772_200_000,
      source: 's',
      sourcetype: 'pilot:audit',
      index: 'i',
      event: { action: 'hostname.changed', node_id: 38, details: 'hostname=hooked' },
    })
  })

  it('let no value begin a member or a line of CEF (L27)', () => {
    const { body, contentType } = exportBody(
      event({ name: 'a|b\\c\nCEF:0|x cn1=9' }, 'network.renamed'),
      target('syslog_cef'),
    )
    expect(contentType).toBe('text/plain')
    expect(body).not.toContain('\n')
    expect(body).toBe(
      'CEF:0|Pilot|Registry|1.0|network.renamed|network.renamed|5|dvc=pilot-registry dvchost=registry cs1=network.renamed cs1Label=action cn1=0 cn1Label=network_id cn2=38 cn2Label=node_id msg=name\\=a|b\\\\c\\nCEF:0|x cn1\\=9',
    )
  })
})

it('drops what is beyond a thousand waiting, and counts it', () => {
  const queue = new AuditQueue()
  for (let i = 0; i < 1030; i++) queue.add(event())
  expect(queue.dropped).toBe(6)
  for (let i = 0; i < 150; i++) queue.bury(event())
  expect([queue.failed, queue.dead.length]).toEqual([150, 100])
})

describe('at a registry', () => {
  let folder: string
  let server: Server
  let url: string
  let rendezvous: Rendezvous
  let client: RegistrySocket
  /** Status codes of the next answers; then 200. */
  let answers: number[]
  let got: { path: string; headers: IncomingHttpHeaders; body: string }[]

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'pilot-export-'))
    answers = []
    got = []
    server = createServer(async (request, response) => {
      let body = ''
      for await (const chunk of request) body += chunk
      response.statusCode = answers.shift() ?? 200
      if (response.statusCode === 307) response.setHeader('location', `${url}/elsewhere`)
      else if (response.statusCode === 200)
        got.push({ path: request.url ?? '', headers: request.headers, body })
      response.end()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    await start()
  })
  afterEach(async () => {
    client.close()
    await rendezvous.close()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    rmSync(folder, { recursive: true })
  })

  async function start(): Promise<void> {
    rendezvous = await createRendezvous({
      registryAddress: '127.0.0.1:0',
      beaconAddress: '127.0.0.1:0',
      storePath: join(folder, 'store.sqlite'),
      adminToken: 'adm',
    })
    client = await RegistrySocket.open(rendezvous.registryEndpoint.port)
  }
  const ask = (message: RegistryMessage): Promise<RegistryMessage | undefined> =>
    client.request({ ...message, admin_token: 'adm' })
  async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
    for (let i = 0; i < 500; i++) {
      if (await isTrue()) return
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    expect(await isTrue()).toBe(true)
  }

  it('posts every entry, survives a restart, and tells how it goes', async () => {
    expect(await ask({ type: 'get_webhook' })).toMatchObject({ enabled: false, url: '' })
    expect(await ask({ type: 'set_webhook', url: `${url}/hook` })).toEqual({
      type: 'set_webhook_ok',
      status: 'enabled',
      url: `${url}/hook`,
    })
    const settings = { format: 'splunk_hec', endpoint: `${url}/log`, token: 't' }
    expect(await ask({ type: 'set_audit_export', ...settings })).toEqual({
      type: 'set_audit_export_ok',
      status: 'enabled',
      format: 'splunk_hec',
      endpoint: `${url}/log`,
    })
    await client.register(identity('a'))
    await until(() => got.length >= 4)
    const hooks = got.filter(({ path }) => path === '/hook').map(({ body }) => JSON.parse(body))
    expect(hooks.map(({ event_id, action }) => [event_id, action])).toEqual([
      [1, 'audit_export.configured'],
      [2, 'node.registered'],
    ])
    const logged = got.filter(({ path }) => path === '/log')
    expect(logged.map(({ headers }) => headers.authorization)).toEqual(['Splunk t', 'Splunk t'])
    const told = await ask({ type: 'get_audit_export' })
    expect(told).toMatchObject({ enabled: true, exported: 2, dropped: 0 })
    expect(JSON.stringify(told)).not.toContain('"t"')

    client.close()
    await rendezvous.close()
    await start()
    expect(await ask({ type: 'get_webhook' })).toMatchObject({ enabled: true, url: `${url}/hook` })
    got.length = 0
    await client.register(identity('b'))
    await until(() => got.length === 2)
    expect(await ask({ type: 'set_audit_export', format: '', endpoint: '' })).toEqual({
      type: 'set_audit_export_ok',
      status: 'disabled',
    })
    expect(await ask({ type: 'get_audit_export' })).toEqual({
      type: 'get_audit_export_ok',
      enabled: false,
    })
  })

  it('tries what a server could not take again, gives up what it refuses, and follows nobody elsewhere', async () => {
    await ask({ type: 'set_webhook', url })
    answers = [503, 200, 404, 307]
    for (const name of ['a', 'b', 'c']) await client.register(identity(name))
    await until(async () => (await ask({ type: 'get_webhook' }))?.failed === 2 && got.length === 1)
    const { events, count } = (await ask({ type: 'get_webhook_dlq' }))!
    expect(count).toBe(2)
    expect((events as { event_id: number }[]).map((one) => one.event_id)).toEqual([2, 3])
  })

  it.each([
    ['ftp://x/', /http/],
    ['http://169.254.169.254/latest', /link-local/],
    ['http://metadata.google.internal/', /metadata/],
    ['nonsense', /no URL/],
  ])('sends nothing to %s', async (bad, why) => {
    expect((await ask({ type: 'set_webhook', url: bad }))?.error).toMatch(why)
    const message = { type: 'set_audit_export', format: 'json', endpoint: bad }
    expect((await ask(message))?.error).toMatch(why)
    expect(await ask({ type: 'get_webhook' })).toMatchObject({ enabled: false })
  })

  it('is for who has the token, in formats that there are', async () => {
    for (const type of ['set_webhook', 'get_webhook', 'get_webhook_dlq', 'set_audit_export'])
      expect((await client.request({ type, admin_token: 'wrong', url }))?.type).toBe('error')
    const format = { type: 'set_audit_export', format: 'xml', endpoint: url }
    expect((await ask(format))?.error).toMatch(/unknown export format: "xml"/)
    const lines = { type: 'set_audit_export', format: 'json', endpoint: url, token: 'a\r\nb' }
    expect((await ask(lines))?.error).toMatch(/single lines/)
  })
})

it('is refused where nothing can send', () => {
  const bench = new RegistryBench({ adminToken: 'adm' })
  const reply = bench.connect('192.0.2.1').send({ type: 'get_webhook', admin_token: 'adm' })
  expect(reply).toMatchObject({ error: 'unknown message type: "get_webhook"' })
})
