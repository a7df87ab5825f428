import { type CallFilter, isCallOf } from './fault-rule.ts';
import type { S3Call } from './s3-call.ts';
import type { S3Subject } from './s3-operation-of.ts';

const DEADLINE_MS = 30_000;

/** Log of all calls. */
export class CallLog {
  readonly calls: S3Call[] = [];
  readonly #waiting = new Set<(call: S3Call) => void>();

  begin(method: string, subject: S3Subject): S3Call {
    const call: S3Call = {
      ...subject,
      method,
      startedAtMs: Date.now(),
      endedAtMs: null,
      requestBytes: 0,
      storeStatus: null,
      status: null,
      fault: null,
    };
    this.calls.push(call);
    return call;
  }

  end(call: S3Call): void {
    call.endedAtMs = Date.now();
    for (const waiter of this.#waiting) waiter(call);
  }

  /**
   * Waits for the first matching call that has ended, past or future.
   *
   * @throws Error if there is none within `deadlineMs`, by default 30 s.
   */
  async ended(
    filter: CallFilter,
    { deadlineMs = DEADLINE_MS }: { deadlineMs?: number } = {},
  ): Promise<S3Call> {
    const { promise, resolve, reject } = Promise.withResolvers<S3Call>();
    const waiter = (call: S3Call): void => {
      if (call.endedAtMs !== null && isCallOf(filter, call)) resolve(call);
    };
    const what = `${filter.operation ?? 'call'}${filter.matching === undefined ? '' : ' that matches'}`;
    const fail = (): void => reject(new Error(`no ${what} ended within ${deadlineMs} ms`));
    const timer = setTimeout(fail, deadlineMs);
    this.#waiting.add(waiter);
    for (const call of this.calls) waiter(call);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(waiter);
    }
  }
}
