import { MessageChannel, Worker } from 'node:worker_threads';
import type { Log } from '../log.ts';
import { FileHasher, type HashedFile } from './file-hasher.ts';
import type { FileToHash } from './hash-messages.ts';
import { hashThreadProgram } from './hash-thread-program.ts';

/** A thread is started in some 20 ms and takes some 15 MB: kept for the next file, but not for ever. */
const IDLE_MS = 60_000;

/**
 * Threads in which files are read and hashed, one for each file at a time: the work of another core while this thread
 * sends, and neither a large part nor a slow disk keeps the server or another file waiting.
 */
export class HashThreads implements AsyncDisposable {
  readonly #log: Log;
  readonly #idleMs: number;
  readonly #all = new Set<Worker>();
  /** With the timers that end them. */
  readonly #free = new Map<Worker, NodeJS.Timeout>();

  constructor({ log, idleMs = IDLE_MS }: { log: Log; idleMs?: number }) {
    this.#log = log;
    this.#idleMs = idleMs;
  }

  /** Threads that run. */
  get count(): number {
    return this.#all.size;
  }

  /** @param file Not to be closed before the hasher is. */
  open(file: HashedFile): FileHasher {
    const thread = this.#take();
    const { port1: here, port2: port } = new MessageChannel();
    here.once('close', () => this.#give(thread));
    thread.postMessage({ fd: file.fd, place: file.place, port } satisfies FileToHash, [port]);
    return new FileHasher(here, file);
  }

  /** Whatever hashers are still open end with an error. */
  async close(): Promise<void> {
    for (const timer of this.#free.values()) clearTimeout(timer);
    this.#free.clear();
    await Promise.all([...this.#all].map((thread) => thread.terminate()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #take(): Worker {
    for (const [thread, timer] of this.#free) {
      clearTimeout(timer);
      this.#free.delete(thread);
      return thread;
    }
    return this.#start();
  }

  #start(): Worker {
    const thread = new Worker(hashThreadProgram, {
      name: 'hash',
      // It makes next to no objects; what it reads into is not among them.
      resourceLimits: { maxYoungGenerationSizeMb: 1 },
    });
    this.#all.add(thread);
    // Its file is told by the channel, which ends with the thread.
    thread.on('error', (error) => this.#log.error({ error }, 'a thread that hashes has failed'));
    thread.once('exit', () => {
      this.#all.delete(thread);
      clearTimeout(this.#free.get(thread));
      this.#free.delete(thread);
    });
    return thread;
  }

  #give(thread: Worker): void {
    if (!this.#all.has(thread)) return;
    this.#free.set(thread, setTimeout(() => this.#end(thread), this.#idleMs).unref());
  }

  #end(thread: Worker): void {
    this.#free.delete(thread);
    void thread.terminate();
  }
}
