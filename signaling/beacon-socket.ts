/** The beacon's UDP socket, as each runtime has it. */

export interface BeaconSocket {
  readonly address: string
  readonly port: number
  /** Of both families: IPv4 addresses are given to it as `::ffff:a.b.c.d`. */
  readonly isDualStack: boolean
  /** Bytes that wait in the process. */
  readonly queuedBytes: number
  onmessage: ((datagram: Uint8Array, address: string, port: number) => void) | undefined
  onerror: ((reason: string) => void) | undefined
  /** `onsent` is told `null`, or why it was not. */
  send(
    datagram: Uint8Array,
    port: number,
    address: string,
    onsent: (error: Error | null) => void,
  ): void
  close(): Promise<void>
}

/** Without a host: all addresses, IPv6 and IPv4. Rejects with an error that has the system's `code`. */
export type BindBeaconSocket = (host: string | undefined, port: number) => Promise<BeaconSocket>
