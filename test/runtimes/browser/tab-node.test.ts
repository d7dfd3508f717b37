/** Tabs without a browser: engines that start, fail and die as the test says, on Node's Web Locks and BroadcastChannel. */
import { MessageChannel } from 'node:worker_threads'
import { afterEach, describe, expect, it } from 'vitest'
import { PilotError } from '../../../core/errors.ts'
import type {
  EngineHandle,
  StartEngine,
  StartEngineOptions,
} from '../../../runtimes/browser/engine-handle.ts'
import type { EngineSettings } from '../../../runtimes/browser/settings.ts'
import { Leadership } from '../../../runtimes/browser/tabs/leadership.ts'
import { originName } from '../../../runtimes/browser/tabs/tab-message.ts'
import { TabNode } from '../../../runtimes/browser/tabs/tab-node.ts'
import { TabServer } from '../../../runtimes/browser/tabs/tab-server.ts'
import type { NodeEvent } from '../../../runtimes/shared/api.ts'
import { portLane } from '../../../runtimes/shared/remote/lane.ts'
import { NodeHost } from '../../../runtimes/shared/remote/node-host.ts'
import { FakeNetwork } from '../node/fake-node.ts'
import { until } from '../shared/remote/contract.ts'

const SETTINGS: EngineSettings = { rendezvous: 'wss://example.org' }
let count = 0
const tabs: TabNode[] = []

afterEach(async () => {
  for (const tab of tabs.splice(0)) await tab.close({ timeoutMs: 0 })
})

/** Engines of one origin; every start waits for `gate` where there is one. */
class Engines {
  readonly storageName = `tab-node-test-${process.pid}-${count++}`
  readonly running = new Set<string>()
  readonly started: StartEngineOptions[] = []
  handovers = 0
  fails = 0
  gate: Promise<void> | undefined
  last: { end(): void } | undefined

  readonly start: StartEngine = async (options) => {
    this.started.push(options)
    const { gate } = this
    await gate
    if (this.fails > 0) {
      this.fails--
      throw new PilotError('ERR_REGISTRY_UNAVAILABLE', 'not now')
    }
    this.running.add(options.id)
    const node = new FakeNetwork().add(7, options.profile.hostname ?? options.settings.hostname)
    const host = new NodeHost(node)
    const server = new TabServer({
      storageName: this.storageName,
      engineId: options.id,
      settings: options.settings,
      serve: (lane) => host.serve(lane),
      onchange: options.ontabs,
    })
    const { port1, port2 } = new MessageChannel()
    host.serve(portLane(port2 as never))
    const kill = (): void => {
      if (!this.running.delete(options.id)) return
      host.close(new PilotError('ERR_ENGINE_LOST', 'killed'))
      server.close()
    }
    this.last = { end: () => port2.close() }
    const handle: EngineHandle = {
      lane: portLane(port1 as never),
      wake: () => {},
      stop: async ({ isHandover }) => {
        if (isHandover) this.handovers++
        kill()
      },
      kill,
    }
    return handle
  }

  async join(settings: Partial<EngineSettings> = {}): Promise<TabNode> {
    const tab = await TabNode.join({
      storageName: this.storageName,
      settings: { ...SETTINGS, ...settings },
      identity: undefined,
      recoveryPassphrase: undefined,
      startEngine: this.start,
      joinTimeoutMs: 5000,
    })
    tabs.push(tab)
    return tab
  }
}

describe('tabs', () => {
  it('run one engine; the next takes over when the leading one leaves, with what was set since', async () => {
    const engines = new Engines()
    const first = await engines.join({ hostname: 'name' })
    const second = await engines.join()
    expect([first.isLeader, second.isLeader, engines.running.size]).toEqual([true, false, 1])
    expect(second.hostname).toBe('name')
    await second.setHostname('other')
    await until(() => first.hostname === 'other')
    const events: NodeEvent[] = []
    second.on((event) => events.push(event))
    await until(() => engines.started.length === 1)
    await first.close()
    await until(() => second.isLeader && second.isAttached)
    expect(engines.handovers).toBe(1)
    expect(engines.running.size).toBe(1)
    expect(second.hostname).toBe('other')
    expect(events).toContainEqual({ type: 'leader-changed', isLeader: true })
    await second.close()
    expect(engines.running.size).toBe(0)
    expect(engines.handovers).toBe(1)
  })

  it('an engine that was overtaken while it started is ended, not used', async () => {
    const engines = new Engines()
    const opened = Promise.withResolvers<void>()
    engines.gate = opened.promise
    const joining = engines.join()
    await until(() => engines.started.length === 1)
    const thief = new Leadership({
      name: originName(engines.storageName),
      onelected: () => {},
      ondeposed: () => {},
    })
    thief.seize()
    await until(() => thief.isLeader)
    engines.gate = undefined
    thief.resign()
    const tab = await joining
    expect(engines.started).toHaveLength(2)
    opened.resolve()
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(engines.running.size).toBe(1)
    expect(engines.running.has(engines.started[1]!.id)).toBe(true)
    expect(tab.isAttached).toBe(true)
  })

  it("the first failure is the caller's, a later one is tried again", async () => {
    const engines = new Engines()
    engines.fails = 1
    await expect(engines.join()).rejects.toMatchObject({ code: 'ERR_REGISTRY_UNAVAILABLE' })
    const tab = await engines.join()
    expect(tab.isLeader).toBe(true)
    engines.fails = 1
    engines.last!.end() // the worker is gone
    await until(() => engines.started.length === 4 && tab.isAttached, 5000)
    expect(engines.running.size).toBeLessThanOrEqual(2)
    expect(tab.isLeader).toBe(true)
    expect(await tab.ping('x')).toBe(1)
  })

  it('a tab that is about to be frozen hands over only when there is another', async () => {
    const engines = new Engines()
    const first = await engines.join()
    first.sleep()
    expect(first.isLeader).toBe(true)
    const second = await engines.join()
    first.sleep()
    await until(() => second.isLeader && second.isAttached)
    expect(first.isLeader).toBe(false)
    await until(() => first.isAttached)
    expect(engines.running.size).toBe(1)
  })

  it('calls wait for the next engine, those under way are told', async () => {
    const engines = new Engines()
    const first = await engines.join()
    const second = await engines.join()
    const opened = Promise.withResolvers<void>()
    engines.gate = opened.promise
    const leaving = first.close()
    await until(() => !second.isAttached)
    const waiting = second.ping('x')
    opened.resolve()
    expect(await waiting).toBe(1)
    await leaving
  })

  it('another hostname, or another identity, is another node', async () => {
    const engines = new Engines()
    await engines.join({ hostname: 'a', publicKey: 'AAAA' })
    await expect(engines.join({ hostname: 'b', publicKey: 'AAAA' })).rejects.toMatchObject({
      code: 'ERR_OPTIONS_DIFFER',
      message: expect.stringContaining('another hostname'),
    })
    await expect(engines.join()).rejects.toMatchObject({
      code: 'ERR_OPTIONS_DIFFER',
      message: expect.stringContaining('publicKey'),
    })
    await engines.join({ publicKey: 'AAAA' })
  })
})
