import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import {
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  SqliteDialect,
} from 'kysely';
import { NodeSqliteDatabase } from './sqlite-dialect.ts';
import { type Placeholders, PreparedQuery } from './prepared-query.ts';
import type { Schema } from './schema.ts';

interface Lease {
  readonly nodeId: string;
  readonly leaseUntil: number;
}

/** A database with one table, and a log of its queries. */
function openDatabase() {
  const database = new DatabaseSync(':memory:');
  database.exec('create table nodes (nodeId text primary key, leaseUntil integer not null)');
  const log: string[] = [];
  const db = new Kysely<Schema>({
    dialect: new SqliteDialect({ database: new NodeSqliteDatabase(database) }),
    log: ({ query }) => void log.push(`${query.sql} ${JSON.stringify(query.parameters)}`),
  });
  return { db, log, [Symbol.asyncDispose]: () => db.destroy() };
}

function openQueries() {
  let builds = 0;
  const insert = new PreparedQuery<Lease, unknown>((db, lease) => {
    builds += 1;
    return db.insertInto('nodes').values(lease);
  });
  const select = new PreparedQuery((db, { from, limit }: Placeholders<{ from: number; limit: number }>) =>
    db
      .selectFrom('nodes')
      .select('nodeId')
      .where('nodeId', '!=', 'none')
      .where('leaseUntil', '>=', from)
      .orderBy('nodeId')
      .limit(limit),
  );
  return { insert, select, builds: () => builds };
}

test('each run uses its own values in any order, and the query is built once', async () => {
  await using opened = openDatabase();
  const { db, log } = opened;
  const { insert, select, builds } = openQueries();
  assert.equal(await insert.run(db, { nodeId: 'a', leaseUntil: 1 }), 1);
  assert.equal(await insert.run(db, { leaseUntil: 2, nodeId: 'b' }), 1);
  await db.transaction().execute((transaction) => insert.run(transaction, { nodeId: 'c', leaseUntil: 3 }));
  assert.equal(builds(), 1);
  assert.deepEqual(
    log.filter((query) => query.startsWith('insert')).map((query) => query.slice(query.indexOf('['))),
    ['["a",1]', '["b",2]', '["c",3]'],
  );
  const found = async (values: { from: number; limit: number }) =>
    (await select.all(db, values)).map(({ nodeId }) => nodeId);
  assert.deepEqual(await found({ from: 2, limit: 5 }), ['b', 'c']);
  assert.deepEqual(await found({ from: 0, limit: 1 }), ['a']);
  assert.ok(log.at(-1)?.endsWith(' ["none",0,1]'));
});

test('a query without a row returns undefined or throws, depending on the method', async () => {
  await using opened = openDatabase();
  const { select } = openQueries();
  const values = { from: 0, limit: 1 };
  assert.equal(await select.first(opened.db, values), undefined);
  await assert.rejects(select.one(opened.db, values), /returned no row/);
});

test('a query is compiled for each database, in its own dialect', async () => {
  await using sqlite = openDatabase();
  const sent: string[] = [];
  const postgres = new Kysely<Schema>({
    dialect: {
      createDriver: () => new DummyDriver(),
      createAdapter: () => new PostgresAdapter(),
      createQueryCompiler: () => new PostgresQueryCompiler(),
      createIntrospector: (db) => new PostgresIntrospector(db),
    },
    log: ({ query }) => void sent.push(query.sql),
  });
  const { insert, builds } = openQueries();
  await insert.run(sqlite.db, { nodeId: 'a', leaseUntil: 1 });
  await insert.run(postgres, { nodeId: 'a', leaseUntil: 1 });
  assert.deepEqual(sent, ['insert into "nodes" ("nodeId", "leaseUntil") values ($1, $2)']);
  assert.match(sqlite.log[0] ?? '', /values \(\?, \?\)/);
  assert.equal(builds(), 2);
});

test('a query whose first run failed is built again for the next', async () => {
  await using opened = openDatabase();
  const { insert } = openQueries();
  const wrong = { nodeId: 'a', leaseUntil: 1, more: 2 };
  await assert.rejects(insert.run(opened.db, wrong), /more/);
  assert.equal(await insert.run(opened.db, { nodeId: 'a', leaseUntil: 1 }), 1);
});
