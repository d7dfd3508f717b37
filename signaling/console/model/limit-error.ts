/** A limit of this page was reached; the message may be told to the peer. */
export class LimitError extends Error {
  override readonly name = 'LimitError'
}
