import { Worker } from 'node:worker_threads';
import { BackhaulError } from '@backhaul/protocol';
import type { Log } from '../log.ts';
import { settledWithin } from '../waits.ts';
import { FileCallTimeout } from './file-error.ts';
import { hashThreadProgram } from './hash-thread-program.ts';
import type { HashedFile } from './hashers.ts';
import { ThreadHasher } from './thread-hasher.ts';

/** Each takes some 15 MB. Equal to the default number of uploads; more files share the threads. */
const MAX_THREADS = 2;
/** Including threads that hang in a file call, which cannot be terminated. */
const MAX_WITH_HANGING = 3;

/** How long an idle thread is kept for the next file. A start takes some 20 ms. */
const IDLE_MS = 60_000;

/** Default timeout of a file call; the thread is abandoned after it. */
const TIMEOUT_MS = 30_000;
/** Number of checks during the timeout of one call. */
const CHECKS_PER_TIMEOUT = 6;

/** A hanging thread must not delay the agent's exit. */
const CLOSE_TIMEOUT_MS = 1000;

interface HashThread {
  readonly worker: Worker;
  readonly hashers: Set<ThreadHasher>;
  idle: NodeJS.Timeout | undefined;
}

export interface HashThreadPoolDeps {
  readonly log: Log;
  readonly idleMs?: number;
  readonly timeoutMs?: number;
  /** Program of the threads. */
  readonly program?: URL;
}

/** Worker threads that read and hash files, so that the main thread can send meanwhile. */
export class HashThreadPool implements AsyncDisposable {
  readonly #deps: Required<HashThreadPoolDeps>;
  readonly #threads: HashThread[] = [];
  /** Abandoned threads whose file call has not returned. */
  readonly #hanging = new Set<HashThread>();
  #checkTimer: NodeJS.Timeout | undefined;
  #usable = true;

  constructor(deps: HashThreadPoolDeps) {
    this.#deps = { idleMs: IDLE_MS, timeoutMs: TIMEOUT_MS, program: hashThreadProgram, ...deps };
  }

  /** Number of running threads. */
  get count(): number {
    return this.#threads.length;
  }

  /** Number of files that a thread may be reading. */
  get files(): number {
    return this.#threads.reduce((sum, { hashers }) => sum + hashers.size, this.#hanging.size);
  }

  /** @returns null if no thread is available: the system or permission model refuses it, or a thread has failed. */
  open(file: HashedFile): ThreadHasher | null {
    const thread = this.#leastBusy();
    if (thread === null) return null;
    const hasher = new ThreadHasher(file);
    this.#assign(hasher, thread);
    this.#checkTimer ??= setInterval(
      () => this.#checkThreads(),
      this.#deps.timeoutMs / CHECKS_PER_TIMEOUT,
    ).unref();
    void hasher.ended.then((isClean) => this.#remove(hasher, isClean));
    return hasher;
  }

  /** Open hashers fail with an error, and no more can be opened. */
  async close(): Promise<void> {
    this.#usable = false;
    clearInterval(this.#checkTimer);
    await settledWithin(Promise.all(this.#threads.splice(0).map(end)), CLOSE_TIMEOUT_MS);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #leastBusy(): HashThread | null {
    if (!this.#usable) return null;
    const [first] = this.#threads.toSorted((a, b) => a.hashers.size - b.hashers.size);
    const full = this.#threads.length >= MAX_THREADS;
    const tooMany = this.#threads.length + this.#hanging.size >= MAX_WITH_HANGING;
    if (first !== undefined && (first.hashers.size === 0 || full || tooMany)) return first;
    return tooMany ? null : (this.#start() ?? first ?? null);
  }

  #start(): HashThread | null {
    try {
      const worker = new Worker(this.#deps.program, {
        name: 'hash',
        // Modules preloaded into the agent are not meant for this thread.
        execArgv: [],
        env: {},
        // The thread allocates very few objects; its read buffer is outside the heap.
        resourceLimits: { maxYoungGenerationSizeMb: 1 },
      });
      const thread: HashThread = { worker, hashers: new Set(), idle: undefined };
      worker.on('error', (error) => this.#fail(thread, error));
      this.#threads.push(thread);
      return thread;
    } catch (error) {
      this.#fail(null, error);
      return null;
    }
  }

  #assign(hasher: ThreadHasher, thread: HashThread): void {
    clearTimeout(thread.idle);
    thread.hashers.add(hasher);
    hasher.moveTo(thread.worker);
  }

  #remove(hasher: ThreadHasher, isClean: boolean): void {
    const thread = this.#threads.find(({ hashers }) => hashers.delete(hasher));
    if (this.files === 0) {
      clearInterval(this.#checkTimer);
      this.#checkTimer = undefined;
    }
    if (thread === undefined) return;
    // The thread has died, although its `exit` event may not have arrived yet.
    if (!isClean) this.#forget(thread);
    else if (thread.hashers.size === 0) {
      thread.idle = setTimeout(() => {
        this.#forget(thread);
        void end(thread);
      }, this.#deps.idleMs).unref();
    }
  }

  #checkThreads(): void {
    const now = performance.now();
    for (const thread of [...this.#threads]) {
      const hanging = [...thread.hashers].find((hasher) => hasher.silentMs(now) >= this.#deps.timeoutMs);
      if (hanging !== undefined) this.#abandon(thread, hanging);
    }
  }

  /** The thread cannot be terminated before its call returns. Its other files move to another thread. */
  #abandon(thread: HashThread, hanging: ThreadHasher): void {
    this.#forget(thread);
    this.#hanging.add(thread);
    hanging.timeOut(new FileCallTimeout(this.#deps.timeoutMs));
    void end(thread).then(() => this.#hanging.delete(thread));
    for (const hasher of thread.hashers) {
      if (hasher === hanging) continue;
      const other = this.#leastBusy();
      if (other === null)
        hasher.fail(
          new BackhaulError(
            'read_failed',
            'All hash threads are blocked by file systems that do not respond.',
          ),
        );
      else this.#assign(hasher, other);
    }
  }

  /** Disables new threads, because they may fail repeatedly. Running ones continue. */
  #fail(thread: HashThread | null, error: unknown): void {
    this.#usable = false;
    if (thread !== null) this.#forget(thread);
    const reason = error instanceof Error ? error.message : String(error);
    this.#deps.log.warn({ reason }, 'worker thread unavailable; hashing on the main thread');
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
