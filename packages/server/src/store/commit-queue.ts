import { type Kysely, type Transaction, sql } from 'kysely';

type Write<Database> = (transaction: Transaction<Database>) => Promise<unknown>;

interface Queued<Task> {
  readonly task: Task;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Puts everything that wants to write in the same turn of the event loop into one transaction: SQLite commits
 * with an fsync that blocks the loop, so ten thousand triggers must not cost ten thousand of them. A write
 * resolves once its transaction is on disk. One that fails takes only itself back (savepoint); if the commit
 * fails, all of them do.
 *
 * There is one connection, so reads run between transactions: inside one they would see what is not yet durable.
 */
export class CommitQueue<Database> {
  readonly #db: Kysely<Database>;
  #writes: Queued<Write<Database>>[] = [];
  #reads: Queued<() => Promise<unknown>>[] = [];
  #pumping: Promise<void> | undefined;

  constructor(db: Kysely<Database>) {
    this.#db = db;
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
    queue.push({ task, resolve: resolve as (value: unknown) => void, reject });
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
      if (writes.length > 0) await this.#commit(writes);
      for (const { task, resolve, reject } of reads) await task().then(resolve, reject);
    }
    // In the same turn as the loop's last look, or a task that comes in between would wait for the next.
    this.#pumping = undefined;
  }

  async #commit(writes: readonly Queued<Write<Database>>[]): Promise<void> {
    const settlements: (() => void)[] = [];
    try {
      const transaction = await this.#db.startTransaction().execute();
      try {
        for (const write of writes) settlements.push(await attempt(transaction, write));
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
      for (const { reject } of writes) reject(error);
      return;
    }
    for (const settle of settlements) settle();
  }
}

/** Runs one write, and takes it back alone if it fails. @returns what tells its caller, once all are committed. */
async function attempt<Database>(
  transaction: Transaction<Database>,
  { task, resolve, reject }: Queued<Write<Database>>,
): Promise<() => void> {
  await sql`savepoint write_task`.execute(transaction);
  let settlement: () => void;
  try {
    const result = await task(transaction);
    settlement = () => resolve(result);
  } catch (error) {
    await sql`rollback to write_task`.execute(transaction).catch(() => {
      // The savepoint is gone, because the whole transaction was rolled back.
      throw error;
    });
    settlement = () => reject(error);
  }
  await sql`release write_task`.execute(transaction);
  return settlement;
}
