import { Budget } from './budget.ts';

/** What one peer may cost. */
export interface PeerLimits {
  /** Of its frames. */
  readonly bytesPerSecond: number;
  /** Of this thread, for its frames; in milliseconds. */
  readonly cpuMsPerSecond: number;
  /** Frames that cannot be read. */
  readonly refusalsPerMinute: number;
}

/** Enough to say again all about 64 uploads of ten thousand parts, after a reconnect. */
const BURST_SECONDS = 16;
/** A frame that cannot be read counts once more for each of these. */
const REFUSED_BYTES = 64 * 1024;
/** For what follows from a frame that was read: a look into a table, an answer. */
const HANDLING_CPU_MS = 0.05;
/** Up to here asking the system for the time would cost as much as reading the frame. */
const SMALL_FRAME_BYTES = 1024;
/** Rather too much: what is read faster than it is handled has to be held in memory. */
const SMALL_FRAME_CPU_MS = 0.1;

/**
 * What one peer has left to cost. Bytes are paid before a frame is looked at, CPU time after; a peer in debt is not read
 * from until it has waited the debt out. Frames that cannot be read are counted over time, whatever comes between them.
 */
export class PeerBudget {
  readonly #limits: PeerLimits;
  readonly #bytes: Budget;
  readonly #cpu: Budget;
  #refusals: Budget | undefined;
  readonly #clocks: { readonly now?: () => number; readonly cpuMs: () => number };

  /**
   * @param clocks Monotonic, milliseconds: `now` is by default `performance.now`, and `cpuMs` the CPU time of this
   *   thread so far.
   */
  constructor(limits: PeerLimits, clocks: { readonly now?: () => number; readonly cpuMs: () => number }) {
    this.#limits = limits;
    this.#clocks = clocks;
    this.#bytes = this.#budgetOf(limits.bytesPerSecond);
    this.#cpu = this.#budgetOf(limits.cpuMsPerSecond);
  }

  /** Pays for a frame that came. */
  receive(bytes: number): void {
    this.#bytes.spend(bytes);
  }

  /** Reads a frame, and pays for the time. */
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

  /** A frame could not be read. @returns Whether the peer may go on. */
  refuse(bytes: number): boolean {
    const { refusalsPerMinute } = this.#limits;
    this.#refusals ??= new Budget({
      perSecond: refusalsPerMinute / 60,
      burst: refusalsPerMinute,
      now: this.#clocks.now,
    });
    return this.#refusals.spend(1 + Math.floor(bytes / REFUSED_BYTES)) === 0;
  }

  /** For so long the peer is not to be read from; milliseconds. */
  get debtMs(): number {
    return Math.max(this.#bytes.debtMs, this.#cpu.debtMs);
  }

  #budgetOf(perSecond: number): Budget {
    return new Budget({ perSecond, burst: perSecond * BURST_SECONDS, now: this.#clocks.now });
  }
}
