/** Rendezvous of either kind, which can be ended and started again on the same store, at the same place. */
import { join } from 'node:path'
import { createRendezvous, type Rendezvous, type RendezvousOptions } from '../../signaling/index.ts'
import { startWorkerd, type Workerd } from '../runtimes/edge/workerd.ts'
import type { RunnerPlaces } from './runner.ts'

const REGISTRATIONS_PER_MINUTE = 10_000

export interface RendezvousHost {
  /** The same after a restart. */
  readonly places: RunnerPlaces
  restart(): Promise<void>
  close(): Promise<void>
}

/** `pilot-rendezvous`, in this process. */
export class NodeHost implements RendezvousHost {
  #rendezvous: Rendezvous
  readonly #options: RendezvousOptions

  private constructor(rendezvous: Rendezvous, options: RendezvousOptions) {
    this.#rendezvous = rendezvous
    const endpoint = (port: number | undefined): string => `127.0.0.1:${port}`
    this.#options = {
      ...options,
      registryAddress: endpoint(rendezvous.registryEndpoint.port),
      beaconAddress: endpoint(rendezvous.beaconEndpoint.port),
      httpAddress: endpoint(rendezvous.httpEndpoint?.port),
    }
  }

  /** @param home a directory for its store. */
  static async start(home: string): Promise<NodeHost> {
    const options: RendezvousOptions = {
      registryAddress: '127.0.0.1:0',
      beaconAddress: '127.0.0.1:0',
      httpAddress: '127.0.0.1:0',
      storePath: join(home, 'registry.db'),
      limits: { registrationsPerMinute: REGISTRATIONS_PER_MINUTE },
    }
    return new NodeHost(await createRendezvous(options), options)
  }

  get places(): RunnerPlaces {
    const { registryAddress: registry, beaconAddress: beacon } = this.#options
    return { registry, beacon, rendezvousUrl: this.#rendezvous.httpUrl ?? '' }
  }

  async restart(): Promise<void> {
    await this.#rendezvous.close()
    this.#rendezvous = await createRendezvous(this.#options)
  }

  close(): Promise<void> {
    return this.#rendezvous.close()
  }
}

/** A Durable Object in workerd, a process of its own. There is no UDP, and no registry on TCP. */
export class WorkerdHost implements RendezvousHost {
  #workerd: Workerd
  readonly #directory: string

  private constructor(workerd: Workerd, directory: string) {
    this.#workerd = workerd
    this.#directory = directory
  }

  static async start(home: string): Promise<WorkerdHost> {
    const directory = join(home, 'workerd-rendezvous')
    return new WorkerdHost(await open(directory, 0), directory)
  }

  get places(): RunnerPlaces {
    return { registry: '', beacon: '', rendezvousUrl: this.#workerd.url }
  }

  async restart(): Promise<void> {
    const { port } = new URL(this.#workerd.url)
    await this.#workerd.close()
    this.#workerd = await open(this.#directory, Number(port))
  }

  close(): Promise<void> {
    return this.#workerd.close()
  }
}

function open(directory: string, port: number): Promise<Workerd> {
  return startWorkerd({
    entry: join(import.meta.dirname, 'workerd-rendezvous.ts'),
    objects: { RENDEZVOUS: 'PilotRendezvous' },
    directory,
    port,
  })
}
