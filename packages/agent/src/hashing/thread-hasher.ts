import { once } from 'node:events';
import type { MessagePort } from 'node:worker_threads';
import { BackhaulError, type PartChecksums } from '@backhaul/protocol';
import { abortable } from '../abortable.ts';
import type { Range } from '../file/read-slices.ts';
import type { FileHasher, HashedFile, PartHashing } from './file-hasher.ts';
import type { HashReply, HashRequest } from './hash-messages.ts';

/** One file's side of the thread that reads and hashes it. */
export class ThreadHasher implements FileHasher {
  /** Resolves when the channel is closed, with whether the thread closed it; else it has died. */
  readonly ended: Promise<boolean>;
  readonly #file: HashedFile;
  readonly #port: MessagePort;
  readonly #waiting: PromiseWithResolvers<HashReply>[] = [];
  #isClosed = false;

  constructor(port: MessagePort, file: HashedFile) {
    this.#port = port;
    this.#file = file;
    let inOrder = false;
    port.on('message', (reply: HashReply) => {
      if ('ended' in reply) inOrder = true;
      else this.#waiting.shift()?.resolve(reply);
    });
    this.ended = once(port, 'close').then(() => {
      this.#isClosed = true;
      for (const { reject } of this.#waiting.splice(0)) reject(threadEnded());
      return inOrder;
    });
  }

  async hashPart({ offset, length }: Range, { mode, inDigest, signal }: PartHashing): Promise<PartChecksums> {
    // Nothing else of a part can go, or has to, to another thread.
    const range = { offset, length };
    const reply = await abortable(this.#ask({ ask: 'part', range, mode, inDigest }), signal);
    if (!('checksums' in reply)) throw this.#errorOf(reply);
    this.#file.requireUnchanged(reply.look);
    return reply.checksums;
  }

  async digest(): Promise<string> {
    const reply = await this.#ask({ ask: 'digest' });
    if ('digest' in reply) return reply.digest;
    throw this.#errorOf(reply);
  }

  async close(): Promise<void> {
    if (!this.#isClosed) this.#port.postMessage({ ask: 'end' } satisfies HashRequest);
    await this.ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #ask(request: HashRequest): Promise<HashReply> {
    if (this.#isClosed) throw threadEnded();
    this.#port.postMessage(request);
    const wait = Promise.withResolvers<HashReply>();
    this.#waiting.push(wait);
    return await wait.promise;
  }

  #errorOf(reply: HashReply): Error {
    if (!('failed' in reply)) return new Error('the thread answered something else than it was asked');
    if (reply.failed === 'short') return this.#file.endedEarly();
    return this.#file.readFailed(Object.assign(new Error(reply.message), { code: reply.code }));
  }
}

function threadEnded(): BackhaulError {
  return new BackhaulError('agent_busy', "The agent's thread that hashes has ended; its log may say why.");
}
