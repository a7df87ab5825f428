import type { Clock } from '../ports/clock.ts';

/** Time that passes only when a test says so, or when something sleeps on it. */
export class FakeClock implements Clock {
  /** What was slept, in milliseconds. */
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

  /** Somebody sets the clock; no time passes. */
  jump(ms: number): void {
    this.#now += ms;
  }

  /** Passes at once, and moves the clock. Rejects when the signal has aborted. */
  readonly sleep = async (ms: number, signal: AbortSignal): Promise<void> => {
    signal.throwIfAborted();
    this.slept.push(ms);
    this.advance(ms);
  };
}
