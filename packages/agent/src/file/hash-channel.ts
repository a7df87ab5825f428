import type { MessagePort } from 'node:worker_threads';
import type { ChecksumMode, PartChecksums } from '@backhaul/protocol';
import type { FileState } from './fingerprint.ts';
import type { Range } from './slices.ts';

/** Message to the thread: a file to hash, with its own channel. */
export interface FileToHash {
  /** Descriptor, shared by the process; stays open until the channel is closed. */
  readonly fd: number;
  readonly path: string;
  readonly port: MessagePort;
  /** Shared memory of a `CallCounter`. */
  readonly calls: SharedArrayBuffer;
}

/** Requests for a file, processed in order. */
export type HashRequest =
  /** @property inDigest Whether to include the bytes in the digest of the whole file. */
  | { readonly type: 'part'; readonly range: Range; readonly mode: ChecksumMode; readonly inDigest: boolean }
  | { readonly type: 'digest' }
  /** Stops; pending requests get no reply. */
  | { readonly type: 'end' };

export type HashReply =
  /** @property state State of the file after the part was read. */
  | { readonly checksums: PartChecksums; readonly state: FileState }
  /** SHA-256 in hexadecimal. */
  | { readonly digest: string }
  /** The file ends before the range. */
  | { readonly failed: 'short' }
  /** An error of the operating system. The code is separate because errors lose it between threads. */
  | { readonly failed: 'read'; readonly code: string; readonly message: string }
  /** The thread no longer reads from the descriptor and closes the channel. */
  | { readonly ended: true };

/**
 * Counts the blocking calls of one file in a worker thread, so that another thread can detect a call that does not
 * return: the count is odd during a call.
 */
export class CallCounter {
  /** Memory shared with the other thread. */
  readonly shared: SharedArrayBuffer;
  readonly #count: Int32Array;
  #seen = 0;
  #seenAt = 0;

  constructor(shared = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)) {
    this.shared = shared;
    this.#count = new Int32Array(shared);
  }

  count<Value>(call: () => Value): Value {
    Atomics.add(this.#count, 0, 1);
    try {
      return call();
    } finally {
      Atomics.add(this.#count, 0, 1);
    }
  }

  /** Observed duration of the current call in milliseconds; 0 if there is none. */
  silentMs(now: number): number {
    const count = Atomics.load(this.#count, 0);
    if (count !== this.#seen) {
      this.#seen = count;
      this.#seenAt = now;
    }
    return count % 2 === 0 ? 0 : now - this.#seenAt;
  }
}
