import { setTimeout as sleep } from 'node:timers/promises';
import { type CompiledQuery, type Kysely, type Transaction, sql } from 'kysely';
import { isBusy } from './sqlite-error.ts';

/** How long a write waits for another program that writes; a backup only reads and never makes it wait. */
const DEFAULT_PATIENCE_MS = 1000;
/** Asked again by the queue, because SQLite's own waiting would block the event loop. */
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
 * Puts everything that wants to write in the same turn of the event loop into one transaction: SQLite commits
 * with an fsync that blocks the loop, so ten thousand triggers must not cost ten thousand of them. A write
 * resolves once its transaction is on disk. One that fails takes only itself back (savepoint); if the commit
 * fails, all of them do.
 *
 * While another program holds the write lock, reads go on and writes wait; those that have waited too long fail.
 *
 * There is one connection, so reads run between transactions: inside one they would see what is not yet durable.
 */
export class CommitQueue<Database> {
  readonly #db: Kysely<Database>;
  readonly #patienceMs: number;
  readonly #beforeCommit: () => void;
  readonly #savepoint: Readonly<Record<'set' | 'rollback' | 'release', CompiledQuery>>;
  #writes: Queued<Write<Database>>[] = [];
  #reads: Queued<() => Promise<unknown>>[] = [];
  #pumping: Promise<void> | undefined;

  /** @param options.beforeCommit Throws if nothing may be committed now. */
  constructor(db: Kysely<Database>, options: { patienceMs?: number; beforeCommit?: () => void } = {}) {
    this.#db = db;
    this.#patienceMs = options.patienceMs ?? DEFAULT_PATIENCE_MS;
    this.#beforeCommit = options.beforeCommit ?? (() => {});
    // Compiled once: two of them go with each write.
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

  /** Resolves when nothing is under way any more. */
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
    // In the same turn as the loop's last look, or a task that comes in between would wait for the next.
    this.#pumping = undefined;
  }

  /** @returns false if another program holds the write lock; then nothing was written. */
  async #commit(writes: readonly Queued<Write<Database>>[]): Promise<boolean> {
    const settlements: (() => void)[] = [];
    try {
      const transaction = await this.#db.startTransaction().execute();
      try {
        for (const write of writes) settlements.push(await this.#attempt(transaction, write));
        this.#beforeCommit();
        await transaction.commit().execute();
      } catch (error) {
        // When the disk is full SQLite has rolled back already, and refuses to do it again. What says why is the
        // first error.
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

  /** To the queue's head again, but for those that have waited long enough. */
  #postpone(writes: readonly Queued<Write<Database>>[], error: unknown): void {
    const now = performance.now();
    const isPatient = ({ queuedAt }: Queued<Write<Database>>) => now - queuedAt < this.#patienceMs;
    for (const write of writes) if (!isPatient(write)) write.reject(error);
    this.#writes = [...writes.filter(isPatient), ...this.#writes];
  }

  /** Runs one write, and takes it back alone if it fails. @returns what tells its caller, once all are committed. */
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
        // The savepoint is gone, because the whole transaction was rolled back.
        throw error;
      });
      settlement = () => reject(error);
    }
    await transaction.executeQuery(this.#savepoint.release);
    return settlement;
  }
}
