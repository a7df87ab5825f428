import type { S3Exchange } from './s3-exchange.ts';
import type { S3Fault } from './s3-fault.ts';

/** Calls to which one rule currently applies a fault, including held ones. */
export class AppliedFaults {
  readonly #running = new Set<Promise<void>>();
  #release = new AbortController();
  readonly #end = new AbortController();

  /** @param tookEffect Called at most once. @throws Error from a test's own hook. */
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

  /** Releases held calls and waits until they have ended. Later calls are held again. */
  async release(): Promise<void> {
    const settled = this.settled();
    this.#release.abort();
    this.#release = new AbortController();
    await settled;
  }

  /** Waits until all faults applied so far have ended. */
  async settled(): Promise<void> {
    await Promise.all(this.#running);
  }

  /** Ends the faults: held calls are dropped or continue without the fault. */
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
