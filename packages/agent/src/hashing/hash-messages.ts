import type { MessagePort } from 'node:worker_threads';
import type { ChecksumMode, PartChecksums } from '@backhaul/protocol';
import type { Look } from '../file/look.ts';
import type { Range } from '../file/read-slices.ts';

/** To the thread: a file of which parts are to be hashed, by a channel of its own. */
export interface FileToHash {
  /** Its descriptor, which belongs to the process; it stays open until the channel is closed. */
  readonly fd: number;
  /** Its path. */
  readonly place: string;
  readonly port: MessagePort;
  /** Of a `CallCounter`. */
  readonly calls: SharedArrayBuffer;
}

/** What is asked about a file, and answered in order. */
export type HashRequest =
  /** @property inDigest Whether the bytes also go into the digest of the whole file. */
  | { readonly ask: 'part'; readonly range: Range; readonly mode: ChecksumMode; readonly inDigest: boolean }
  | { readonly ask: 'digest' }
  /** To stop; what has been asked before gets no answer any more. */
  | { readonly ask: 'end' };

export type HashReply =
  /** @property look At the file, after the part was read. */
  | { readonly checksums: PartChecksums; readonly look: Look }
  /** SHA-256, hexadecimal. */
  | { readonly digest: string }
  /** The file ends before the range does. */
  | { readonly failed: 'short' }
  /** An error of the operating system; errors lose their code on the way between threads. */
  | { readonly failed: 'read'; readonly code: string; readonly message: string }
  /** Nothing reads from the descriptor any more, and the thread is well; the channel is closed. */
  | { readonly ended: true };
