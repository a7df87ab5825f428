import { EffectCount } from '../effect-count.ts';
import { AppliedFaults } from './applied-faults.ts';
import { type S3Call, isTrial } from './s3-call.ts';
import type { S3Exchange } from './s3-exchange.ts';
import type { S3Fault } from './s3-fault.ts';
import type { S3Operation } from './s3-operation-of.ts';

const DEADLINE_MS = 30_000;

/** Which calls a rule is for. */
export interface CallFilter {
  /** By default any. */
  readonly operation?: S3Operation | undefined;
  /** Of the calls of that operation, those that this holds for: by key, part number or method. */
  readonly matching?: ((call: S3Call) => boolean) | undefined;
  /** Also those by which the server tries out the store, at its start and when asked to; by default not. */
  readonly trials?: boolean | undefined;
}

export interface FaultRuleOptions extends CallFilter {
  /** How many calls; by default 1. `Infinity` until it is removed. */
  readonly times?: number;
  /** Calls that pass before, by default 0. */
  readonly skip?: number;
  readonly fault: S3Fault;
}

export function isCallOf({ operation, matching, trials = false }: CallFilter, call: S3Call): boolean {
  if (isTrial(call) && !trials) return false;
  return (operation === undefined || operation === call.operation) && (matching?.(call) ?? true);
}

/** “The next N calls of X do Y”, and how often that has come true. */
export class FaultRule {
  /** Of the calls it was used for. */
  readonly calls: S3Call[] = [];
  readonly #options: FaultRuleOptions;
  readonly #fired = new EffectCount();
  readonly #applied = new AppliedFaults();
  #toSkip: number;
  #removed = false;

  constructor(options: FaultRuleOptions) {
    this.#options = options;
    this.#toSkip = options.skip ?? 0;
  }

  /** Calls in which the fault showed. One that its client gave up before is not among them. */
  get firedCount(): number {
    return this.#fired.count;
  }

  /** Whether it fired as often as it was told to; once for one without a limit. */
  get isDone(): boolean {
    const { times = 1 } = this.#options;
    return this.firedCount >= (times === Infinity ? 1 : times);
  }

  /**
   * Resolves once it has fired.
   *
   * @param options.times How often it must have; by default once.
   * @throws Error that names the rule.
   */
  async fired(options: { times?: number; deadlineMs?: number } = {}): Promise<void> {
    const { times = 1, deadlineMs = DEADLINE_MS } = options;
    await this.#fired.reached(times, { deadlineMs, describe: () => `${this.describe()} did not fire` });
  }

  /** Lets go of what it holds, and waits until that has been done; what comes later is held anew. */
  async release(): Promise<void> {
    await this.#applied.release();
  }

  /** Waits until the calls that it has taken so far have ended. */
  async settled(): Promise<void> {
    await this.#applied.settled();
  }

  /** Takes no further call, and lets go of what it holds as if there had been no fault. */
  remove(): void {
    this.#removed = true;
    this.#applied.end();
  }

  /** Takes the call if it is one of those it waits for. */
  takes(call: S3Call): boolean {
    const { times = 1 } = this.#options;
    if (this.#removed || this.calls.length >= times || !isCallOf(this.#options, call)) return false;
    if (this.#toSkip > 0) {
      this.#toSkip--;
      return false;
    }
    this.calls.push(call);
    call.fault = this.#options.fault.kind;
    return true;
  }

  async apply(exchange: S3Exchange): Promise<void> {
    await this.#applied.apply(this.#options.fault, exchange, () => this.#fired.add());
  }

  describe(): string {
    const { fault, operation = 'any operation', matching, times = 1 } = this.#options;
    const some = matching === undefined ? '' : ' that match';
    return `the fault "${fault.kind}" on ${operation}${some} (${times} wanted, ${this.calls.length} calls taken, ${this.firedCount} fired)`;
  }
}
