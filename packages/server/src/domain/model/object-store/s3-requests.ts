import { BucketError } from '../../ports/bucket.ts';
import type { Tally } from '../tally.ts';

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

/** Of requests that take their time. */
const SLOW_SHARE = 0.3;

/** `before` its effect the request fails; `after` it only the answer is lost. */
type Fault = 'before' | 'after';

export interface S3Request {
  readonly operation: Operation;
  readonly carryOut: () => void;
  readonly answer: () => void;
  readonly fail: (error: BucketError) => void;
  state: 'sent' | 'refused' | 'done';
}

/** The server's requests on their way to the store and back. */
export class S3Requests {
  /** Nothing gets through. */
  isDown = false;
  /** Every request waits until it is moved on, not only some. */
  isSlow = false;
  readonly #waiting: S3Request[] = [];
  readonly #faults = new Map<Operation, Fault>();
  readonly #tally: Tally;
  readonly #random: () => number;

  constructor(tally: Tally, random: () => number) {
    this.#tally = tally;
    this.#random = random;
  }

  get waiting(): readonly S3Request[] {
    return this.#waiting;
  }

  /** The next such request. */
  failNext(operation: Operation, fault: Fault): void {
    this.#faults.set(operation, fault);
  }

  async send<Result>(operation: Operation, effect: () => Result): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    let settle = (): void => {};
    const request: S3Request = {
      operation,
      carryOut: () => {
        try {
          const result = effect();
          request.state = 'done';
          settle = () => resolve(result);
        } catch (error) {
          request.state = 'refused';
          settle = () => reject(error);
        }
      },
      answer: () => settle(),
      fail: reject,
      state: 'sent',
    };
    this.#waiting.push(request);
    const fault = this.isDown ? 'before' : this.#faults.get(operation);
    if (fault !== undefined) {
      this.#faults.delete(operation);
      if (fault === 'after') request.carryOut();
      this.fail(request);
    } else if (!this.isSlow && this.#random() > SLOW_SHARE) {
      this.moveOn(request);
    }
    return promise;
  }

  /** A step: first the effect, then the answer. */
  step(request: S3Request): void {
    if (request.state === 'sent') {
      request.carryOut();
    } else {
      this.#remove(request);
      request.answer();
    }
  }

  moveOn(request: S3Request): void {
    while (this.#waiting.includes(request)) this.step(request);
  }

  /** The line breaks. What was carried out by then is. */
  fail(request: S3Request): void {
    this.#remove(request);
    this.#tally.count('store unavailable');
    if (request.state === 'done') {
      if (request.operation === 'create') this.#tally.count('answer to Create lost');
      if (request.operation === 'complete') this.#tally.count('answer to Complete lost, the object there');
    }
    request.fail(new BucketError('unavailable', `${request.operation}: no answer`));
  }

  #remove(request: S3Request): void {
    const at = this.#waiting.indexOf(request);
    if (at !== -1) this.#waiting.splice(at, 1);
  }
}
