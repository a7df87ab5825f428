import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from './fault.ts';
import type { Journal } from './journal.ts';
import type { Tally } from './tally.ts';

/** Data has to move between two faults; otherwise they count as one outage. */
const LONGEST_PAUSE_MS = 4500;
const MOST_AT_ONCE = 6;

export interface DirectorOptions {
  readonly faults: readonly Fault[];
  readonly random: () => number;
  readonly fired: Tally;
  readonly journal: Journal;
  readonly over: AbortSignal;
}

/** Injects faults, several concurrently, until the soak is over, and then reverts all of them. */
export class FaultDirector {
  readonly #options: DirectorOptions;
  readonly #running = new Map<string, Promise<void>>();
  readonly #mistakes: unknown[] = [];

  constructor(options: DirectorOptions) {
    this.#options = options;
  }

  /** @throws AggregateError if a fault itself failed. */
  async run(): Promise<void> {
    const { random, over } = this.#options;
    while (!over.aborted && this.#mistakes.length === 0) {
      await sleep(random() * LONGEST_PAUSE_MS, undefined, { signal: over }).catch(() => undefined);
      if (over.aborted || this.#running.size >= MOST_AT_ONCE) continue;
      const fault = this.#choose();
      if (fault !== undefined) this.#start(fault);
    }
    await Promise.all(this.#running.values());
    if (this.#mistakes.length > 0) throw new AggregateError(this.#mistakes, 'a fault failed by itself');
  }

  #choose(): Fault | undefined {
    const { faults, random } = this.#options;
    const free = faults.filter(({ target }) => !this.#running.has(target));
    let at = random() * free.reduce((sum, { weight }) => sum + weight, 0);
    return free.find(({ weight }) => (at -= weight) < 0);
  }

  #start({ kind, target, run }: Fault): void {
    const { random, over, fired, journal } = this.#options;
    journal.note(`fault: ${kind} (${target})`);
    const running = run({ random, over })
      .then(
        (count) => {
          if (count > 0) fired.add(kind, count);
          journal.note(`over: ${kind} (${target}), showed ${count} times`);
        },
        (error: unknown) => this.#mistakes.push(error),
      )
      .then(() => {
        this.#running.delete(target);
      });
    this.#running.set(target, running);
  }
}
