import {
  type Compilable,
  type CompiledQuery,
  type Kysely,
  type QueryResult,
  type RawBuilder,
  sql,
  type Transaction,
} from 'kysely';
import type { Schema } from './schema.ts';

/** Where queries run: a transaction for writes, the database for reads. */
export type Queries = Kysely<Schema> | Transaction<Schema>;

/** References, in a query being built, to the values of a later run. */
export type Placeholders<Values> = { readonly [Name in keyof Values]: RawBuilder<Values[Name]> };

/**
 * A query that is built and compiled on its first run and then reused. For queries that every command, message and
 * transition needs: kysely builds and compiles a query for each run, which takes about as long as SQLite takes to run
 * it. Each run must pass values of the same names; in writes of a row they are its columns.
 */
export class PreparedQuery<Values extends object, Row> {
  readonly #build: (db: Queries, values: Placeholders<Values>) => Compilable<Row>;
  /** By database: transactions share its adapter. So would a `Kysely` of it with its own plugin or schema. */
  readonly #compiled = new WeakMap<object, CompiledQuery<Row>>();

  constructor(build: (db: Queries, values: Placeholders<Values>) => Compilable<Row>) {
    this.#build = build;
  }

  async all(db: Queries, values: Values): Promise<Row[]> {
    return (await this.#execute(db, values)).rows;
  }

  async first(db: Queries, values: Values): Promise<Row | undefined> {
    const [row] = await this.all(db, values);
    return row;
  }

  /** For a query that always returns a row. */
  async one(db: Queries, values: Values): Promise<Row> {
    const row = await this.first(db, values);
    if (row === undefined) throw new Error('the query returned no row');
    return row;
  }

  /** @returns the number of changed rows. */
  async run(db: Queries, values: Values): Promise<number> {
    const { numAffectedRows } = await this.#execute(db, values);
    return Number(numAffectedRows);
  }

  async #execute(db: Queries, values: Values): Promise<QueryResult<Row>> {
    const { adapter } = db.getExecutor();
    const known = this.#compiled.get(adapter);
    const query = known ?? this.#build(db, placeholdersFor(values)).compile();
    const parameters = query.parameters.map((parameter) =>
      parameter instanceof Placeholder ? values[parameter.name as keyof Values] : parameter,
    );
    const result = await db.executeQuery<Row>({ ...query, parameters });
    // Only now: a query that failed because of a wrong column name must not be cached.
    if (known === undefined) this.#compiled.set(adapter, query);
    return result;
  }
}

class Placeholder {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

function placeholdersFor<Values extends object>(values: Values): Placeholders<Values> {
  const placeholders = Object.keys(values).map((name) => [name, sql.val(new Placeholder(name))]);
  return Object.fromEntries(placeholders) as Placeholders<Values>;
}
