/** Which tab of an origin runs the node: who holds a Web Lock. The browser takes it from a tab that is gone. */

export interface LeadershipOptions {
  readonly name: string
  readonly onelected: () => void
  /** Another tab took it away, because this one did not answer. */
  readonly ondeposed: () => void
}

export class Leadership {
  readonly #options: LeadershipOptions
  #campaign: AbortController | undefined
  #release: (() => void) | undefined

  constructor(options: LeadershipOptions) {
    this.#options = options
  }

  get isLeader(): boolean {
    return this.#release !== undefined
  }

  /** Leads as soon as nobody else does. */
  stand(): void {
    if (this.#campaign !== undefined || this.isLeader) return
    const campaign = new AbortController()
    this.#campaign = campaign
    this.#request({ signal: campaign.signal }, campaign)
  }

  /** Leads now. For when the leader does not answer. */
  seize(): void {
    if (this.isLeader) return
    this.#campaign?.abort()
    const campaign = new AbortController()
    this.#campaign = campaign
    this.#request({ steal: true }, campaign)
  }

  /** Lets the next one lead, and stands no more. */
  resign(): void {
    this.#campaign?.abort()
    this.#campaign = undefined
    const release = this.#release
    this.#release = undefined
    release?.()
  }

  #request(options: LockOptions, campaign: AbortController): void {
    const term = Promise.withResolvers<void>()
    const release = (): void => term.resolve()
    navigator.locks
      .request(this.#options.name, options, () => {
        if (campaign.signal.aborted) return undefined
        this.#campaign = undefined
        this.#release = release
        this.#options.onelected()
        return term.promise
      })
      .catch(() => {
        // Withdrawn by us, or stolen while we led.
        if (this.#release !== release) return
        this.#release = undefined
        this.#options.ondeposed()
      })
  }
}
