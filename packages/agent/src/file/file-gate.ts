import { type FileHandle, readlink, realpath } from 'node:fs/promises';
import { posix } from 'node:path';
import { pauseBeforeRetry } from '../errno.ts';
import type { Log } from '../log.ts';
import type { Platform } from '../platform/platform.ts';
import { settledWithin } from '../waits.ts';
import { type CallLane, CallLanes } from './call-lanes.ts';
import { FileCallTimeout } from './file-error.ts';

/** Default timeout of a call. */
const TIMEOUT_MS = 30_000;
/** Maximum wait for a close: the data is complete without it. */
const CLOSE_TIMEOUT_MS = 1000;
/** How long a resolved path is cached. It only determines which file system a call belongs to. */
const RESOLVED_MAX_AGE_MS = 1000;

interface FileGateDeps {
  readonly platform: Platform;
  readonly log: Log;
  /** Size of libuv's pool. Some threads are reserved for name resolution and closing files. */
  readonly poolThreads?: number;
  readonly timeoutMs?: number;
}

export interface CallOptions<Value> {
  /** Ends the wait immediately; the call itself cannot be cancelled. */
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  /**
   * For a dispensable call that may hang although others return. It is made once, only while its path has spare slots,
   * and if it hangs, the path does not count as silent.
   */
  readonly isOptional?: boolean;
  /** Receives the result of a call that returned after its caller stopped waiting. */
  readonly onLate?: (value: Value) => void;
}

interface PendingCall {
  /** Counts the call as hanging; null while no call is running or it is already counted. */
  reportHanging: (() => void) | null;
}

const never = new AbortController().signal;

/**
 * Runs all file system calls that may touch a disk or a mount. A hanging call blocks a thread of libuv's pool and cannot
 * be cancelled, so the wait for it has a timeout. Hanging calls are counted per path and per file system, and further
 * calls there fail immediately, so that they never block the pool for other files, name resolution and the connection.
 *
 * Calls that fail with a transient error are retried a few times, so they must be repeatable.
 */
export class FileGate {
  readonly #platform: Platform;
  readonly #lanes: CallLanes;
  readonly #timeoutMs: number;
  readonly #resolved = new Map<string, string>();
  #resolvedAt = 0;

  constructor({ platform, log, poolThreads = 4, timeoutMs = TIMEOUT_MS }: FileGateDeps) {
    this.#platform = platform;
    const poolSize = Math.max(1, poolThreads - Math.ceil(poolThreads / 8));
    this.#lanes = new CallLanes({ mountFinder: () => platform.mountFinder(), log, poolSize });
    this.#timeoutMs = timeoutMs;
  }

  /** Running calls, hanging or not. */
  get calls(): number {
    return this.#lanes.calls;
  }

  /** Calls that timed out and have not returned. */
  get hangingCalls(): number {
    return this.#lanes.hangingCalls;
  }

  /** Mount points of file systems with hanging calls. */
  hangingMounts(): string[] {
    return this.#lanes.hangingMounts();
  }

  /**
   * @param path Path of the call, without links in its directories: they may lead to other file systems.
   * @throws FileCallTimeout; the error of the operating system; the signal's reason.
   */
  async run<Value>(
    path: string,
    call: () => Promise<Value>,
    {
      signal = never,
      timeoutMs = this.#timeoutMs,
      isOptional = false,
      onLate = () => {},
    }: CallOptions<Value> = {},
  ): Promise<Value> {
    signal.throwIfAborted();
    const lane = this.#lanes.enter(path);
    if (isOptional && !lane.hasSpareSlots) {
      this.#lanes.leave(lane);
      throw new FileCallTimeout(0);
    }
    const result = Promise.withResolvers<Value>();
    const left = new AbortController();
    const leave = (reason: unknown) => {
      left.abort(reason);
      result.reject(reason);
    };
    const onAbort = () => leave(signal.reason);
    const pending: PendingCall = { reportHanging: null };
    const timer = setTimeout(() => {
      // Before the caller is notified, so that its next call is refused immediately.
      if (timeoutMs >= this.#timeoutMs) pending.reportHanging?.();
      leave(new FileCallTimeout(timeoutMs));
    }, timeoutMs);
    signal.addEventListener('abort', onAbort, { once: true });
    lane
      .tryRun(() => this.#runWithRetries(lane, call, { pending, isOptional, signal: left.signal }), {
        signal: left.signal,
      })
      .then((value) => (left.signal.aborted ? onLate(value) : result.resolve(value)), result.reject)
      .finally(() => this.#lanes.leave(lane));
    try {
      return await result.promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    }
  }

  /**
   * Closes a descriptor; waits for it only briefly. If all slots of its file system are in use, it stays open until one
   * is free. Never rejects.
   */
  async close(path: string, handle: FileHandle): Promise<void> {
    const lane = this.#lanes.enter(path);
    const closed = lane
      .run(() => this.#close(lane, handle), { signal: never })
      .finally(() => this.#lanes.leave(lane));
    await settledWithin(closed, CLOSE_TIMEOUT_MS);
  }

  async #close(lane: CallLane, handle: FileHandle): Promise<void> {
    const since = performance.now();
    const closed = handle.close().catch(() => {});
    const hanging = setTimeout(() => lane.reportHanging(closed, { since, call: 'close' }), this.#timeoutMs);
    await closed;
    clearTimeout(hanging);
  }

  /** Counts a hanging call that was made elsewhere. @param done Settles when it returns after all. */
  reportHanging(path: string, done: Promise<unknown>): void {
    const lane = this.#lanes.enter(path);
    lane.reportHanging(done, { since: performance.now() - this.#timeoutMs, call: 'other' });
    void done.finally(() => this.#lanes.leave(lane));
  }

  /** Like `realpath`, but reads each link through the gate of its own file system. */
  async realpath(path: string, options: { signal?: AbortSignal; timeoutMs?: number } = {}): Promise<string> {
    return await this.run(await this.#resolveLinks(path, options), () => realpath(path), options);
  }

  async #resolveLinks(path: string, options: { signal?: AbortSignal; timeoutMs?: number }): Promise<string> {
    // Only needed for the mount table, which other systems do not have.
    if (this.#platform.path.sep !== '/') return path;
    const now = performance.now();
    if (now - this.#resolvedAt > RESOLVED_MAX_AGE_MS) {
      this.#resolved.clear();
      this.#resolvedAt = now;
    }
    const known = this.#resolved.get(path);
    if (known !== undefined) return known;
    const resolved = await followLinks(path, (path) => this.run(path, () => readlink(path), options));
    this.#resolved.set(path, resolved);
    return resolved;
  }

  async #runWithRetries<Value>(
    lane: CallLane,
    call: () => Promise<Value>,
    { pending, isOptional, signal }: { pending: PendingCall; isOptional: boolean; signal: AbortSignal },
  ): Promise<Value> {
    for (let failures = 0; ; failures += 1) {
      const since = performance.now();
      const returned = call();
      pending.reportHanging = () => {
        pending.reportHanging = null;
        lane.reportHanging(returned, { since, call: isOptional ? 'optional' : 'other' });
      };
      const hanging = setTimeout(() => pending.reportHanging?.(), this.#timeoutMs);
      const [outcome] = await Promise.allSettled([returned]);
      clearTimeout(hanging);
      pending.reportHanging = null;
      lane.markResponding();
      if (outcome.status === 'fulfilled') return outcome.value;
      if (isOptional) throw outcome.reason;
      await pauseBeforeRetry(outcome.reason, failures, { signal });
    }
  }
}

/** Same as the kernel's limit. */
const MAX_LINKS = 40;

/**
 * Resolves the links of a path one by one, so that each is read by a path without links. Missing or unreadable components
 * stay unchanged: the following call reports the error.
 *
 * @param readlink Receives an absolute path.
 * @throws Errors of `readlink` other than those of the operating system.
 */
async function followLinks(path: string, readlink: (path: string) => Promise<string>): Promise<string> {
  let done = '/';
  let todo = path.split('/');
  for (let links = 0; todo.length > 0;) {
    const [name = '', ...rest] = todo;
    todo = rest;
    if (name === '' || name === '.') continue;
    const next = posix.join(done, name);
    const target = name === '..' ? null : await readlink(next).catch(nullIfErrno);
    if (target === null) {
      done = next;
      continue;
    }
    links += 1;
    if (links > MAX_LINKS) return posix.join(next, ...todo);
    if (target.startsWith('/')) done = '/';
    todo = [...target.split('/'), ...todo];
  }
  return done;
}

/** For example EINVAL: not a link. */
function nullIfErrno(error: unknown): null {
  if (error instanceof Error && 'errno' in error) return null;
  throw error;
}
