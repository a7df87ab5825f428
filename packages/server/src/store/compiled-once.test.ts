import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresQueryCompiler,
  SqliteAdapter,
  SqliteQueryCompiler,
} from 'kysely';
import { compiledOnce } from './compiled-once.ts';

interface Numbers {
  numbers: { value: number };
}

function openDatabase(kind: 'sqlite' | 'postgres'): Kysely<Numbers> {
  return new Kysely<Numbers>({
    dialect: {
      createDriver: () => new DummyDriver(),
      createAdapter: () => (kind === 'sqlite' ? new SqliteAdapter() : new PostgresAdapter()),
      createQueryCompiler: () =>
        kind === 'sqlite' ? new SqliteQueryCompiler() : new PostgresQueryCompiler(),
      createIntrospector: () => assert.fail('nothing is looked up'),
    },
  });
}

function openQuery() {
  let compilations = 0;
  const query = compiledOnce((db: Kysely<Numbers>) => {
    compilations += 1;
    return db.insertInto('numbers').values({ value: 0 }).compile();
  });
  return { query, compilations: () => compilations };
}

test('a query is compiled at its first use only, in whichever transaction', async () => {
  const { query, compilations } = openQuery();
  const db = openDatabase('sqlite');
  const first = query(db);
  for (let round = 0; round < 2; round += 1) {
    await db.transaction().execute(async (transaction) => assert.equal(query(transaction), first));
  }
  assert.equal(compilations(), 1);
});

test('a query is compiled for each kind of database', () => {
  const { query } = openQuery();
  assert.equal(query(openDatabase('sqlite')).sql, 'insert into "numbers" ("value") values (?)');
  assert.equal(query(openDatabase('postgres')).sql, 'insert into "numbers" ("value") values ($1)');
});
