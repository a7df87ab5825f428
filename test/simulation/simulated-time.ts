import { mock } from 'node:test';
import { FakeClock } from '../doubles/fake-clock.ts';

/** The time of the whole simulation including timers; advances only in {@link pass}. */
export class SimulatedTime implements Disposable {
  readonly clock = new FakeClock();

  constructor() {
    mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  }

  pass(ms: number): void {
    this.clock.advance(ms);
    mock.timers.tick(ms);
  }

  /** Rejects when the signal aborts. */
  readonly sleep = async (ms: number, signal: AbortSignal): Promise<void> => {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    });
    return promise;
  };

  [Symbol.dispose](): void {
    mock.timers.reset();
  }
}
