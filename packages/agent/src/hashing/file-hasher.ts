import { once } from 'node:events';
import type { MessagePort } from 'node:worker_threads';
import type { ChecksumMode, PartChecksums } from '@backhaul/protocol';
import { abortable } from '../abortable.ts';
import type { OpenedFile } from '../file/open-file.ts';
import type { Range } from '../file/read-slices.ts';
import type { HashReply, HashRequest } from './hash-messages.ts';

export interface PartHashing {
  readonly mode: ChecksumMode;
  /** Whether the bytes go into the digest of the whole file too; parts must then be asked for in order. */
  readonly inDigest: boolean;
  /** Ends the wait; the reading ends when the hasher is closed. */
  readonly signal: AbortSignal;
}

export type HashedFile = Pick<OpenedFile, 'fd' | 'place' | 'requireUnchanged' | 'readFailed' | 'endedEarly'>;

type Wait = PromiseWithResolvers<HashReply>;

/** One file's side of the thread that reads and hashes. What is asked is done in order, without a gap. */
export class FileHasher implements AsyncDisposable {
  readonly #file: HashedFile;
  readonly #port: MessagePort;
  readonly #closed: Promise<unknown>;
  readonly #waiting: Wait[] = [];
  #ended = false;

  constructor(port: MessagePort, file: HashedFile) {
    this.#port = port;
    this.#file = file;
    port.on('message', (reply: HashReply) => this.#waiting.shift()?.resolve(reply));
    // Also when the thread has died.
    this.#closed = once(port, 'close').then(() => {
      this.#ended = true;
      for (const { reject } of this.#waiting.splice(0)) reject(endedError());
    });
  }

  /**
   * @throws BackhaulError `file_changed`, also when it changed only after the part was read; `read_failed`.
   * @throws The signal's reason.
   * @throws Error if the thread has ended.
   */
  async hashPart({ offset, length }: Range, { mode, inDigest, signal }: PartHashing): Promise<PartChecksums> {
    // Nothing else of a part can go, or has to, to another thread.
    const range = { offset, length };
    const reply = await abortable(this.#ask({ ask: 'part', range, mode, inDigest }), signal);
    if (!('checksums' in reply)) throw this.#errorOf(reply);
    this.#file.requireUnchanged(reply.look);
    return reply.checksums;
  }

  /** SHA-256 of all that went into it, hexadecimal; once. */
  async digest(): Promise<string> {
    const reply = await this.#ask({ ask: 'digest' });
    if ('digest' in reply) return reply.digest;
    throw this.#errorOf(reply);
  }

  /** When it resolves, nothing reads from the file any more. Idempotent. */
  async close(): Promise<void> {
    if (!this.#ended) this.#port.postMessage({ ask: 'end' } satisfies HashRequest);
    await this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #ask(request: HashRequest): Promise<HashReply> {
    const wait = Promise.withResolvers<HashReply>();
    if (this.#ended) wait.reject(endedError());
    else {
      this.#port.postMessage(request);
      this.#waiting.push(wait);
    }
    return wait.promise;
  }

  #errorOf(reply: HashReply): Error {
    if (!('failed' in reply)) return new Error('the thread answered something else than it was asked');
    if (reply.failed === 'short') return this.#file.endedEarly();
    return this.#file.readFailed(Object.assign(new Error(reply.message), { code: reply.code }));
  }
}

function endedError(): Error {
  return new Error('the thread that hashes has ended');
}
