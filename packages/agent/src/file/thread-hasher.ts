import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { BackhaulError, type PartChecksums } from '@backhaul/protocol';
import { abortable, settledWithin } from '../waits.ts';
import type { FileCallTimeout } from './file-error.ts';
import { CallCounter, type FileToHash, type HashReply, type HashRequest } from './hash-channel.ts';
import type { FileHasher, HashedFile, PartHashing } from './hashers.ts';
import type { Range } from './slices.ts';

/** A hanging read must not delay the end of its upload. */
const CLOSE_TIMEOUT_MS = 1000;

interface PendingRequest {
  readonly request: Exclude<HashRequest, { type: 'end' }>;
  readonly reply: PromiseWithResolvers<HashReply>;
}

/** Hashes one file in a worker thread; this is the main thread's side of the channel. */
export class ThreadHasher implements FileHasher {
  /** Resolves when the channel is closed: true if the thread closed it, false if the thread has died. */
  readonly ended: Promise<boolean>;
  readonly #ended = Promise.withResolvers<boolean>();
  readonly #file: HashedFile;
  /** Requests without a reply, in order. */
  #pending: PendingRequest[] = [];
  /** Parts that the digest includes. */
  readonly #digested: Array<{ readonly range: Range; readonly crc32: string }> = [];
  #port: MessagePort | null = null;
  #calls = new CallCounter();
  #isClosing = false;
  /** Set once no more requests are possible. */
  #failure: Error | null = null;

  constructor(file: HashedFile) {
    this.#file = file;
    this.ended = this.#ended.promise;
    file.keepOpen(this.ended);
  }

  /** Moves the work to another thread, which reads and hashes the digested parts again. */
  moveTo(thread: { postMessage(file: FileToHash, transfer: MessagePort[]): void }): void {
    const { port1: here, port2: port } = new MessageChannel();
    this.#port?.close();
    this.#port = here;
    this.#calls = new CallCounter();
    this.#listen(here);
    const { fd, normalizedPath: path } = this.#file;
    thread.postMessage({ fd, path, port, calls: this.#calls.shared }, [port]);
    this.#pending = [...this.#digested.splice(0).map((part) => this.#rehash(part)), ...this.#pending];
    for (const { request } of this.#pending) here.postMessage(request);
    if (this.#isClosing) here.postMessage({ type: 'end' } satisfies HashRequest);
  }

  /** Observed duration of the current file call in milliseconds. */
  silentMs(now: number): number {
    return this.#calls.silentMs(now);
  }

  /** Fails the hasher because its file call timed out. */
  timeOut(error: FileCallTimeout): void {
    this.#file.reportHanging(this.ended);
    this.fail(this.#file.readFailed(error));
  }

  /** Fails all waits; `ended` still resolves only when nothing reads from the file any more. */
  fail(error: Error): void {
    this.#failure ??= error;
    for (const { reply } of this.#pending.splice(0)) reply.reject(this.#failure);
  }

  async hashPart({ offset, length }: Range, { mode, inDigest, signal }: PartHashing): Promise<PartChecksums> {
    // Copies only these fields: other properties of a part may not be transferable to a thread.
    const range = { offset, length };
    const reply = await abortable(this.#request({ type: 'part', range, mode, inDigest }), signal);
    if (!('checksums' in reply)) throw this.#errorOf(reply);
    this.#file.requireUnchanged(reply.state);
    return reply.checksums;
  }

  async digest(): Promise<string> {
    const reply = await this.#request({ type: 'digest' });
    if ('digest' in reply) return reply.digest;
    throw this.#errorOf(reply);
  }

  /** Waits only briefly: a hanging read keeps the file open until it returns. */
  async close(): Promise<void> {
    if (!this.#isClosing) this.#port?.postMessage({ type: 'end' } satisfies HashRequest);
    this.#isClosing = true;
    await settledWithin(this.ended, CLOSE_TIMEOUT_MS);
    this.fail(threadEnded());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #listen(port: MessagePort): void {
    let isClean = false;
    port.on('message', (reply: HashReply) => {
      if ('ended' in reply) isClean = true;
      else if (port === this.#port) this.#receive(reply);
    });
    port.once('close', () => {
      if (port !== this.#port) return;
      this.fail(threadEnded());
      this.#ended.resolve(isClean);
    });
  }

  #receive(reply: HashReply): void {
    const pending = this.#pending.shift();
    if (pending === undefined) return;
    const { request } = pending;
    if (request.type === 'part' && request.inDigest && 'checksums' in reply) {
      this.#digested.push({ range: request.range, crc32: reply.checksums.crc32 });
    }
    pending.reply.resolve(reply);
  }

  async #request(request: PendingRequest['request']): Promise<HashReply> {
    if (this.#failure !== null) throw this.#failure;
    this.#port?.postMessage(request);
    const reply = Promise.withResolvers<HashReply>();
    this.#pending.push({ request, reply });
    return await reply.promise;
  }

  /** Adds a part to the digest that another thread has hashed before; its content must be unchanged. */
  #rehash({ range, crc32 }: { range: Range; crc32: string }): PendingRequest {
    const reply = Promise.withResolvers<HashReply>();
    reply.promise.then(
      (received) => {
        if (!('checksums' in received)) this.fail(this.#errorOf(received));
        else if (received.checksums.crc32 !== crc32) this.fail(this.#file.contentChanged());
      },
      () => {},
    );
    return { request: { type: 'part', range, mode: 'none', inDigest: true }, reply };
  }

  #errorOf(reply: HashReply): Error {
    if (!('failed' in reply)) return new Error('unexpected reply from the hash thread');
    if (reply.failed === 'short') return this.#file.endedEarly();
    return this.#file.readFailed(Object.assign(new Error(reply.message), { code: reply.code }));
  }
}

function threadEnded(): BackhaulError {
  return new BackhaulError('agent_busy', "The agent's hash thread has ended; see the agent's log.");
}
