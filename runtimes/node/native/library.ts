/**
 * What the optional package koffi lets Node call without a native module of our own: OpenSSL's AES-GCM, which the node
 * executable carries, and the kernel's batches of datagrams. Everything works without it, several times slower per byte.
 */
import type { LibraryHandle } from 'koffi'
import type { Aead } from '../../../core/index.ts'
import { DatagramBatch, type DatagramBatchCalls } from './datagram-batch.ts'
import { OpenSslAead, type OpenSslCalls } from './openssl-aead.ts'

/** What of it works on this machine. */
export interface NativeLibrary {
  readonly aead: ((key: Uint8Array) => Aead) | undefined
  /** Batches for the UDP socket behind a descriptor; `undefined` where the kernel has none. */
  readonly batch: ((descriptor: number) => DatagramBatch | undefined) | undefined
}

let loading: Promise<NativeLibrary | undefined> | undefined

/** `undefined` when the package is not installed or does not run here. Loaded once. */
export function loadNativeLibrary(): Promise<NativeLibrary | undefined> {
  loading ??= load()
  return loading
}

async function load(): Promise<NativeLibrary | undefined> {
  try {
    const koffi = (await import('koffi')).default
    const process_ = koffi.load(null)
    const openSsl = bind(() => openSslCalls(process_))
    const sockets = bind(() => ({ ...socketCalls(process_), ...memoryCalls(koffi) }))
    const hasBatches = process.platform === 'linux' && /^(?:x64|arm64)$/.test(process.arch)
    return {
      aead:
        openSsl !== undefined && OpenSslAead.isSound(openSsl)
          ? (key) => new OpenSslAead(openSsl, key)
          : undefined,
      batch:
        sockets !== undefined && hasBatches
          ? (descriptor) => DatagramBatch.open(sockets, descriptor)
          : undefined,
    }
  } catch {
    return undefined // not installed, or not for this platform
  }
}

/** A symbol that is missing makes only what needs it unavailable. */
function bind<T>(calls: () => T): T | undefined {
  try {
    return calls()
  } catch {
    return undefined
  }
}

function openSslCalls(library: LibraryHandle): OpenSslCalls {
  return {
    newContext: library.func('void *EVP_CIPHER_CTX_new()'),
    freeContext: library.func('void EVP_CIPHER_CTX_free(void *)'),
    aes256Gcm: library.func('void *EVP_aes_256_gcm()'),
    control: library.func('int EVP_CIPHER_CTX_ctrl(void *, int, int, uint8_t *)'),
    encryptInit: library.func(
      'int EVP_EncryptInit_ex(void *, void *, void *, uint8_t *, uint8_t *)',
    ),
    encryptUpdate: library.func('int EVP_EncryptUpdate(void *, uint8_t *, int *, uint8_t *, int)'),
    encryptFinal: library.func('int EVP_EncryptFinal_ex(void *, uint8_t *, int *)'),
    decryptInit: library.func(
      'int EVP_DecryptInit_ex(void *, void *, void *, uint8_t *, uint8_t *)',
    ),
    decryptUpdate: library.func('int EVP_DecryptUpdate(void *, uint8_t *, int *, uint8_t *, int)'),
    decryptFinal: library.func('int EVP_DecryptFinal_ex(void *, uint8_t *, int *)'),
  }
}

function socketCalls(
  library: LibraryHandle,
): Pick<DatagramBatchCalls, 'sendmsg' | 'sendto' | 'setsockopt'> {
  return {
    sendmsg: library.func('intptr_t sendmsg(int, void *, int)'),
    sendto: library.func('intptr_t sendto(int, uint8_t *, size_t, int, uint8_t *, uint32_t)'),
    setsockopt: library.func('int setsockopt(int, int, int, int *, uint32_t)'),
  }
}

function memoryCalls(
  koffi: Pick<typeof import('koffi'), 'alloc' | 'address' | 'view' | 'free'>,
): Pick<DatagramBatchCalls, 'allocate'> {
  return {
    allocate: (bytes) => {
      const pointer = koffi.alloc('uint8_t', bytes)
      return {
        pointer,
        address: koffi.address(pointer),
        bytes: new Uint8Array(koffi.view(pointer, bytes)),
        free: () => koffi.free(pointer),
      }
    },
  }
}
