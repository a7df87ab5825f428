import { type Compilable, type CompiledQuery, type RawBuilder, sql } from 'kysely';
import type { Queries } from './queries.ts';

/** Where a query that is being built refers to the values it will be run with. */
export type Placeholders<Values> = { readonly [Name in keyof Values]: RawBuilder<Values[Name]> };

/**
 * A query that is built and compiled at its first use, and then only run, each time with values of the same names: those
 * of the first are the columns of a row. For those that each command, message and transition needs: kysely builds and compiles a query anew for each run, which
 * takes about as long as SQLite takes to run it.
 */
export class PreparedQuery<Values extends object, Row> {
  readonly #build: (db: Queries, values: Placeholders<Values>) => Compilable<Row>;
  /** For each database: its transactions share its adapter. Plugins and schemas that only a part of it has are not told apart. */
  readonly #compiled = new WeakMap<object, CompiledQuery<Row>>();

  constructor(build: (db: Queries, values: Placeholders<Values>) => Compilable<Row>) {
    this.#build = build;
  }

  async all(db: Queries, values: Values): Promise<Row[]> {
    return (await db.executeQuery(this.#with(db, values))).rows;
  }

  async first(db: Queries, values: Values): Promise<Row | undefined> {
    const [row] = await this.all(db, values);
    return row;
  }

  /** For a query that always has a row. */
  async one(db: Queries, values: Values): Promise<Row> {
    const row = await this.first(db, values);
    if (row === undefined) throw new Error('a query that always has a row had none');
    return row;
  }

  /** @returns how many rows were changed. */
  async run(db: Queries, values: Values): Promise<number> {
    const { numAffectedRows } = await db.executeQuery(this.#with(db, values));
    return Number(numAffectedRows);
  }

  #with(db: Queries, values: Values): CompiledQuery<Row> {
    const query = this.#compiledFor(db, values);
    const parameters = query.parameters.map((parameter) =>
      parameter instanceof Placeholder ? values[parameter.name as keyof Values] : parameter,
    );
    return { ...query, parameters };
  }

  #compiledFor(db: Queries, values: Values): CompiledQuery<Row> {
    const { adapter } = db.getExecutor();
    let query = this.#compiled.get(adapter);
    if (query === undefined) {
      query = this.#build(db, placeholdersFor(values)).compile();
      this.#compiled.set(adapter, query);
    }
    return query;
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
