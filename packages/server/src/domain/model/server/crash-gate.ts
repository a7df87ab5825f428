import { turns } from '../turns.ts';

/** Where in its way through the gate a call may be when the process dies. */
type Side = 'before' | 'after';

/**
 * All that a server's process does to the outside goes through here. When the process dies, no call gets through any
 * more, and none that is under way ever comes back: what waits for it is gone, though it may have had its effect.
 */
export class CrashGate {
  #isDead = false;
  #underWay = 0;
  #fuse: { calls: number; readonly side: Side } | undefined;
  readonly #delay: () => number;
  readonly #onDeath: (side: Side | undefined) => void;

  /** @param options.delay In turns of the event loop, so that what runs side by side comes in any order. */
  constructor(options: { delay: () => number; onDeath: (side: Side | undefined) => void }) {
    this.#delay = options.delay;
    this.#onDeath = options.onDeath;
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  /** Calls that will come back without anybody's help. */
  get underWay(): number {
    return this.#underWay;
  }

  /** The process dies at the so-many-th write from now, just before or after it. */
  light(calls: number, side: Side): void {
    this.#fuse = { calls, side };
  }

  unlight(): void {
    this.#fuse = undefined;
  }

  die(side?: Side): void {
    if (this.#isDead) return;
    this.#isDead = true;
    this.#onDeath(side);
  }

  async read<Result>(call: () => Promise<Result>): Promise<Result> {
    return this.#own(call);
  }

  /** Durable when it comes back. */
  async write<Result>(call: () => Promise<Result>): Promise<Result> {
    const side = this.#burn();
    if (side === 'before') this.die(side);
    return this.#own(async () => {
      const result = await call();
      if (side === 'after') this.die(side);
      return result;
    });
  }

  /** To another machine, which takes as long as it takes. */
  async request<Result>(call: () => Promise<Result>): Promise<Result> {
    if (this.#isDead) return never();
    try {
      const result = await call();
      return this.#isDead ? await never<Result>() : result;
    } catch (error) {
      if (this.#isDead) return await never();
      throw error;
    }
  }

  async #own<Result>(call: () => Promise<Result>): Promise<Result> {
    this.#underWay += 1;
    try {
      await turns(this.#delay());
      return await this.request(call);
    } finally {
      this.#underWay -= 1;
    }
  }

  #burn(): Side | undefined {
    if (this.#fuse === undefined) return undefined;
    this.#fuse.calls -= 1;
    if (this.#fuse.calls > 0) return undefined;
    const { side } = this.#fuse;
    this.#fuse = undefined;
    return side;
  }
}

function never<Result>(): Promise<Result> {
  return new Promise<Result>(() => {});
}
