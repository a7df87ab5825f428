import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import {
  type ColumnDefinitionBuilder,
  type RawBuilder,
  type SqlBool,
  type SqliteDatabase,
  type SqliteStatement,
  sql,
} from 'kysely';

// What differs between databases: all other SQL of the store also runs on PostgreSQL. Booleans and times are integers
// and JSON is text in every database.

/** A primary key that the database assigns, larger than all that it has ever assigned. */
export function autoIncrementingKey(column: ColumnDefinitionBuilder): ColumnDefinitionBuilder {
  return column.primaryKey().autoIncrement();
}

/** The column as an expression, for which no index is used. */
export function withoutIndex<Value>(column: string): RawBuilder<Value> {
  return sql<Value>`+${sql.ref(column)}`;
}

/** Whether the JSON object in a column has this member. */
export function hasMember(column: string, name: string, value: string): RawBuilder<SqlBool> {
  return sql<SqlBool>`exists (select 1 from json_each(${sql.ref(column)}) where key = ${name} and value = ${value})`;
}

/** The parts as a table with the columns `upload_id`, `part_number` and `etag`: one parameter however many they are. */
export function etagRows(
  parts: readonly { readonly uploadId: string; readonly partNumber: number; readonly etag: string }[],
): RawBuilder<unknown> {
  return sql`(
    select value ->> 'uploadId' as upload_id, value ->> 'partNumber' as part_number, value ->> 'etag' as etag
    from json_each(${JSON.stringify(parts)})
  )`;
}

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

/** The error that `node:sqlite` throws for everything SQLite refuses. */
export interface SqliteError extends Error {
  readonly code: 'ERR_SQLITE_ERROR';
  /** SQLite's extended result code: https://sqlite.org/rescode.html */
  readonly errcode: number;
}

const SQLITE_BUSY = 5;

export function isSqliteError(error: unknown): error is SqliteError {
  return error instanceof Error && 'code' in error && error.code === 'ERR_SQLITE_ERROR';
}

/** Another connection, most likely of another process, holds the required lock. */
export function isBusy(error: unknown): boolean {
  // The lower byte is the primary code.
  return isSqliteError(error) && (error.errcode & 0xff) === SQLITE_BUSY;
}
