import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { Kysely, SqliteDialect, sql } from 'kysely';
import { CommitQueue } from './commit-queue.ts';
import { NodeSqliteDatabase } from './node-sqlite-database.ts';

interface Numbers {
  numbers: { value: number };
}

async function openQueue(): Promise<{ queue: CommitQueue<Numbers>; log: string[] } & AsyncDisposable> {
  const database = new DatabaseSync(':memory:');
  database.exec('create table numbers (value integer not null unique)');
  const log: string[] = [];
  const db = new Kysely<Numbers>({
    dialect: new SqliteDialect({ database: new NodeSqliteDatabase(database) }),
    log: ({ query }) => {
      log.push(query.sql);
    },
  });
  return { queue: new CommitQueue(db), log, [Symbol.asyncDispose]: () => db.destroy() };
}

test('writes of one turn share one transaction', async () => {
  await using opened = await openQueue();
  const { queue, log } = opened;
  const values = Array.from({ length: 100 }, (_, value) => value);
  await Promise.all(
    values.map((value) => queue.write((db) => db.insertInto('numbers').values({ value }).execute())),
  );
  assert.equal(log.filter((query) => query === 'begin').length, 1);
  assert.equal(log.filter((query) => query === 'commit').length, 1);
});

test('a write that fails takes only itself back', async () => {
  await using opened = await openQueue();
  const { queue } = opened;
  const results = await Promise.allSettled(
    [1, 1, 2].map((value) => queue.write((db) => db.insertInto('numbers').values({ value }).execute())),
  );
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
  const rows = await queue.read((db) => db.selectFrom('numbers').select('value').execute());
  assert.deepEqual(
    rows.map(({ value }) => value),
    [1, 2],
  );
});

test('no write is reported done when the commit fails', async () => {
  await using opened = await openQueue();
  const { queue } = opened;
  // Looked at by SQLite only when it commits, so that the writes themselves succeed.
  await queue.write((db) =>
    sql`create table marks (value integer references numbers (value) deferrable initially deferred)`.execute(
      db,
    ),
  );
  const dangling = queue.write((db) => sql`insert into marks values (8)`.execute(db));
  const write = queue.write((db) => db.insertInto('numbers').values({ value: 7 }).execute());
  for (const result of await Promise.allSettled([dangling, write])) {
    assert.ok(result.status === 'rejected');
    assert.match(String(result.reason), /FOREIGN KEY/);
  }
  assert.deepEqual(await queue.read((db) => db.selectFrom('numbers').selectAll().execute()), []);
});

test('no write is reported done when the transaction ends under the queue’s feet', async () => {
  await using opened = await openQueue();
  const { queue } = opened;
  const sabotage = queue.write((db) => sql`rollback`.execute(db));
  const write = queue.write((db) => db.insertInto('numbers').values({ value: 7 }).execute());
  const [first, second] = await Promise.allSettled([sabotage, write]);
  assert.equal(first.status, 'rejected');
  assert.equal(second.status, 'rejected');
  assert.deepEqual(await queue.read((db) => db.selectFrom('numbers').selectAll().execute()), []);
});

test('a read never sees what is not yet committed', async () => {
  await using opened = await openQueue();
  const { queue } = opened;
  const seen: number[] = [];
  const count = async (): Promise<number> =>
    (await queue.read((db) => db.selectFrom('numbers').selectAll().execute())).length;
  const reads: Promise<unknown>[] = [];
  await Promise.allSettled([
    queue.write(async (db) => {
      await db.insertInto('numbers').values({ value: 1 }).execute();
      reads.push(count().then((rows) => seen.push(rows)));
      await db.insertInto('numbers').values({ value: 1 }).execute();
    }),
  ]);
  await Promise.all(reads);
  assert.deepEqual(seen, [0], 'the write failed, so its first row never existed');
});

test('a task that comes in as the queue runs dry is not forgotten', async () => {
  await using opened = await openQueue();
  const { queue } = opened;
  // Enqueues again from the very continuation that follows the last task, at every depth of microtasks.
  for (let depth = 0; depth < 20; depth += 1) {
    await queue.read((db) => db.selectFrom('numbers').selectAll().execute());
    for (let tick = 0; tick < depth; tick += 1) await Promise.resolve();
  }
  await queue.write((db) => db.insertInto('numbers').values({ value: 1 }).execute());
  await queue.idle();
});
