import { BucketError } from '../../../packages/server/src/domain/ports/bucket.ts';
import type { Coverage } from '../coverage.ts';

export type Operation =
  | 'create'
  | 'complete'
  | 'putEmpty'
  | 'listParts'
  | 'listUploads'
  | 'abort'
  | 'head'
  | 'delete'
  | 'ping';

/** Share of slow requests. */
const SLOW_SHARE = 0.3;

/** `before`: the request fails before its effect; `after`: only the response is lost. */
type Fault = 'before' | 'after';

export interface S3Request {
  readonly operation: Operation;
  readonly takeEffect: () => void;
  readonly response: () => void;
  readonly fail: (error: BucketError) => void;
  state: 'sent' | 'refused' | 'done';
}

/** The server's requests in flight to the store and back. */
export class S3Requests {
  /** No request gets through. */
  isDown = false;
  /** Every request waits until it is advanced, not only some. */
  isSlow = false;
  readonly #waiting: S3Request[] = [];
  readonly #faults = new Map<Operation, Fault>();
  readonly #coverage: Coverage;
  readonly #random: () => number;

  constructor(coverage: Coverage, random: () => number) {
    this.#coverage = coverage;
    this.#random = random;
  }

  get waiting(): readonly S3Request[] {
    return this.#waiting;
  }

  /** The next request of this kind. */
  failNext(operation: Operation, fault: Fault): void {
    this.#faults.set(operation, fault);
  }

  async send<Result>(operation: Operation, effect: () => Result): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    let respond = (): void => {};
    const request: S3Request = {
      operation,
      takeEffect: () => {
        try {
          const result = effect();
          request.state = 'done';
          respond = () => resolve(result);
        } catch (error) {
          request.state = 'refused';
          respond = () => reject(error);
        }
      },
      response: () => respond(),
      fail: reject,
      state: 'sent',
    };
    this.#waiting.push(request);
    const fault = this.isDown ? 'before' : this.#faults.get(operation);
    if (fault !== undefined) {
      this.#faults.delete(operation);
      if (fault === 'after') request.takeEffect();
      this.fail(request);
    } else if (!this.isSlow && this.#random() > SLOW_SHARE) {
      this.advance(request);
    }
    return promise;
  }

  /** One step: first the effect, then the response. */
  step(request: S3Request): void {
    if (request.state === 'sent') {
      request.takeEffect();
    } else {
      this.#remove(request);
      request.response();
    }
  }

  advance(request: S3Request): void {
    while (this.#waiting.includes(request)) this.step(request);
  }

  /** The connection breaks. A completed effect stays. */
  fail(request: S3Request): void {
    this.#remove(request);
    this.#coverage.count('store unavailable');
    if (request.state === 'done') {
      if (request.operation === 'create') this.#coverage.count('response to Create lost');
      if (request.operation === 'complete') this.#coverage.count('response to Complete lost, object created');
    }
    request.fail(new BucketError('unavailable', `${request.operation}: no response`));
  }

  #remove(request: S3Request): void {
    const at = this.#waiting.indexOf(request);
    if (at !== -1) this.#waiting.splice(at, 1);
  }
}
