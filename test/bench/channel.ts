/**
 * What the benchmark asks of a system under test: connections that carry bytes in order. Every system is measured by
 * the same work (`work.ts`) through this interface, each end in a process of its own.
 */
export interface Channel {
  /** Takes all of it; a promise when the sender should wait for room, as the system's own API says. */
  write(data: Uint8Array): Promise<void> | undefined
  /** Bytes as they arrive. Whoever is given a channel sets it before the next turn of the event loop. */
  ondata: (data: Uint8Array) => void
  close(): void
  /**
   * Where a system has requests of its own (HTTP/2, gRPC): one of them, with a response of as many bytes. Default: the
   * same on the stream.
   */
  request?(message: Uint8Array): Promise<void>
}

export interface Client {
  /** A new connection, when the system calls it usable. */
  connect(): Promise<Channel>
  /** Where a system takes the first bytes along as it connects: the same with `first`, and what comes back. */
  connectWith?(first: Uint8Array, ondata: (data: Uint8Array) => void): Promise<Channel>
  /** After the first contact: what two ends that know each other have agreed on before they work together. */
  befriend?(): Promise<void>
}

export interface Setup {
  /** Of the repository, as a file URL that ends in a slash. */
  readonly root: string
  /** PEM for the systems over TLS: self-signed, the only authority that their clients trust. */
  readonly cert: string
  readonly key: string
  /** `host:port` of a rendezvous of ours. */
  readonly registry: string
  readonly beacon: string
  /** What the third process of a system that needs one said, e.g. a bootstrap node. */
  readonly broker: unknown
  /** What a server said it is ready with. */
  readonly ready: unknown
  /** Of the row measured, see `systems.ts`. */
  readonly options: Readonly<Record<string, unknown>>
  readonly amount: Amount
}

/** How much is measured. */
export interface Amount {
  /** One way. */
  readonly bulkBytes: number
  /** Round trips that count, by size of the request and of the response in bytes. */
  readonly rounds: Readonly<Record<number, number>>
  /** Connections made and closed one after the other. */
  readonly connects: number
  /** Connections open at the same time while memory is measured. */
  readonly idle: number
}

/** A module of `systems/` or `peers/`: its default export. */
export interface System {
  /** Resolves with what clients need to know, as JSON. */
  serve(setup: Setup, onchannel: (channel: Channel) => void): Promise<unknown>
  client(setup: Setup): Promise<Client>
  /** In a process of its own, before the others. */
  broker?(setup: Setup): Promise<unknown>
}

export type Figures = Record<string, number>

/** Answers of the parent of a measuring process. */
export interface Meter {
  /** Since the start of each process, in µs of both modes; bytes now. `sender` is the client's side. */
  sample(): Promise<Usage>
}

export interface Usage {
  readonly senderCpuUs: number
  readonly receiverCpuUs: number
  readonly senderRss: number
  readonly receiverRss: number
}

/** A module that does work of its own instead: what no stream is made of. */
export interface Ceiling {
  serveCeiling(setup: Setup): Promise<unknown>
  measureCeiling(setup: Setup, meter: Meter): Promise<Figures>
}
