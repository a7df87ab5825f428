import { EffectCount } from '../effect-count.ts';
import { AppliedFaults } from './applied-faults.ts';
import { type S3Call, isTrial } from './s3-call.ts';
import type { S3Exchange } from './s3-exchange.ts';
import type { S3Fault } from './s3-fault.ts';
import type { S3Operation } from './s3-operation-of.ts';

const DEADLINE_MS = 30_000;

/** Selects the calls of a rule. */
export interface CallFilter {
  /** Any operation by default. */
  readonly operation?: S3Operation | undefined;
  /** Selects among the calls of that operation, e.g. by key, part number or method. */
  readonly matching?: ((call: S3Call) => boolean) | undefined;
  /** Includes the server's capability probes, at startup and on request; by default false. */
  readonly trials?: boolean | undefined;
}

export interface FaultRuleOptions extends CallFilter {
  /** Number of calls, by default 1; `Infinity` means until the rule is removed. */
  readonly times?: number;
  /** Number of matching calls to skip first, by default 0. */
  readonly skip?: number;
  readonly fault: S3Fault;
}

export function isCallOf({ operation, matching, trials = false }: CallFilter, call: S3Call): boolean {
  if (isTrial(call) && !trials) return false;
  return (operation === undefined || operation === call.operation) && (matching?.(call) ?? true);
}

/** A rule “the next N calls of X do Y”, and a count of how often it fired. */
export class FaultRule {
  /** Calls that the rule has taken. */
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

  /** Number of calls in which the fault took effect before the client cancelled. */
  get firedCount(): number {
    return this.#fired.count;
  }

  /** Whether the rule fired `times` times, or once if it has no limit. */
  get isDone(): boolean {
    const { times = 1 } = this.#options;
    return this.firedCount >= (times === Infinity ? 1 : times);
  }

  /**
   * Resolves once the rule has fired.
   *
   * @param options.times Required number of times, by default 1.
   * @throws Error that names the rule.
   */
  async fired(options: { times?: number; deadlineMs?: number } = {}): Promise<void> {
    const { times = 1, deadlineMs = DEADLINE_MS } = options;
    await this.#fired.reached(times, { deadlineMs, describe: () => `${this.describe()} did not fire` });
  }

  /** Releases held calls and waits until they have ended; later calls are held again. */
  async release(): Promise<void> {
    await this.#applied.release();
  }

  /** Waits until the calls taken so far have ended. */
  async settled(): Promise<void> {
    await this.#applied.settled();
  }

  /** Takes no further calls and releases held ones as if there had been no fault. */
  remove(): void {
    this.#removed = true;
    this.#applied.end();
  }

  /** Takes the call if it matches. */
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
