interface BudgetOptions {
  /** Refill rate, in the unit of the resource: bytes, messages, milliseconds of CPU. */
  readonly perSecond: number;
  /** Maximum balance, and the initial balance. */
  readonly burst: number;
  /** Monotonic clock in milliseconds. */
  readonly now?: (() => number) | undefined;
}

/**
 * Limits how much of a resource a peer may use: a token bucket that can go into debt.
 *
 * `tryTake` fails if the balance is too low. `spend` is for costs that are known only afterwards or cannot be refused:
 * the caller then waits until the debt is paid off before it serves that peer again.
 */
export class Budget {
  readonly #options: BudgetOptions;
  #balance: number;
  #at: number;

  constructor(options: BudgetOptions) {
    this.#options = options;
    this.#balance = options.burst;
    this.#at = nowOf(options);
  }

  /** @returns Milliseconds until the debt is paid off; 0 if there is none. */
  spend(amount: number): number {
    this.#refill();
    this.#balance -= amount;
    return this.#debtMs();
  }

  /** Spends the amount only if the balance is sufficient. @returns Whether it was spent. */
  tryTake(amount = 1): boolean {
    this.#refill();
    if (this.#balance < amount) return false;
    this.#balance -= amount;
    return true;
  }

  /** Milliseconds until the debt is paid off; 0 if there is none. */
  get debtMs(): number {
    // A refill cannot create a debt.
    if (this.#balance >= 0) return 0;
    this.#refill();
    return this.#debtMs();
  }

  #debtMs(): number {
    return this.#balance >= 0 ? 0 : Math.ceil((-this.#balance * 1000) / this.#options.perSecond);
  }

  #refill(): void {
    const now = nowOf(this.#options);
    const { perSecond, burst } = this.#options;
    this.#balance = Math.min(burst, this.#balance + ((now - this.#at) * perSecond) / 1000);
    this.#at = now;
  }
}

function nowOf({ now }: BudgetOptions): number {
  return now === undefined ? performance.now() : now();
}

/** Limits of the resources that one peer may use. */
export interface PeerLimits {
  /** Bytes of its frames. */
  readonly bytesPerSecond: number;
  /** CPU time of this thread for its frames, in milliseconds. */
  readonly cpuMsPerSecond: number;
  /** Frames that are refused. */
  readonly refusalsPerMinute: number;
}

/** Enough to resend the state of 64 uploads of ten thousand parts after a reconnect. */
const BURST_SECONDS = 16;
/** A refused frame counts once more for each of these bytes. */
const REFUSED_BYTES = 64 * 1024;
/** Estimated CPU time for handling a frame: a database lookup, a response. */
const HANDLING_CPU_MS = 0.05;
/** For frames up to this size, measuring the time would cost as much as decoding the frame. */
const SMALL_FRAME_BYTES = 1024;
/** Deliberately high: frames that are decoded faster than they are handled use memory. */
const SMALL_FRAME_CPU_MS = 0.1;

/**
 * Tracks the resources that one peer uses. Bytes are spent before a frame is decoded, CPU time afterwards; reading from a
 * peer in debt pauses until the debt is paid off. Refused frames are counted over time, regardless of valid frames in
 * between.
 */
export class PeerBudget {
  readonly #limits: PeerLimits;
  readonly #bytes: Budget;
  readonly #cpu: Budget;
  #refusals: Budget | undefined;
  readonly #clocks: { readonly now?: () => number; readonly cpuMs: () => number };

  /**
   * @param clocks Monotonic clocks in milliseconds: `now` defaults to `performance.now`, `cpuMs` is the CPU time of this
   *   thread.
   */
  constructor(limits: PeerLimits, clocks: { readonly now?: () => number; readonly cpuMs: () => number }) {
    this.#limits = limits;
    this.#clocks = clocks;
    this.#bytes = this.#budgetOf(limits.bytesPerSecond);
    this.#cpu = this.#budgetOf(limits.cpuMsPerSecond);
  }

  /** Spends the bytes of a received frame. */
  receive(bytes: number): void {
    this.#bytes.spend(bytes);
  }

  /** Decodes a frame with `task` and spends the CPU time. */
  read<Result>(bytes: number, task: () => Result): Result {
    if (bytes <= SMALL_FRAME_BYTES) {
      this.#cpu.spend(SMALL_FRAME_CPU_MS + HANDLING_CPU_MS);
      return task();
    }
    const before = this.#clocks.cpuMs();
    try {
      return task();
    } finally {
      this.#cpu.spend(this.#clocks.cpuMs() - before + HANDLING_CPU_MS);
    }
  }

  /** Counts a refused frame. @returns Whether the peer is still within its limit. */
  refuse(bytes: number): boolean {
    const { refusalsPerMinute } = this.#limits;
    this.#refusals ??= new Budget({
      perSecond: refusalsPerMinute / 60,
      burst: refusalsPerMinute,
      now: this.#clocks.now,
    });
    return this.#refusals.spend(1 + Math.floor(bytes / REFUSED_BYTES)) === 0;
  }

  /** Time during which the peer must not be read from, in milliseconds. */
  get debtMs(): number {
    return Math.max(this.#bytes.debtMs, this.#cpu.debtMs);
  }

  #budgetOf(perSecond: number): Budget {
    return new Budget({ perSecond, burst: perSecond * BURST_SECONDS, now: this.#clocks.now });
  }
}
