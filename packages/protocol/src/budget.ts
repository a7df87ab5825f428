export interface BudgetOptions {
  /** Refill rate, in the unit of the resource: bytes, messages, milliseconds of CPU. */
  readonly perSecond: number;
  /** Maximum balance, and the initial balance. */
  readonly burst: number;
  /** Monotonic clock in milliseconds. */
  readonly now?: (() => number) | undefined;
}

/**
 * Limits how much of a resource a peer may use: a token bucket that can go into debt.
 *
 * `tryTake` fails if the balance is too low. `spend` is for costs that are known only afterwards or cannot be refused:
 * the caller then waits until the debt is paid off before it serves that peer again.
 */
export class Budget {
  readonly #options: BudgetOptions;
  #balance: number;
  #at: number;

  constructor(options: BudgetOptions) {
    this.#options = options;
    this.#balance = options.burst;
    this.#at = nowOf(options);
  }

  /** @returns Milliseconds until the debt is paid off; 0 if there is none. */
  spend(amount: number): number {
    this.#refill();
    this.#balance -= amount;
    return this.#debtMs();
  }

  /** Spends the amount only if the balance is sufficient. @returns Whether it was spent. */
  tryTake(amount = 1): boolean {
    this.#refill();
    if (this.#balance < amount) return false;
    this.#balance -= amount;
    return true;
  }

  /** Milliseconds until the debt is paid off; 0 if there is none. */
  get debtMs(): number {
    // A refill cannot create a debt.
    if (this.#balance >= 0) return 0;
    this.#refill();
    return this.#debtMs();
  }

  #debtMs(): number {
    return this.#balance >= 0 ? 0 : Math.ceil((-this.#balance * 1000) / this.#options.perSecond);
  }

  #refill(): void {
    const now = nowOf(this.#options);
    const { perSecond, burst } = this.#options;
    this.#balance = Math.min(burst, this.#balance + ((now - this.#at) * perSecond) / 1000);
    this.#at = now;
  }
}

function nowOf({ now }: BudgetOptions): number {
  return now === undefined ? performance.now() : now();
}
