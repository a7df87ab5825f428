import type { Clock } from '../../packages/server/src/domain/ports/clock.ts';

/** Time that passes only when a test advances it or something sleeps on it. */
export class FakeClock implements Clock {
  /** Durations slept, in milliseconds. */
  readonly slept: number[] = [];
  #now = Date.UTC(2025, 10, 1);
  #elapsed = 5000;

  now(): number {
    return this.#now;
  }

  elapsed(): number {
    return this.#elapsed;
  }

  advance(ms: number): void {
    this.#now += ms;
    this.#elapsed += ms;
  }

  /** Sets the clock without time passing. */
  jump(ms: number): void {
    this.#now += ms;
  }

  /** Passes immediately and advances the clock. Rejects when the signal has aborted. */
  readonly sleep = async (ms: number, signal: AbortSignal): Promise<void> => {
    signal.throwIfAborted();
    this.slept.push(ms);
    this.advance(ms);
  };
}
