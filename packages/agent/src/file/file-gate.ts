import type { FileHandle } from 'node:fs/promises';
import { readlink, realpath } from 'node:fs/promises';
import type { Log } from '../log.ts';
import type { Platform } from '../platform/platform.ts';
import { settledWithin } from '../settled-within.ts';
import { type CallLane, CallLanes } from './call-lanes.ts';
import { followLinks } from './follow-links.ts';
import { NoAnswer } from './no-answer.ts';
import { pauseBeforeRetry } from './passing-errors.ts';

/** A call that takes longer is given up. */
const TIMEOUT_MS = 30_000;
/** The longest wait for a close: what was read is complete without it. */
const CLOSE_TIMEOUT_MS = 1000;
/** Only for telling which file system is asked: so long it need not be found out again. */
const FOLLOWED_MS = 1000;

interface GateOptions {
  readonly platform: Platform;
  readonly log: Log;
  /** Threads of libuv's pool. Some are left to name resolution and to closing files. */
  readonly poolThreads?: number;
  readonly timeoutMs?: number;
}

export interface CallOptions<Value> {
  /** Ends the wait at once; the call itself cannot be ended. */
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  /**
   * For a call that may take long where others are answered, and can be done without: made once, only while its path
   * has room to spare, and if it hangs, the path does not count as silent.
   */
  readonly isOptional?: boolean;
  /** Receives the result of a call whose caller has given up waiting. */
  readonly late?: (value: Value) => void;
}

interface Flight {
  /** Counts the call as one that hangs; null while none is under way, or it is counted. */
  hangs: (() => void) | null;
}

const never = new AbortController().signal;

/**
 * All calls of the file system that may touch a disk or a mount go through here, because one that does not come back
 * holds a thread of libuv's pool until it does, and cannot be cancelled. Waits end; calls that hang are counted, for
 * their path and for its file system, and the next ones there are refused at once, so that they never take the pool
 * from other files, name resolution and the connection.
 *
 * A call that fails with an error that may pass is made a few times more, so it must be one that can be repeated.
 */
export class FileGate {
  readonly #platform: Platform;
  readonly #lanes: CallLanes;
  readonly #timeoutMs: number;
  readonly #followed = new Map<string, string>();
  #followedAt = 0;

  constructor({ platform, log, poolThreads = 4, timeoutMs = TIMEOUT_MS }: GateOptions) {
    this.#platform = platform;
    const poolSize = Math.max(1, poolThreads - Math.ceil(poolThreads / 8));
    this.#lanes = new CallLanes({ mountFinder: () => platform.mountFinder(), log, poolSize });
    this.#timeoutMs = timeoutMs;
  }

  /** Calls under way, hanging or not. */
  get calls(): number {
    return this.#lanes.calls;
  }

  /** Calls that were given up and have not come back. */
  get hangingCalls(): number {
    return this.#lanes.hangingCalls;
  }

  /** Where file systems are mounted that have calls which hang. */
  hangingMounts(): string[] {
    return this.#lanes.hangingMounts();
  }

  /**
   * @param place The path that the call is about, without links on the way: they may lead to other file systems.
   * @throws NoAnswer; what the operating system said; the signal's reason.
   */
  async run<Value>(
    place: string,
    call: () => Promise<Value>,
    {
      signal = never,
      timeoutMs = this.#timeoutMs,
      isOptional = false,
      late = () => {},
    }: CallOptions<Value> = {},
  ): Promise<Value> {
    signal.throwIfAborted();
    const lane = this.#lanes.enter(place);
    if (isOptional && !lane.hasSpareRoom) {
      this.#lanes.leave(lane);
      throw new NoAnswer(0);
    }
    const answer = Promise.withResolvers<Value>();
    const left = new AbortController();
    const leave = (reason: unknown) => {
      left.abort(reason);
      answer.reject(reason);
    };
    const onAbort = () => leave(signal.reason);
    const flight: Flight = { hangs: null };
    const timer = setTimeout(() => {
      // Before anybody hears of it, so that the next call is refused at once.
      if (timeoutMs >= this.#timeoutMs) flight.hangs?.();
      leave(new NoAnswer(timeoutMs));
    }, timeoutMs);
    signal.addEventListener('abort', onAbort, { once: true });
    lane
      .try(() => this.#repeat(lane, call, { flight, isOptional, signal: left.signal }), {
        signal: left.signal,
      })
      .then((value) => (left.signal.aborted ? late(value) : answer.resolve(value)), answer.reject)
      .finally(() => this.#lanes.leave(lane));
    try {
      return await answer.promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    }
  }

  /**
   * Closes a descriptor once no call uses it any more; waits for that only briefly. Where other calls have all the room
   * for its file system, it stays open until there is some. Never rejects.
   */
  async close(place: string, handle: FileHandle): Promise<void> {
    const lane = this.#lanes.enter(place);
    const closed = lane
      .run(() => this.#close(lane, handle), { signal: never })
      .finally(() => this.#lanes.leave(lane));
    await settledWithin(closed, CLOSE_TIMEOUT_MS);
  }

  async #close(lane: CallLane, handle: FileHandle): Promise<void> {
    const since = performance.now();
    const closed = handle.close().catch(() => {});
    const hanging = setTimeout(() => lane.hangs(closed, { since, call: 'close' }), this.#timeoutMs);
    await closed;
    clearTimeout(hanging);
  }

  /** Counts a call that was made elsewhere and hangs. @param done When it has come back after all. */
  hangs(place: string, done: Promise<unknown>): void {
    const lane = this.#lanes.enter(place);
    lane.hangs(done, { since: performance.now() - this.#timeoutMs, call: 'other' });
    void done.finally(() => this.#lanes.leave(lane));
  }

  /** As `realpath`, with each link on the way asked for in its own file system. */
  async realpath(path: string, options: { signal?: AbortSignal; timeoutMs?: number } = {}): Promise<string> {
    return await this.run(await this.#follow(path, options), () => realpath(path), options);
  }

  async #follow(path: string, options: { signal?: AbortSignal; timeoutMs?: number }): Promise<string> {
    // Elsewhere there is no table of mounts, by which it would matter.
    if (this.#platform.path.sep !== '/') return path;
    const now = performance.now();
    if (now - this.#followedAt > FOLLOWED_MS) {
      this.#followed.clear();
      this.#followedAt = now;
    }
    const known = this.#followed.get(path);
    if (known !== undefined) return known;
    const followed = await followLinks(path, (place) => this.run(place, () => readlink(place), options));
    this.#followed.set(path, followed);
    return followed;
  }

  async #repeat<Value>(
    lane: CallLane,
    call: () => Promise<Value>,
    { flight, isOptional, signal }: { flight: Flight; isOptional: boolean; signal: AbortSignal },
  ): Promise<Value> {
    for (let failures = 0; ; failures += 1) {
      const since = performance.now();
      const answer = call();
      flight.hangs = () => {
        flight.hangs = null;
        lane.hangs(answer, { since, call: isOptional ? 'optional' : 'other' });
      };
      const hanging = setTimeout(() => flight.hangs?.(), this.#timeoutMs);
      const [outcome] = await Promise.allSettled([answer]);
      clearTimeout(hanging);
      flight.hangs = null;
      lane.answered();
      if (outcome.status === 'fulfilled') return outcome.value;
      if (isOptional) throw outcome.reason;
      await pauseBeforeRetry(outcome.reason, failures, { signal });
    }
  }
}
