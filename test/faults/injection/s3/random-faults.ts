import { AppliedFaults } from './applied-faults.ts';
import { type S3Call, isTrial } from './s3-call.ts';
import type { S3Exchange } from './s3-exchange.ts';
import type { S3Fault } from './s3-fault.ts';
import { transientFault } from './transient-fault.ts';

export interface RandomFaultOptions {
  /** Returns numbers from 0 to 1 like `Math.random`; see `seededRandom`. */
  readonly random: () => number;
  /** Probability of a fault in each call, from 0 to 1. */
  readonly probability: number;
  /** Returns the fault of a call; undefined means none. By default {@link transientFault}. */
  readonly pick?: (call: S3Call, random: () => number) => S3Fault | undefined;
}

/** Injects faults into random calls, except the server's capability probes, and counts their effects. */
export class RandomFaults {
  /** Number of faults that took effect, by kind and operation. */
  readonly table = new Map<string, Map<string, number>>();
  readonly #options: RandomFaultOptions;
  readonly #applied = new AppliedFaults();
  #stopped = false;

  constructor(options: RandomFaultOptions) {
    this.#options = options;
  }

  get firedCount(): number {
    return [...this.table.values()]
      .flatMap((row) => [...row.values()])
      .reduce((sum, count) => sum + count, 0);
  }

  /** Injects no further faults and releases held calls as if there had been no fault. */
  stop(): void {
    this.#stopped = true;
    this.#applied.end();
  }

  /** Returns the fault for this call, if any. */
  choose(call: S3Call): S3Fault | undefined {
    const { random, probability, pick = transientFault } = this.#options;
    if (this.#stopped || isTrial(call) || random() >= probability) return undefined;
    const fault = pick(call, random);
    if (fault !== undefined) call.fault = fault.kind;
    return fault;
  }

  async apply(fault: S3Fault, exchange: S3Exchange): Promise<void> {
    await this.#applied.apply(fault, exchange, () => this.#count(fault.kind, exchange.call.operation));
  }

  /** Returns the table as lines of text. */
  report(): string {
    const lines = [...this.table].map(([kind, row]) => {
      const counts = [...row]
        .sort(([a], [b]) => a.localeCompare(b))
        .map(([name, count]) => `${name} ${count}`);
      return `${kind}: ${counts.join(', ')}`;
    });
    return lines.sort().join('\n');
  }

  #count(kind: string, operation: string): void {
    const row = this.table.get(kind) ?? new Map<string, number>();
    row.set(operation, (row.get(operation) ?? 0) + 1);
    this.table.set(kind, row);
  }
}
