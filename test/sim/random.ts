/** A seeded generator (sfc32). Each link, NAT and script has its own, so that adding one disturbs no other. */
export class Random {
  #a: number
  #b: number
  #c: number
  #d = 1

  /** The same seed and label give the same numbers. */
  constructor(seed: number, label = '') {
    let hash = 0x811c9dc5
    for (let i = 0; i < label.length; i++)
      hash = Math.imul(hash ^ label.charCodeAt(i), 0x01000193) >>> 0
    this.#a = seed >>> 0
    this.#b = Math.floor(seed / 2 ** 32) >>> 0
    this.#c = hash
    for (let i = 0; i < 12; i++) this.next()
  }

  /** In [0, 1). */
  next(): number {
    const t = (((this.#a + this.#b) | 0) + this.#d) | 0
    this.#d = (this.#d + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + t
    return (t >>> 0) / 2 ** 32
  }

  /** Integer in [min, max]. */
  int(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1))
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.int(0, 255))
  }
}
