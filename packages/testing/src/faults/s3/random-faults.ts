import { AppliedFaults } from './applied-faults.ts';
import { type S3Call, isTrial } from './s3-call.ts';
import type { S3Exchange } from './s3-exchange.ts';
import type { S3Fault } from './s3-fault.ts';
import { transientFault } from './transient-fault.ts';

export interface RandomFaultOptions {
  /** From 0 to 1 like `Math.random`; see `seededRandom`. */
  readonly random: () => number;
  /** Of each call to be hit, from 0 to 1. */
  readonly probability: number;
  /** What happens to a call that is hit; undefined spares it. By default {@link transientFault}. */
  readonly pick?: (call: S3Call, random: () => number) => S3Fault | undefined;
}

/** Hits calls at random, but those by which the server tries out the store at its start, and counts what showed. */
export class RandomFaults {
  /** By kind, then by operation: how often it showed. */
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

  /** Hits no further call, and lets go of what it holds as if there had been no fault. */
  stop(): void {
    this.#stopped = true;
    this.#applied.end();
  }

  /** The fault that hits this call, if one does. */
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

  /** The table as lines of text. */
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
