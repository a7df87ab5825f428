import type { Log } from '../log.ts';
import type { MountFinder } from '../platform/platform.ts';
import { Semaphore } from '../semaphore.ts';
import { CallPool } from './call-pool.ts';
import { NoAnswer } from './no-answer.ts';

/** As many as libuv's pool has threads by default: one file is read as fast as ever. */
const MAX_CALLS_PER_PATH = 4;
/** What a file system can take of the pool before it is known to hang. */
const MAX_CALLS_PER_MOUNT = 16;
/** A disk may hang at one file alone. With so many the whole file system counts as silent, unless others do answer. */
const MAX_SILENT_PATHS = 8;
/** A file may hang when it is closed and be read all the same; with so many such calls no further one is let in. */
const MAX_HANGING_CLOSES = 2;
/** Where calls hang, one more may try this often, unless the one before it hangs, too. */
const PROBE_MS = 60_000;
/** Mounts come and go; the table is read again after so long. */
const TABLE_MS = 1000;

interface LanesOptions {
  /** Reads the table of mounts as it is now. */
  readonly mountFinder: () => MountFinder;
  readonly log: Log;
  /** Calls that are made at once. */
  readonly poolSize: number;
}

/** How many calls are made at once for each path and each file system, and which of these do not answer. */
export class CallLanes {
  readonly #options: LanesOptions;
  readonly #mounts = new Map<string, MountCalls>();
  readonly #pool: CallPool;
  #find: MountFinder | null = null;
  #foundAt = 0;

  constructor(options: LanesOptions) {
    this.#options = options;
    this.#pool = new CallPool(options.poolSize);
  }

  get calls(): number {
    const lanes = this.#mounts.values().flatMap((mount) => mount.lanes.values());
    return lanes.reduce((sum, { users }) => sum + users, 0);
  }

  get hangingCalls(): number {
    return this.#mounts.values().reduce((sum, { hanging }) => sum + hanging, 0);
  }

  hangingMounts(): string[] {
    return [...this.#mounts.values()].filter(({ hanging }) => hanging > 0).map(({ point }) => point);
  }

  /** For a call of this path; to be left when it has come back. */
  enter(place: string): CallLane {
    const mount = this.#mountOf(place);
    const lane = mount.lanes.get(place) ?? new CallLane(place, mount);
    mount.lanes.set(place, lane);
    lane.users += 1;
    return lane;
  }

  leave(lane: CallLane): void {
    const { mount, place } = lane;
    lane.users -= 1;
    if (lane.users === 0) mount.lanes.delete(place);
    if (mount.lanes.size === 0) this.#mounts.delete(mount.key);
  }

  #mountOf(place: string): MountCalls {
    const now = performance.now();
    if (this.#find === null || now - this.#foundAt > TABLE_MS) {
      this.#find = this.#options.mountFinder();
      this.#foundAt = now;
    }
    const { key, point } = this.#find(place);
    const mount =
      this.#mounts.get(key) ?? new MountCalls(key, point, { log: this.#options.log, pool: this.#pool });
    this.#mounts.set(key, mount);
    return mount;
  }
}

/** Calls of one file system. */
class MountCalls {
  readonly key: string;
  readonly point: string;
  readonly log: Log;
  readonly pool: CallPool;
  readonly rooms = new Semaphore(MAX_CALLS_PER_MOUNT);
  readonly lanes = new Map<string, CallLane>();
  /** Paths that do not answer. */
  readonly silent = new Set<CallLane>();
  hanging = 0;
  /** Whether a call has been answered since the last one was given up. */
  answered = false;
  silentSince = 0;
  probeAt = 0;
  /** Whether a call that was let in as a try has not come back. */
  probing = false;

  constructor(key: string, point: string, { log, pool }: { log: Log; pool: CallPool }) {
    this.key = key;
    this.point = point;
    this.log = log;
    this.pool = pool;
  }
}

/** What it tells of its path: a close or an optional call may hang where others are answered. */
type HangingCall = 'close' | 'optional' | 'other';

/** Calls of one path. */
export class CallLane {
  readonly place: string;
  readonly mount: MountCalls;
  users = 0;
  readonly #rooms = new Semaphore(MAX_CALLS_PER_PATH);
  #hanging = 0;
  #hangingCloses = 0;

  constructor(place: string, mount: MountCalls) {
    this.place = place;
    this.mount = mount;
  }

  get hasSpareRoom(): boolean {
    return this.#rooms.held < MAX_CALLS_PER_PATH / 2;
  }

  /**
   * Runs a call when there is room for it.
   *
   * @throws NoAnswer where calls hang, but for one now and then, which shows whether it answers again.
   */
  async try<Value>(call: () => Promise<Value>, options: { signal: AbortSignal }): Promise<Value> {
    const { mount } = this;
    const isSilent = mount.silent.size >= MAX_SILENT_PATHS && !mount.answered;
    if (!isSilent && !mount.silent.has(this)) return await this.run(call, options);
    const now = performance.now();
    if (mount.probing || now < mount.probeAt) throw new NoAnswer(now - mount.silentSince);
    mount.probing = true;
    try {
      return await this.run(call, options);
    } finally {
      mount.probing = false;
      mount.probeAt = performance.now() + PROBE_MS;
    }
  }

  /** As `try`, also where calls hang. */
  async run<Value>(call: () => Promise<Value>, options: { signal: AbortSignal }): Promise<Value> {
    const { pool, rooms } = this.mount;
    const inPool = () => pool.run(this.mount, call, options);
    return await this.#rooms.run(() => rooms.run(inPool, options), options);
  }

  /**
   * @param done When the call has come back after all.
   * @param options.since Of `performance.now()`.
   */
  hangs(done: Promise<unknown>, { since, call }: { since: number; call: HangingCall }): void {
    const { mount } = this;
    if (mount.hanging === 0) {
      mount.silentSince = since;
      mount.log.warn(
        { mount: mount.point, path: this.place, silent_ms: Math.round(performance.now() - since) },
        'file system does not answer: file calls are given up',
      );
    }
    mount.hanging += 1;
    this.#hanging += 1;
    if (call === 'close') this.#hangingCloses += 1;
    if (call === 'other' || this.#closesHang) this.#fall();
    const back = () => {
      mount.hanging -= 1;
      this.#hanging -= 1;
      if (call === 'close') this.#hangingCloses -= 1;
      if (this.#hanging === 0) mount.silent.delete(this);
      if (mount.hanging === 0) mount.log.info({ mount: mount.point }, 'file system answers again');
    };
    done.then(back, back);
  }

  answered(): void {
    this.mount.answered = true;
    // Where closes hang, it may answer all others.
    if (!this.#closesHang) this.mount.silent.delete(this);
  }

  get #closesHang(): boolean {
    return this.#hangingCloses >= MAX_HANGING_CLOSES;
  }

  #fall(): void {
    const { mount } = this;
    mount.answered = false;
    mount.probeAt = performance.now() + PROBE_MS;
    mount.silent.add(this);
  }
}
