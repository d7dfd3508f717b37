/** The event broker on port 1002 (spec/07 §7): moves bytes between connections and the broker of the core. */
import { type BrokerNews, EventBroker } from '../../../core/service/event-broker.ts'
import type { SocketAddress } from '../../../core/wire/address.ts'
import type { PilotConnection } from '../api.ts'

export class EventStreamService {
  readonly broker: EventBroker
  readonly #connections = new Map<number, PilotConnection>()
  readonly #now: () => number
  /** Told what happens, with who did it. */
  onnews: ((news: BrokerNews, remote: SocketAddress) => void) | undefined

  /** `now` in ms, monotonic. */
  constructor(now: () => number, broker: EventBroker = new EventBroker()) {
    this.#now = now
    this.broker = broker
  }

  serve(connection: PilotConnection): void {
    const { id } = connection
    if (!this.broker.add(id)) {
      connection.reset()
      return
    }
    this.#connections.set(id, connection)
    const gone = (): void => {
      this.broker.remove(id)
      this.#tellNews()
      this.#connections.delete(id)
    }
    connection.closed.then(gone, gone)
    connection.onwritable = () => this.#write(id)
    connection.onreadable = () => this.#read(connection)
    this.#read(connection)
  }

  #read(connection: PilotConnection): void {
    const { id } = connection
    for (let chunk = connection.read(); chunk !== undefined; chunk = connection.read())
      this.broker.handleData(id, chunk, this.#now())
    if (connection.ended) {
      this.broker.remove(id)
      connection.close()
    }
    this.#tellNews()
    for (
      let next = this.broker.pollWritable();
      next !== undefined;
      next = this.broker.pollWritable()
    )
      this.#write(next)
    for (let drop = this.broker.pollDropped(); drop !== undefined; drop = this.broker.pollDropped())
      this.#connections.get(drop.id)?.reset()
  }

  #tellNews(): void {
    for (let news = this.broker.pollNews(); news !== undefined; news = this.broker.pollNews()) {
      const connection = this.#connections.get(news.id)
      if (connection !== undefined) this.onnews?.(news, connection.remote)
    }
  }

  /** As much as the connection takes; the rest waits in the broker's bounded queue. */
  #write(id: number): void {
    const connection = this.#connections.get(id)
    if (connection === undefined) return
    for (let bytes = this.broker.peek(id); bytes !== undefined; bytes = this.broker.peek(id)) {
      const taken = connection.write(bytes)
      this.broker.advance(id, taken)
      if (taken < bytes.length) return
    }
  }
}
