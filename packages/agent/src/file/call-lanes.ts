import type { Log } from '../log.ts';
import type { MountFinder } from '../platform/platform.ts';
import { Semaphore } from '../semaphore.ts';
import { CallPool } from './call-pool.ts';
import { FileCallTimeout } from './file-error.ts';

/** Equal to the default size of libuv's pool, so that reading one file is not slowed down. */
const MAX_CALLS_PER_PATH = 4;
/** Maximum share of the pool for one file system before it is known to hang. */
const MAX_CALLS_PER_MOUNT = 16;
/** A disk may hang for a single file. With this many silent paths, the whole file system counts as silent unless other calls return. */
const MAX_SILENT_PATHS = 8;
/** A file may be readable although its close hangs; with this many hanging closes, further calls are refused. */
const MAX_HANGING_CLOSES = 2;
/** Interval at which one call may probe a silent path, unless the previous probe still hangs. */
const PROBE_MS = 60_000;
/** Maximum age of the mount table, because mounts change. */
const TABLE_MS = 1000;

interface CallLanesDeps {
  /** Reads the current mount table. */
  readonly mountFinder: () => MountFinder;
  readonly log: Log;
  /** Maximum number of concurrent calls. */
  readonly poolSize: number;
}

/** Limits concurrent calls per path and per file system, and tracks which of them do not respond. */
export class CallLanes {
  readonly #deps: CallLanesDeps;
  readonly #mounts = new Map<string, MountCalls>();
  readonly #pool: CallPool;
  #findMount: MountFinder | null = null;
  #tableReadAt = 0;

  constructor(deps: CallLanesDeps) {
    this.#deps = deps;
    this.#pool = new CallPool(deps.poolSize);
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

  /** Registers a call for this path; the caller must `leave` once the call has returned. */
  enter(path: string): CallLane {
    const mount = this.#mountOf(path);
    const lane = mount.lanes.get(path) ?? new CallLane(path, mount);
    mount.lanes.set(path, lane);
    lane.users += 1;
    return lane;
  }

  leave(lane: CallLane): void {
    const { mount, path } = lane;
    lane.users -= 1;
    if (lane.users === 0) mount.lanes.delete(path);
    if (mount.lanes.size === 0) this.#mounts.delete(mount.key);
  }

  #mountOf(path: string): MountCalls {
    const now = performance.now();
    if (this.#findMount === null || now - this.#tableReadAt > TABLE_MS) {
      this.#findMount = this.#deps.mountFinder();
      this.#tableReadAt = now;
    }
    const { key, point } = this.#findMount(path);
    const mount =
      this.#mounts.get(key) ?? new MountCalls(key, point, { log: this.#deps.log, pool: this.#pool });
    this.#mounts.set(key, mount);
    return mount;
  }
}

/** The calls of one file system. */
class MountCalls {
  readonly key: string;
  readonly point: string;
  readonly log: Log;
  readonly pool: CallPool;
  readonly slots = new Semaphore(MAX_CALLS_PER_MOUNT);
  readonly lanes = new Map<string, CallLane>();
  /** Paths that do not respond. */
  readonly silent = new Set<CallLane>();
  hanging = 0;
  /** Whether a call has returned since the last timeout. */
  responded = false;
  silentSince = 0;
  probeAt = 0;
  /** Whether a probe is running. */
  probing = false;

  constructor(key: string, point: string, { log, pool }: { log: Log; pool: CallPool }) {
    this.key = key;
    this.point = point;
    this.log = log;
    this.pool = pool;
  }
}

/** Kind of a hanging call: a close or an optional call may hang although others return. */
type HangingCall = 'close' | 'optional' | 'other';

/** The calls of one path. */
export class CallLane {
  readonly path: string;
  readonly mount: MountCalls;
  users = 0;
  readonly #slots = new Semaphore(MAX_CALLS_PER_PATH);
  #hanging = 0;
  #hangingCloses = 0;

  constructor(path: string, mount: MountCalls) {
    this.path = path;
    this.mount = mount;
  }

  get hasSpareSlots(): boolean {
    return this.#slots.held < MAX_CALLS_PER_PATH / 2;
  }

  /**
   * Runs a call once a slot is free.
   *
   * @throws FileCallTimeout if calls hang here, except for an occasional probe.
   */
  async tryRun<Value>(call: () => Promise<Value>, options: { signal: AbortSignal }): Promise<Value> {
    const { mount } = this;
    const isSilent = mount.silent.size >= MAX_SILENT_PATHS && !mount.responded;
    if (!isSilent && !mount.silent.has(this)) return await this.run(call, options);
    const now = performance.now();
    if (mount.probing || now < mount.probeAt) throw new FileCallTimeout(now - mount.silentSince);
    mount.probing = true;
    try {
      return await this.run(call, options);
    } finally {
      mount.probing = false;
      mount.probeAt = performance.now() + PROBE_MS;
    }
  }

  /** Like `tryRun`, but also if calls hang. */
  async run<Value>(call: () => Promise<Value>, options: { signal: AbortSignal }): Promise<Value> {
    const { pool, slots } = this.mount;
    const inPool = () => pool.run(this.mount, call, options);
    return await this.#slots.run(() => slots.run(inPool, options), options);
  }

  /**
   * Counts a call as hanging until it returns.
   *
   * @param done Settles when the call returns after all.
   * @param options.since Start of the call, from `performance.now()`.
   */
  reportHanging(done: Promise<unknown>, { since, call }: { since: number; call: HangingCall }): void {
    const { mount } = this;
    if (mount.hanging === 0) {
      mount.silentSince = since;
      mount.log.warn(
        { mount: mount.point, path: this.path, silent_ms: Math.round(performance.now() - since) },
        'file system not responding; file calls time out',
      );
    }
    mount.hanging += 1;
    this.#hanging += 1;
    if (call === 'close') this.#hangingCloses += 1;
    if (call === 'other' || this.#closesHang) this.#markSilent();
    const onReturn = () => {
      mount.hanging -= 1;
      this.#hanging -= 1;
      if (call === 'close') this.#hangingCloses -= 1;
      if (this.#hanging === 0) mount.silent.delete(this);
      if (mount.hanging === 0) mount.log.info({ mount: mount.point }, 'file system responding again');
    };
    done.then(onReturn, onReturn);
  }

  markResponding(): void {
    this.mount.responded = true;
    // While closes hang, other calls may return without the path being usable.
    if (!this.#closesHang) this.mount.silent.delete(this);
  }

  get #closesHang(): boolean {
    return this.#hangingCloses >= MAX_HANGING_CLOSES;
  }

  #markSilent(): void {
    const { mount } = this;
    mount.responded = false;
    mount.probeAt = performance.now() + PROBE_MS;
    mount.silent.add(this);
  }
}
