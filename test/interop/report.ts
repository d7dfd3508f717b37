/** What was checked, and how it went: a line as each check ends, a table at the end. */
export interface Entry {
  readonly scenario: string
  readonly check: string
  readonly isOk: boolean
  readonly ms: number
  /** What was measured, or why it failed. */
  readonly detail: string
}

export class Report {
  readonly entries: Entry[] = []
  readonly #print: (line: string) => void

  constructor(print: (line: string) => void) {
    this.#print = print
  }

  /** Runs a check; a throw is its failure. Tells whether it passed. */
  async check(
    scenario: string,
    name: string,
    work: () => Promise<string | undefined>,
  ): Promise<boolean> {
    const started = performance.now()
    let [isOk, detail] = [true, '']
    try {
      detail = (await work()) ?? ''
    } catch (error) {
      isOk = false
      detail = error instanceof Error ? error.message : String(error)
    }
    const entry = { scenario, check: name, isOk, ms: performance.now() - started, detail }
    this.entries.push(entry)
    this.#print(line(entry, scenario.length, name.length))
    return isOk
  }

  get failures(): readonly Entry[] {
    return this.entries.filter((entry) => !entry.isOk)
  }

  /** Grouped by scenario, in the order they began. */
  table(): string {
    const scenarioWidth = widest(this.entries.map((entry) => entry.scenario))
    const checkWidth = widest(this.entries.map((entry) => entry.check))
    const order = [...new Set(this.entries.map((entry) => entry.scenario))]
    return order
      .flatMap((scenario) => this.entries.filter((entry) => entry.scenario === scenario))
      .map((entry) => line(entry, scenarioWidth, checkWidth))
      .join('\n')
  }
}

function line({ scenario, check, isOk, ms, detail }: Entry, first: number, second: number): string {
  const time = `${(ms / 1000).toFixed(2)} s`.padStart(8)
  return `${isOk ? 'ok  ' : 'FAIL'}  ${scenario.padEnd(first)}  ${check.padEnd(second)}  ${time}  ${detail}`.trimEnd()
}

function widest(texts: readonly string[]): number {
  return Math.max(0, ...texts.map((text) => text.length))
}
