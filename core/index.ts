/** Public surface of the core: re-exports only. */
export { fromBase64, fromHex, fromUtf8, toBase64, toHex, utf8 } from './bytes.ts'
export * from './constants.ts'
export { EdgeAead } from './crypto/edge-aead.ts'
export type {
  Aead,
  AsyncAead,
  CryptoProvider,
  KeyCrypto,
  KeyPair,
  SealJob,
} from './crypto/provider.ts'
export * from './errors.ts'
export { Identity } from './identity/identity.ts'
export type { LaterSigner, PromptSigner, Signer } from './identity/signer.ts'
export { formatIp, ipBytes } from './ip.ts'
export type { Endpoint, Instant, Machine } from './machine.ts'
export { formatEndpoint, parseEndpoint, sameEndpoint } from './machine.ts'
export type { NodeDetail, NodeMachineEvent } from './node/events.ts'
export { TRANSMIT_BUFFER_BYTES, type Transmit } from './node/frame-writer.ts'
export { NodeMachine } from './node/node-machine.ts'
export type { NodeMachineOptions } from './node/options.ts'
export { Peer } from './node/peer.ts'
export { Stream } from './node/stream.ts'
export * from './rendezvous/compat-message.ts'
export type { NetworkPolicyChange, NewNetwork } from './rendezvous/network-settings.ts'
export { ownRequest } from './rendezvous/own-request.ts'
export type { RegistryRequest } from './rendezvous/registry-requests.ts'
export { CONGESTION_NAMES, type CongestionName } from './stream/controllers.ts'
export { TrustStore } from './trust/trust-store.ts'
export * from './wire/address.ts'
export * from './wire/beacon-message.ts'
export { accelerateCrc32, type Crc32 } from './wire/crc32.ts'
export * from './wire/frame.ts'
export * from './wire/packet.ts'
export type { RegistryMessage } from './wire/registry-message.ts'
export * from './wire/sack.ts'
export * from './wire/serial.ts'
