/**
 * A network in virtual time. Hosts exchange datagrams by endpoint: through their NAT, if they have one, over
 * their own access link up, and over the receiver's down. Everything happens in the order of (time,
 * insertion), so one seed gives one transcript.
 */
import { type Endpoint, formatEndpoint, type Instant } from '../../core/machine.ts'
import { Link, type LinkOptions } from './link.ts'
import { Nat, type NatOptions } from './nat.ts'
import { Random } from './random.ts'

export interface Transmit {
  readonly to: Endpoint
  /** Copied by the world. */
  readonly datagram: Uint8Array
}

/** A machine as the network sees it. */
export interface Host {
  /** What it sends from: public, or private when it stands behind a NAT. */
  readonly endpoint: Endpoint
  handleDatagram(datagram: Uint8Array, from: Endpoint, now: Instant): void
  handleTimeout(now: Instant): void
  pollTimeout(): Instant | undefined
  pollTransmit(now: Instant): Transmit | undefined
}

export interface WorldOptions {
  readonly seed: number
  /** Access links of hosts that name none. */
  readonly link?: LinkOptions
  /** Lines of transcript kept. Default 2000. */
  readonly transcriptLines?: number
}

export interface Attachment {
  readonly up: Link
  readonly down: Link
  readonly nat: Nat | undefined
  /** Takes the host off the network; its datagrams and timers end. */
  detach(): void
}

interface Site {
  readonly host: Host
  readonly up: Link
  readonly down: Link
  readonly nat: Nat | undefined
}

interface Happening {
  readonly at: Instant
  readonly order: number
  readonly run: () => void
}

export class World {
  now: Instant = 0
  readonly seed: number
  readonly #options: WorldOptions
  readonly #sites: Site[] = []
  readonly #queue: Happening[] = []
  readonly #transcript: string[] = []
  #order = 0

  constructor(options: WorldOptions) {
    this.seed = options.seed
    this.#options = options
  }

  /** A generator of its own for whoever asks by this name. */
  random(label: string): Random {
    return new Random(this.seed, label)
  }

  nat(options: NatOptions): Nat {
    return new Nat(options, this.random(`nat ${options.publicAddress}`))
  }

  /** Puts a host on the network. Hosts that share a `nat` share a LAN without delay. */
  add(
    host: Host,
    options: { readonly nat?: Nat; readonly up?: LinkOptions; readonly down?: LinkOptions } = {},
  ): Attachment {
    const name = formatEndpoint(host.endpoint)
    const link = this.#options.link ?? {}
    const site: Site = {
      host,
      up: new Link(options.up ?? link, this.random(`${name} up`)),
      down: new Link(options.down ?? link, this.random(`${name} down`)),
      nat: options.nat,
    }
    this.#sites.push(site)
    this.touch(host)
    return {
      up: site.up,
      down: site.down,
      nat: site.nat,
      detach: () => {
        const index = this.#sites.indexOf(site)
        if (index >= 0) this.#sites.splice(index, 1)
      },
    }
  }

  /** Runs `action` at a time. */
  at(time: Instant, action: () => void): void {
    this.#push(Math.max(this.now, time), action)
  }

  /** To be called after an API method changed a host: sends what it queued. */
  touch(host: Host): void {
    const site = this.#sites.find((one) => one.host === host)
    if (site !== undefined) this.#drain(site)
  }

  /** One thing happens; false when nothing is left to happen up to `until`. */
  step(until: Instant): boolean {
    const next = this.#queue[0]
    let timer: Site | undefined
    let timerAt = Number.POSITIVE_INFINITY
    for (const site of this.#sites) {
      const at = site.host.pollTimeout()
      if (at !== undefined && at < timerAt) {
        timer = site
        timerAt = at
      }
    }
    if (next !== undefined && next.at <= timerAt) {
      if (next.at > until) return false
      this.#pop()
      this.now = next.at
      next.run()
      return true
    }
    if (timer === undefined || timerAt > until) return false
    if (timerAt > this.now) this.now = timerAt
    timer.host.handleTimeout(this.now)
    this.#drain(timer)
    const again = timer.host.pollTimeout()
    if (again !== undefined && again <= this.now)
      throw new Error(`timer of ${formatEndpoint(timer.host.endpoint)} stays at ${again}`)
    return true
  }

  /** Lets everything up to this time happen; the clock stands there afterwards. */
  runUntil(time: Instant): void {
    while (this.step(time));
    this.now = Math.max(this.now, time)
  }

  /** Runs until `isDone`; false when it does not come to that before `limit`. */
  runUntilTrue(isDone: () => boolean, limit: Instant): boolean {
    while (!isDone()) if (!this.step(limit)) return isDone()
    return true
  }

  /** The last lines of what happened, for a failure's message. */
  get transcript(): readonly string[] {
    return this.#transcript
  }

  note(line: string): void {
    this.#transcript.push(`${this.now.toFixed(3)} ${line}`)
    const limit = this.#options.transcriptLines ?? 2000
    if (this.#transcript.length > 2 * limit) this.#transcript.splice(0, limit)
  }

  /** Runs a check; its failure is told with seed and the end of the transcript. */
  check(verify: () => void, lines = 60): void {
    try {
      verify()
    } catch (error) {
      const tail = this.#transcript.slice(-lines).join('\n')
      if (error instanceof Error) error.message += `\nseed ${this.seed}, transcript:\n${tail}`
      throw error
    }
  }

  #drain(site: Site): void {
    for (let count = 0; ; count++) {
      if (count > 1_000_000) throw new Error(`endless transmission at ${this.now}`)
      const transmit = site.host.pollTransmit(this.now)
      if (transmit === undefined) return
      this.#send(site, transmit.to, transmit.datagram.slice())
    }
  }

  #send(site: Site, to: Endpoint, datagram: Uint8Array): void {
    const { host, nat } = site
    const neighbour = nat === undefined ? undefined : this.#behind(nat, to)
    if (neighbour !== undefined) {
      this.#push(this.now, () => this.#deliver(neighbour, datagram, host.endpoint))
      return
    }
    const from = nat === undefined ? host.endpoint : nat.outbound(host.endpoint, to, this.now)
    const route = `${formatEndpoint(from)} > ${formatEndpoint(to)} ${datagram.length}`
    if (nat !== undefined && to.address === nat.publicAddress) {
      if (nat.options.hairpinning === true)
        this.#push(this.now, () => this.#arrive(to, datagram, from, route))
      return
    }
    const arrivals = site.up.send(datagram.length, this.now)
    if (arrivals.length === 0) this.note(`${route} lost`)
    for (const at of arrivals) this.#push(at, () => this.#arrive(to, datagram, from, route))
  }

  /** A datagram reached the network; the receiver's own link is still before it. */
  #arrive(to: Endpoint, datagram: Uint8Array, from: Endpoint, route: string): void {
    const site = this.#siteOf(to, from, route)
    if (site === undefined) return
    const arrivals = site.down.send(datagram.length, this.now)
    if (arrivals.length === 0) this.note(`${route} lost`)
    for (const at of arrivals)
      this.#push(at, () => {
        this.note(route)
        this.#deliver(site, datagram.slice(), from)
      })
  }

  #siteOf(to: Endpoint, from: Endpoint, route: string): Site | undefined {
    const open = this.#sites.find(
      ({ host, nat }) =>
        nat === undefined && host.endpoint.port === to.port && host.endpoint.address === to.address,
    )
    if (open !== undefined) return open
    const nat = this.#sites.find((site) => site.nat?.publicAddress === to.address)?.nat
    const inside = nat?.inbound(to.port, from, this.now)
    const site = nat === undefined || inside === undefined ? undefined : this.#behind(nat, inside)
    if (site === undefined) this.note(`${route} ${nat === undefined ? 'unrouted' : 'filtered'}`)
    return site
  }

  #behind(nat: Nat, inside: Endpoint): Site | undefined {
    return this.#sites.find(
      (site) =>
        site.nat === nat &&
        site.host.endpoint.port === inside.port &&
        site.host.endpoint.address === inside.address,
    )
  }

  #deliver(site: Site, datagram: Uint8Array, from: Endpoint): void {
    if (!this.#sites.includes(site)) return
    site.host.handleDatagram(datagram, from, this.now)
    this.#drain(site)
  }

  #push(at: Instant, run: () => void): void {
    const queue = this.#queue
    let i = queue.length
    queue.push({ at, order: this.#order++, run })
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!isBefore(queue[i]!, queue[parent]!)) break
      swap(queue, i, parent)
      i = parent
    }
  }

  #pop(): void {
    const queue = this.#queue
    const last = queue.pop()!
    if (queue.length === 0) return
    queue[0] = last
    for (let i = 0; ; ) {
      const left = 2 * i + 1
      let least = i
      if (left < queue.length && isBefore(queue[left]!, queue[least]!)) least = left
      if (left + 1 < queue.length && isBefore(queue[left + 1]!, queue[least]!)) least = left + 1
      if (least === i) return
      swap(queue, i, least)
      i = least
    }
  }
}

function isBefore(a: Happening, b: Happening): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}

function swap(queue: Happening[], i: number, j: number): void {
  const kept = queue[i]!
  queue[i] = queue[j]!
  queue[j] = kept
}
