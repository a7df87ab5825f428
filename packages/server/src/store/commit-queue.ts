import { setTimeout as sleep } from 'node:timers/promises';
import { type CompiledQuery, type Kysely, type Transaction, sql } from 'kysely';
import { isBusy } from './sqlite-dialect.ts';

/** How long a write waits for another writing program; a backup only reads and never causes waits. */
const DEFAULT_TIMEOUT_MS = 1000;
/** Retried by the queue, because SQLite's own waiting would block the event loop. */
const RETRY_MS = 10;

type Write<Database> = (transaction: Transaction<Database>) => Promise<unknown>;

interface Queued<Task> {
  readonly task: Task;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** By the monotonic clock. */
  readonly queuedAt: number;
}

/**
 * Combines all writes of one turn of the event loop into one transaction: SQLite commits with an fsync that blocks
 * the loop, so ten thousand triggers must not cost ten thousand of them. A write resolves once its transaction is on
 * disk. A failing write rolls back only itself (savepoint); if the commit fails, all of them fail.
 *
 * While another program holds the write lock, reads continue and writes wait; writes that have waited too long fail.
 *
 * There is one connection, so reads run between transactions: inside one they would see uncommitted data.
 */
export class CommitQueue<Database> {
  readonly #db: Kysely<Database>;
  readonly #timeoutMs: number;
  readonly #beforeCommit: () => void;
  readonly #savepoint: Readonly<Record<'set' | 'rollback' | 'release', CompiledQuery>>;
  #writes: Queued<Write<Database>>[] = [];
  #reads: Queued<() => Promise<unknown>>[] = [];
  #pumping: Promise<void> | undefined;

  /** @param options.beforeCommit Throws if nothing may be committed now. */
  constructor(db: Kysely<Database>, options: { timeoutMs?: number; beforeCommit?: () => void } = {}) {
    this.#db = db;
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#beforeCommit = options.beforeCommit ?? (() => {});
    // Compiled once: each write needs two of them.
    this.#savepoint = {
      set: sql`savepoint write_task`.compile(db),
      rollback: sql`rollback to write_task`.compile(db),
      release: sql`release write_task`.compile(db),
    };
  }

  write<Result>(task: (transaction: Transaction<Database>) => Promise<Result>): Promise<Result> {
    return this.#enqueue(this.#writes, task);
  }

  read<Result>(task: (db: Kysely<Database>) => Promise<Result>): Promise<Result> {
    return this.#enqueue(this.#reads, () => task(this.#db));
  }

  /** Resolves when nothing is running any more. */
  async idle(): Promise<void> {
    while (this.#pumping !== undefined) await this.#pumping;
  }

  #enqueue<Task, Result>(queue: Queued<Task>[], task: Task): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    const queuedAt = performance.now();
    queue.push({ task, resolve: resolve as (value: unknown) => void, reject, queuedAt });
    this.#pumping ??= this.#pump();
    return promise;
  }

  async #pump(): Promise<void> {
    while (this.#writes.length > 0 || this.#reads.length > 0) {
      // Lets the rest of this turn's tasks join.
      if (this.#writes.length > 0) await new Promise((resolve) => setImmediate(resolve));
      const writes = this.#writes;
      const reads = this.#reads;
      this.#writes = [];
      this.#reads = [];
      const isLocked = writes.length > 0 && !(await this.#commit(writes));
      for (const { task, resolve, reject } of reads) await task().then(resolve, reject);
      if (isLocked) await sleep(RETRY_MS * (0.5 + Math.random()));
    }
    // In the same turn as the loop's last check; otherwise a task that arrives in between would wait for the next
    // one.
    this.#pumping = undefined;
  }

  /** @returns false if another program holds the write lock; nothing was written then. */
  async #commit(writes: readonly Queued<Write<Database>>[]): Promise<boolean> {
    const settlements: (() => void)[] = [];
    try {
      const transaction = await this.#db.startTransaction().execute();
      try {
        for (const write of writes) settlements.push(await this.#attempt(transaction, write));
        this.#beforeCommit();
        await transaction.commit().execute();
      } catch (error) {
        // If the disk is full, SQLite has already rolled back and refuses to do it again. The first error has the
        // reason.
        await transaction
          .rollback()
          .execute()
          .catch(() => undefined);
        throw error;
      }
    } catch (error) {
      if (isBusy(error)) {
        this.#postpone(writes, error);
        return false;
      }
      for (const { reject } of writes) reject(error);
      return true;
    }
    for (const settle of settlements) settle();
    return true;
  }

  /** Returns the writes to the head of the queue, except those that have waited long enough. */
  #postpone(writes: readonly Queued<Write<Database>>[], error: unknown): void {
    const now = performance.now();
    const hasTime = ({ queuedAt }: Queued<Write<Database>>) => now - queuedAt < this.#timeoutMs;
    for (const write of writes) if (!hasTime(write)) write.reject(error);
    this.#writes = [...writes.filter(hasTime), ...this.#writes];
  }

  /**
   * Runs one write, and rolls back only this write if it fails. @returns a function that settles the caller's
   * promise, to be called after the commit.
   */
  async #attempt(
    transaction: Transaction<Database>,
    { task, resolve, reject }: Queued<Write<Database>>,
  ): Promise<() => void> {
    await transaction.executeQuery(this.#savepoint.set);
    let settlement: () => void;
    try {
      const result = await task(transaction);
      settlement = () => resolve(result);
    } catch (error) {
      await transaction.executeQuery(this.#savepoint.rollback).catch(() => {
        // The savepoint no longer exists, because the whole transaction was rolled back.
        throw error;
      });
      settlement = () => reject(error);
    }
    await transaction.executeQuery(this.#savepoint.release);
    return settlement;
  }
}
