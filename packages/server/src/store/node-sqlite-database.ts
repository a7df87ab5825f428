import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import type { SqliteDatabase, SqliteStatement } from 'kysely';

/** Cached prepared statements; the store has about forty, and lists with filters add a few. */
const MAX_PREPARED = 200;

/**
 * Adapts `node:sqlite` to the interface of kysely's SQLite dialect. Without it kysely finds no `reader` on a
 * statement and returns no rows, without an error.
 */
export class NodeSqliteDatabase implements SqliteDatabase {
  readonly #database: DatabaseSync;
  readonly #prepared = new Map<string, SqliteStatement>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  prepare(sql: string): SqliteStatement {
    const known = this.#prepared.get(sql);
    if (known !== undefined) return known;
    // A plain `begin` takes the write lock only with its first write, in the middle of a transaction, where waiting
    // for a program that holds it is impossible.
    const statement = adapt(this.#database.prepare(sql === 'begin' ? 'begin immediate' : sql));
    const oldest = this.#prepared.keys().next();
    if (this.#prepared.size >= MAX_PREPARED && oldest.done !== true) this.#prepared.delete(oldest.value);
    this.#prepared.set(sql, statement);
    return statement;
  }

  close(): void {
    this.#prepared.clear();
    this.#database.close();
  }
}

function adapt(statement: StatementSync): SqliteStatement {
  // The store binds only numbers, strings and null, all of which SQLite accepts.
  const bindable = (parameters: ReadonlyArray<unknown>): SQLInputValue[] => parameters as SQLInputValue[];
  return {
    reader: statement.columns().length > 0,
    all: (parameters) => statement.all(...bindable(parameters)),
    run: (parameters) => statement.run(...bindable(parameters)),
    iterate: (parameters) => statement.iterate(...bindable(parameters)),
  };
}
