import type { S3Exchange } from './s3-exchange.ts';
import type { S3Fault } from './s3-fault.ts';

/** The calls that one rule is doing something to, and what it holds of them. */
export class AppliedFaults {
  readonly #running = new Set<Promise<void>>();
  #release = new AbortController();
  readonly #end = new AbortController();

  /** @param tookEffect Called once at most. @throws Error of a test's own hook. */
  async apply(fault: S3Fault, exchange: S3Exchange, tookEffect: () => void): Promise<void> {
    let counted = false;
    const running = fault.apply(exchange, {
      tookEffect: () => {
        if (!counted) tookEffect();
        counted = true;
      },
      released: (unless) => this.#released(unless),
    });
    const settled = running.catch(() => undefined).finally(() => this.#running.delete(settled));
    this.#running.add(settled);
    await running;
  }

  /** Lets go of what is held, and waits until it has been done. What comes later is held anew. */
  async release(): Promise<void> {
    const settled = this.settled();
    this.#release.abort();
    this.#release = new AbortController();
    await settled;
  }

  /** Waits until nothing is being done to any call that is under way now. */
  async settled(): Promise<void> {
    await Promise.all(this.#running);
  }

  /** What is held is not done any more, or goes on without the fault. */
  end(): void {
    this.#end.abort();
  }

  async #released(unless?: AbortSignal): Promise<boolean> {
    const release = this.#release.signal;
    const signals = [release, this.#end.signal, ...(unless === undefined ? [] : [unless])];
    const any = AbortSignal.any(signals);
    if (!any.aborted) {
      await new Promise<void>((resolve) => {
        any.addEventListener('abort', () => resolve(), { once: true });
      });
    }
    return release.aborted;
  }
}
