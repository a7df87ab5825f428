import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import type { SqliteDatabase, SqliteStatement } from 'kysely';

/** Statements kept prepared; the store has about forty, lists with filters make a few more. */
const MAX_PREPARED = 200;

/**
 * `node:sqlite` in the shape kysely's SQLite dialect expects. Without it kysely sees no `reader` on a statement
 * and returns empty rows without an error.
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
    // A plain `begin` takes the write lock with its first write only: amid a transaction, where waiting for a
    // program that holds it would be in vain.
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
  // The store binds numbers, strings and null only, all of which SQLite takes.
  const bindable = (parameters: ReadonlyArray<unknown>): SQLInputValue[] => parameters as SQLInputValue[];
  return {
    reader: statement.columns().length > 0,
    all: (parameters) => statement.all(...bindable(parameters)),
    run: (parameters) => statement.run(...bindable(parameters)),
    iterate: (parameters) => statement.iterate(...bindable(parameters)),
  };
}
