/** The largest of the samples of the last so many rounds (or ms), in three of them (Kathleen Nichols' filter). */
export class WindowedMax {
  readonly #length: number
  #values: [number, number, number] = [0, 0, 0]
  #times: [number, number, number] = [0, 0, 0]

  constructor(length: number) {
    this.#length = length
  }

  get value(): number {
    return this.#values[0]
  }

  reset(time: number, value: number): void {
    this.#values.fill(value)
    this.#times.fill(time)
  }

  update(time: number, value: number): void {
    const values = this.#values
    const times = this.#times
    if (value >= values[0] || time - times[2] > this.#length) {
      this.reset(time, value)
      return
    }
    if (value >= values[1]) this.#put(1, time, value)
    else if (value >= values[2]) this.#put(2, time, value)
    const age = time - times[0]
    if (age > this.#length) {
      // The best is too old: the second and the third move up.
      this.#shift(time, value)
      if (time - times[0] > this.#length) this.#shift(time, value)
    } else if (times[1] === times[0] && age > this.#length / 4) this.#put(1, time, value)
    else if (times[2] === times[1] && age > this.#length / 2) this.#put(2, time, value)
  }

  #put(from: 1 | 2, time: number, value: number): void {
    for (let i = from; i < 3; i++) {
      this.#values[i as 1 | 2] = value
      this.#times[i as 1 | 2] = time
    }
  }

  #shift(time: number, value: number): void {
    this.#values[0] = this.#values[1]
    this.#times[0] = this.#times[1]
    this.#values[1] = this.#values[2]
    this.#times[1] = this.#times[2]
    this.#values[2] = value
    this.#times[2] = time
  }
}
