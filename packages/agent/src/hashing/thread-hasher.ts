import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { BackhaulError, type PartChecksums } from '@backhaul/protocol';
import { abortable } from '../abortable.ts';
import type { NoAnswer } from '../file/no-answer.ts';
import type { Range } from '../file/read-slices.ts';
import { settledWithin } from '../settled-within.ts';
import { CallCounter } from './call-counter.ts';
import type { FileHasher, HashedFile, PartHashing } from './file-hasher.ts';
import type { FileToHash, HashReply, HashRequest } from './hash-messages.ts';

/** A read that hangs must not hold up the end of its upload. */
const CLOSE_TIMEOUT_MS = 1000;

interface Asked {
  readonly request: Exclude<HashRequest, { ask: 'end' }>;
  readonly answer: PromiseWithResolvers<HashReply>;
}

/** One file's side of the thread that reads and hashes it. */
export class ThreadHasher implements FileHasher {
  /** Resolves when the channel is closed, with whether the thread closed it; else it has died. */
  readonly ended: Promise<boolean>;
  readonly #ended = Promise.withResolvers<boolean>();
  readonly #file: HashedFile;
  /** What has been asked and not been answered. */
  #asked: Asked[] = [];
  /** What has gone into the digest. */
  readonly #digested: Array<{ readonly range: Range; readonly crc32: string }> = [];
  #port: MessagePort | null = null;
  #calls = new CallCounter();
  #isClosing = false;
  /** Why nothing can be asked any more. */
  #failure: Error | null = null;

  constructor(file: HashedFile) {
    this.#file = file;
    this.ended = this.#ended.promise;
    file.keepOpen(this.ended);
  }

  /** Has the work done by another thread from now on: what the last one knew is read and hashed once more. */
  moveTo(thread: { postMessage(file: FileToHash, transfer: MessagePort[]): void }): void {
    const { port1: here, port2: port } = new MessageChannel();
    this.#port?.close();
    this.#port = here;
    this.#calls = new CallCounter();
    this.#listen(here);
    const { fd, place } = this.#file;
    thread.postMessage({ fd, place, port, calls: this.#calls.shared }, [port]);
    this.#asked = [...this.#digested.splice(0).map((part) => this.#again(part)), ...this.#asked];
    for (const { request } of this.#asked) here.postMessage(request);
    if (this.#isClosing) here.postMessage({ ask: 'end' } satisfies HashRequest);
  }

  /** For how long its present file call has been seen under way, in ms. */
  silentMs(now: number): number {
    return this.#calls.silentMs(now);
  }

  /** Its file call has been given up. */
  hangs(error: NoAnswer): void {
    this.#file.hangs(this.ended);
    this.fail(this.#file.readFailed(error));
  }

  /** Ends all waits with an error; `ended` stays to tell when nothing reads from the file any more. */
  fail(error: Error): void {
    this.#failure ??= error;
    for (const { answer } of this.#asked.splice(0)) answer.reject(this.#failure);
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

  /** Waits only briefly: a read that hangs keeps the file open until it comes back. */
  async close(): Promise<void> {
    if (!this.#isClosing) this.#port?.postMessage({ ask: 'end' } satisfies HashRequest);
    this.#isClosing = true;
    await settledWithin(this.ended, CLOSE_TIMEOUT_MS);
    this.fail(threadEnded());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #listen(port: MessagePort): void {
    let inOrder = false;
    port.on('message', (reply: HashReply) => {
      if ('ended' in reply) inOrder = true;
      else if (port === this.#port) this.#answer(reply);
    });
    port.once('close', () => {
      if (port !== this.#port) return;
      this.fail(threadEnded());
      this.#ended.resolve(inOrder);
    });
  }

  #answer(reply: HashReply): void {
    const asked = this.#asked.shift();
    if (asked === undefined) return;
    const { request, answer } = asked;
    if (request.ask === 'part' && request.inDigest && 'checksums' in reply) {
      this.#digested.push({ range: request.range, crc32: reply.checksums.crc32 });
    }
    answer.resolve(reply);
  }

  async #ask(request: Asked['request']): Promise<HashReply> {
    if (this.#failure !== null) throw this.#failure;
    this.#port?.postMessage(request);
    const answer = Promise.withResolvers<HashReply>();
    this.#asked.push({ request, answer });
    return await answer.promise;
  }

  /** A part that another thread has hashed before goes into the digest; it must be what it was. */
  #again({ range, crc32 }: { range: Range; crc32: string }): Asked {
    const answer = Promise.withResolvers<HashReply>();
    answer.promise.then(
      (reply) => {
        if (!('checksums' in reply)) this.fail(this.#errorOf(reply));
        else if (reply.checksums.crc32 !== crc32) this.fail(this.#file.contentChanged());
      },
      () => {},
    );
    return { request: { ask: 'part', range, mode: 'none', inDigest: true }, answer };
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
