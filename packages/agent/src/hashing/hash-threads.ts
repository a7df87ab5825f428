import { MessageChannel, Worker } from 'node:worker_threads';
import type { Log } from '../log.ts';
import type { HashedFile } from './file-hasher.ts';
import type { FileToHash } from './hash-messages.ts';
import { hashThreadProgram } from './hash-thread-program.ts';
import { ThreadHasher } from './thread-hasher.ts';

/** A thread takes some 15 MB: as many as files are read at once by default; more files share them. */
const MAX_THREADS = 2;

/** It is started in some 20 ms: kept for the next file, but not for ever. */
const IDLE_MS = 60_000;

interface HashThread {
  readonly worker: Worker;
  files: number;
  idle: NodeJS.Timeout | undefined;
}

export interface ThreadOptions {
  readonly log: Log;
  readonly idleMs?: number;
  /** What the threads run. */
  readonly program?: URL;
}

/** Threads in which files are read and hashed: the work of another core, while this thread sends. */
export class HashThreads implements AsyncDisposable {
  readonly #log: Log;
  readonly #idleMs: number;
  readonly #program: URL;
  readonly #threads: HashThread[] = [];
  #usable = true;

  constructor({ log, idleMs = IDLE_MS, program = hashThreadProgram }: ThreadOptions) {
    this.#log = log;
    this.#idleMs = idleMs;
    this.#program = program;
  }

  /** Threads that run. */
  get count(): number {
    return this.#threads.length;
  }

  /** @returns null where there can be no thread: system or permission model grant none, or one has failed. */
  open(file: HashedFile): ThreadHasher | null {
    const thread = this.#leastBusy();
    if (thread === null) return null;
    const { port1: here, port2: port } = new MessageChannel();
    thread.worker.postMessage({ fd: file.fd, place: file.place, port } satisfies FileToHash, [port]);
    const hasher = new ThreadHasher(here, file);
    thread.files += 1;
    clearTimeout(thread.idle);
    void hasher.ended.then((inOrder) => this.#leave(thread, inOrder));
    return hasher;
  }

  /** Whatever hashers are still open end with an error; there will be no others. */
  async close(): Promise<void> {
    this.#usable = false;
    await Promise.all(this.#threads.splice(0).map(end));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #leastBusy(): HashThread | null {
    if (!this.#usable) return null;
    const [first] = this.#threads.toSorted((a, b) => a.files - b.files);
    if (first !== undefined && (first.files === 0 || this.#threads.length >= MAX_THREADS)) return first;
    return this.#start() ?? first ?? null;
  }

  #start(): HashThread | null {
    try {
      const worker = new Worker(this.#program, {
        name: 'hash',
        // What is preloaded into the agent is not meant for it.
        execArgv: [],
        env: {},
        // It makes next to no objects; what it reads into is not among them.
        resourceLimits: { maxYoungGenerationSizeMb: 1 },
      });
      const thread = { worker, files: 0, idle: undefined };
      worker.on('error', (error) => this.#fail(thread, error));
      this.#threads.push(thread);
      return thread;
    } catch (error) {
      this.#fail(null, error);
      return null;
    }
  }

  #leave(thread: HashThread, inOrder: boolean): void {
    thread.files -= 1;
    // It has died, though its end may not be told yet.
    if (!inOrder) this.#forget(thread);
    else if (thread.files === 0) {
      thread.idle = setTimeout(() => {
        this.#forget(thread);
        void end(thread);
      }, this.#idleMs).unref();
    }
  }

  /** It may fail again and again: from now on there are none. Those that run go on. */
  #fail(thread: HashThread | null, error: unknown): void {
    this.#usable = false;
    if (thread !== null) this.#forget(thread);
    const reason = error instanceof Error ? error.message : String(error);
    this.#log.warn({ reason }, 'no thread for hashing: files are hashed beside all else, which is slower');
  }

  #forget(thread: HashThread): void {
    const at = this.#threads.indexOf(thread);
    if (at >= 0) this.#threads.splice(at, 1);
  }
}

async function end({ worker, idle }: HashThread): Promise<void> {
  clearTimeout(idle);
  await worker.terminate();
}
