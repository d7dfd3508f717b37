/** Who signs for a node: its identity itself, or a key that is kept where only its owner can use it. */

/** Ed25519 (RFC 8032): keys of 32 bytes, signatures of 64. */
export type Signer = PromptSigner | LaterSigner

export interface PromptSigner {
  readonly publicKey: Uint8Array
  sign(message: Uint8Array): Uint8Array
}

/**
 * Signatures come later: a key of WebCrypto, a hardware token. A machine asks for each by a `sign` event, and goes
 * on when it is told the answer.
 */
export interface LaterSigner {
  readonly publicKey: Uint8Array
  readonly sign?: undefined
  signLater(message: Uint8Array): Promise<Uint8Array>
}
