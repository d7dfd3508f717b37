/** Identity and trust for as long as the isolate lives: tests, and nodes whose key comes from elsewhere. */
import type { Storage } from '../shared/storage.ts'

export class MemoryStorage implements Storage {
  readonly #values = new Map<string, Uint8Array>()

  async read(name: string): Promise<Uint8Array | undefined> {
    return this.#values.get(name)?.slice()
  }

  async write(name: string, data: Uint8Array): Promise<void> {
    this.#values.set(name, data.slice())
  }

  locate(name: string): string {
    return `memory ${name}`
  }
}
