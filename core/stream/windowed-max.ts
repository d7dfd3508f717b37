/** The largest of the samples of the last so many rounds (or ms), in three of them (Kathleen Nichols' filter). */
export class WindowedMax {
  readonly #length: number
  /** Value and time of the best, the second and the third; empty before the first. */
  readonly #samples: number[] = []

  constructor(length: number) {
    this.#length = length
  }

  get value(): number {
    return this.#samples[0] ?? 0
  }

  reset(time: number, value: number): void {
    this.#put(0, time, value)
  }

  update(time: number, value: number): void {
    const samples = this.#samples
    if (samples.length === 0 || value >= samples[0]! || time - samples[5]! > this.#length) {
      this.#put(0, time, value)
      return
    }
    if (value >= samples[2]!) this.#put(2, time, value)
    else if (value >= samples[4]!) this.#put(4, time, value)
    const age = time - samples[1]!
    if (age > this.#length) {
      // The best is too old: the second and the third move up.
      this.#shift(time, value)
      if (time - samples[1]! > this.#length) this.#shift(time, value)
    } else if (samples[3] === samples[1] && age > this.#length / 4) this.#put(2, time, value)
    else if (samples[5] === samples[3] && age > this.#length / 2) this.#put(4, time, value)
  }

  #put(from: 0 | 2 | 4, time: number, value: number): void {
    for (let i = from; i < 6; i += 2) {
      this.#samples[i] = value
      this.#samples[i + 1] = time
    }
  }

  #shift(time: number, value: number): void {
    this.#samples.copyWithin(0, 2)
    this.#samples[4] = value
    this.#samples[5] = time
  }
}
