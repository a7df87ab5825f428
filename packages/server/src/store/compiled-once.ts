import type { CompiledQuery, QueryExecutorProvider } from 'kysely';

/**
 * A query whose text never changes, compiled at its first use. Kysely builds and compiles a query for each run, which
 * for a small one takes longer than the database does. To be run by `executeQuery`, with parameters of its own.
 */
export function compiledOnce<Database extends QueryExecutorProvider>(
  compile: (db: Database) => CompiledQuery,
): (db: Database) => CompiledQuery {
  // Each kind of database has a dialect of its own; a transaction has the adapter of its database.
  const compiled = new WeakMap<object, CompiledQuery>();
  return (db) => {
    const { adapter } = db.getExecutor();
    const known = compiled.get(adapter);
    if (known !== undefined) return known;
    const query = compile(db);
    compiled.set(adapter, query);

    return query;
  };
}
