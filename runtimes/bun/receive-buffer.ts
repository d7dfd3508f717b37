/** A larger receive buffer for a UDP socket: too small a one loses bursts (spec/03 §8.2), and Bun has no call for it. */
import { dlopen, FFIType, ptr } from 'bun:ffi'

/** The kernel grants up to its `rmem_max`. */
const BUFFER_BYTES = 4 << 20
/** `SOL_SOCKET` and `SO_RCVBUF` where the C library has this name. */
const SYSTEMS: Readonly<Record<string, { library: string; level: number; option: number }>> = {
  linux: { library: 'libc.so.6', level: 1, option: 8 },
  darwin: { library: 'libSystem.dylib', level: 0xffff, option: 0x1002 },
}

/** False where the system does not let itself be asked; the socket is as it was then. */
export function enlargeReceiveBuffer(descriptor: number): boolean {
  const system = SYSTEMS[process.platform]
  if (system === undefined || descriptor < 0) return false
  try {
    const { symbols, close } = dlopen(system.library, {
      setsockopt: {
        args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.u32],
        returns: FFIType.i32,
      },
    })
    const value = Int32Array.of(BUFFER_BYTES)
    const status = symbols.setsockopt(
      descriptor,
      system.level,
      system.option,
      ptr(value),
      value.byteLength,
    )
    close()
    return status === 0
  } catch {
    return false // no FFI in this build, or another C library (musl)
  }
}
