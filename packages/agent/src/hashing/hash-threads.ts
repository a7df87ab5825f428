import { Worker } from 'node:worker_threads';
import { BackhaulError } from '@backhaul/protocol';
import { NoAnswer } from '../file/no-answer.ts';
import type { Log } from '../log.ts';
import { settledWithin } from '../settled-within.ts';
import type { HashedFile } from './file-hasher.ts';
import { hashThreadProgram } from './hash-thread-program.ts';
import { ThreadHasher } from './thread-hasher.ts';

/** A thread takes some 15 MB: as many as files are read at once by default; more files share them. */
const MAX_THREADS = 2;
/** With those that hang in a file call, which cannot be ended. */
const MAX_WITH_HANGING = 3;

/** It is started in some 20 ms: kept for the next file, but not for ever. */
const IDLE_MS = 60_000;

/** A thread whose file call takes longer is left behind. */
const TIMEOUT_MS = 30_000;
/** Looks at the threads while one call may take. */
const LOOKS = 6;

/** A thread that hangs must not hold up the end of the agent. */
const CLOSE_TIMEOUT_MS = 1000;

interface HashThread {
  readonly worker: Worker;
  readonly hashers: Set<ThreadHasher>;
  idle: NodeJS.Timeout | undefined;
}

export interface ThreadOptions {
  readonly log: Log;
  readonly idleMs?: number;
  readonly timeoutMs?: number;
  /** What the threads run. */
  readonly program?: URL;
}

/** Threads in which files are read and hashed: the work of another core, while this thread sends. */
export class HashThreads implements AsyncDisposable {
  readonly #log: Log;
  readonly #idleMs: number;
  readonly #timeoutMs: number;
  readonly #program: URL;
  readonly #threads: HashThread[] = [];
  /** Left behind in a file call that has not come back. */
  readonly #hanging = new Set<HashThread>();
  #looking: NodeJS.Timeout | undefined;
  #usable = true;

  constructor({ log, idleMs = IDLE_MS, timeoutMs = TIMEOUT_MS, program = hashThreadProgram }: ThreadOptions) {
    this.#log = log;
    this.#idleMs = idleMs;
    this.#timeoutMs = timeoutMs;
    this.#program = program;
  }

  /** Threads that run. */
  get count(): number {
    return this.#threads.length;
  }

  /** Files that a thread may be reading from. */
  get files(): number {
    return this.#threads.reduce((sum, { hashers }) => sum + hashers.size, this.#hanging.size);
  }

  /** @returns null where there can be no thread: system or permission model grant none, or one has failed. */
  open(file: HashedFile): ThreadHasher | null {
    const thread = this.#leastBusy();
    if (thread === null) return null;
    const hasher = new ThreadHasher(file);
    this.#hand(hasher, thread);
    this.#looking ??= setInterval(() => this.#look(), this.#timeoutMs / LOOKS).unref();
    void hasher.ended.then((inOrder) => this.#leave(hasher, inOrder));
    return hasher;
  }

  /** Whatever hashers are still open end with an error; there will be no others. */
  async close(): Promise<void> {
    this.#usable = false;
    clearInterval(this.#looking);
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
      const worker = new Worker(this.#program, {
        name: 'hash',
        // What is preloaded into the agent is not meant for it.
        execArgv: [],
        env: {},
        // It makes next to no objects; what it reads into is not among them.
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

  #hand(hasher: ThreadHasher, thread: HashThread): void {
    clearTimeout(thread.idle);
    thread.hashers.add(hasher);
    hasher.moveTo(thread.worker);
  }

  #leave(hasher: ThreadHasher, inOrder: boolean): void {
    const thread = this.#threads.find(({ hashers }) => hashers.delete(hasher));
    if (this.files === 0) {
      clearInterval(this.#looking);
      this.#looking = undefined;
    }
    if (thread === undefined) return;
    // It has died, though its end may not be told yet.
    if (!inOrder) this.#forget(thread);
    else if (thread.hashers.size === 0) {
      thread.idle = setTimeout(() => {
        this.#forget(thread);
        void end(thread);
      }, this.#idleMs).unref();
    }
  }

  #look(): void {
    const now = performance.now();
    for (const thread of [...this.#threads]) {
      const hanging = [...thread.hashers].find((hasher) => hasher.silentMs(now) >= this.#timeoutMs);
      if (hanging !== undefined) this.#leaveBehind(thread, hanging);
    }
  }

  /** It cannot be ended before its call has come back. The other files that it read are handed to another thread. */
  #leaveBehind(thread: HashThread, hanging: ThreadHasher): void {
    this.#forget(thread);
    this.#hanging.add(thread);
    hanging.hangs(new NoAnswer(this.#timeoutMs));
    void end(thread).then(() => this.#hanging.delete(thread));
    for (const hasher of thread.hashers) {
      if (hasher === hanging) continue;
      const other = this.#leastBusy();
      if (other === null)
        hasher.fail(
          new BackhaulError('read_failed', 'All threads that read wait for file systems that do not answer.'),
        );
      else this.#hand(hasher, other);
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
