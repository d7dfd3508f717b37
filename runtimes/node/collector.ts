/** How our own programs let V8 collect. A library leaves that to the program it is part of. */
import { setFlagsFromString } from 'node:v8'

/**
 * A node's heap is small, but every datagram is memory outside of it, and V8 answers much of that by marking the heap
 * a little at a time, again and again: at a gigabyte a second that took as long as all else together. Done in one go
 * it is milliseconds for the heap of a daemon, and rare.
 */
export function collectAtOnce(): void {
  setFlagsFromString('--no-incremental-marking')
}

/**
 * For programs that we start: a small nursery is emptied sooner, and with it go the datagrams of before. Less memory, and
 * what is still there is more often in the processor's cache.
 */
export const NODE_FLAGS: readonly string[] = ['--max-semi-space-size=4']
