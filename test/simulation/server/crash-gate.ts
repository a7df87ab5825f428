import { ticks } from '../ticks.ts';

/** Moment of a crash relative to a call's effect. */
type Side = 'before' | 'after';

/**
 * All external effects of a server process pass through here. After a crash no call gets through, and pending calls
 * never return: their callers hang, although the call may have taken effect.
 */
export class CrashGate {
  #isDead = false;
  #inFlight = 0;
  #scheduledKill: { calls: number; readonly side: Side } | undefined;
  readonly #delay: () => number;
  readonly #onDeath: (side: Side | undefined) => void;

  /** @param options.delay In ticks of the event loop, so that concurrent calls return in any order. */
  constructor(options: { delay: () => number; onDeath: (side: Side | undefined) => void }) {
    this.#delay = options.delay;
    this.#onDeath = options.onDeath;
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  /** Calls that will return on their own. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Kills the process at the given write from now, just before or after it. */
  killAtWrite(calls: number, side: Side): void {
    this.#scheduledKill = { calls, side };
  }

  cancelKill(): void {
    this.#scheduledKill = undefined;
  }

  die(side?: Side): void {
    if (this.#isDead) return;
    this.#isDead = true;
    this.#onDeath(side);
  }

  async read<Result>(call: () => Promise<Result>): Promise<Result> {
    return this.#own(call);
  }

  /** Durable when it returns. */
  async write<Result>(call: () => Promise<Result>): Promise<Result> {
    const side = this.#takeKill();
    if (side === 'before') this.die(side);
    return this.#own(async () => {
      const result = await call();
      if (side === 'after') this.die(side);
      return result;
    });
  }

  /** A request to another machine, of unknown duration. */
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
    this.#inFlight += 1;
    try {
      await ticks(this.#delay());
      return await this.request(call);
    } finally {
      this.#inFlight -= 1;
    }
  }

  #takeKill(): Side | undefined {
    if (this.#scheduledKill === undefined) return undefined;
    this.#scheduledKill.calls -= 1;
    if (this.#scheduledKill.calls > 0) return undefined;
    const { side } = this.#scheduledKill;
    this.#scheduledKill = undefined;
    return side;
  }
}

function never<Result>(): Promise<Result> {
  return new Promise<Result>(() => {});
}
