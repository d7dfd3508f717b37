/** Public surface of the core: re-exports only. */
export { fromBase64, fromHex, fromUtf8, toBase64, toHex, utf8 } from './bytes.ts'
export * from './constants.ts'
export { nobleCrypto } from './crypto/noble.ts'
export type { Aead, CryptoProvider, KeyPair } from './crypto/provider.ts'
export * from './errors.ts'
export { Identity } from './identity/identity.ts'
export type { Endpoint, Instant, Machine } from './machine.ts'
export { formatEndpoint, sameEndpoint } from './machine.ts'
export { TRANSMIT_BUFFER_BYTES, type Transmit } from './node/frame-writer.ts'
export {
  DATAGRAM_PAYLOAD_MAX,
  NodeMachine,
  type NodeMachineEvent,
  parseEndpoint,
} from './node/node-machine.ts'
export type { NodeMachineOptions } from './node/options.ts'
export { Peer } from './node/peer.ts'
export { Stream } from './node/stream.ts'
export { TrustStore } from './trust/trust-store.ts'
export * from './wire/address.ts'
export * from './wire/beacon-message.ts'
export * from './wire/frame.ts'
export * from './wire/packet.ts'
export type { RegistryMessage } from './wire/registry-message.ts'
export * from './wire/sack.ts'
export * from './wire/serial.ts'
