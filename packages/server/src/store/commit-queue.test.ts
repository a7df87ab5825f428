import assert from 'node:assert/strict';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { Kysely, SqliteDialect, sql } from 'kysely';
import { CommitQueue } from './commit-queue.ts';
import { NodeSqliteDatabase } from './sqlite-dialect.ts';

interface Numbers {
  numbers: { value: number };
}

async function openQueue(
  options: { file?: string; timeoutMs?: number } = {},
): Promise<{ queue: CommitQueue<Numbers>; log: string[] } & AsyncDisposable> {
  const database = new DatabaseSync(options.file ?? ':memory:', { timeout: 0 });
  database.exec('pragma journal_mode = wal');
  database.exec('create table numbers (value integer not null unique)');
  const log: string[] = [];
  const db = new Kysely<Numbers>({
    dialect: new SqliteDialect({ database: new NodeSqliteDatabase(database) }),
    log: ({ query }) => {
      log.push(query.sql);
    },
  });
  const { timeoutMs } = options;
  const queue = new CommitQueue(db, timeoutMs === undefined ? {} : { timeoutMs });
  return { queue, log, [Symbol.asyncDispose]: () => db.destroy() };
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

test('a failing write rolls back only itself', async () => {
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
  // SQLite checks this only at the commit, so that the writes themselves succeed.
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

test('no write is reported done when the transaction ends unexpectedly', async () => {
  await using opened = await openQueue();
  const { queue } = opened;
  const sabotage = queue.write((db) => sql`rollback`.execute(db));
  const write = queue.write((db) => db.insertInto('numbers').values({ value: 7 }).execute());
  const [first, second] = await Promise.allSettled([sabotage, write]);
  assert.equal(first.status, 'rejected');
  assert.equal(second.status, 'rejected');
  assert.deepEqual(await queue.read((db) => db.selectFrom('numbers').selectAll().execute()), []);
});

test('a read never sees uncommitted data', async () => {
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

describe('while another program holds the write lock', () => {
  const insert = (value: number) => (db: Kysely<Numbers>) =>
    db.insertInto('numbers').values({ value }).execute();
  const count = async (db: Kysely<Numbers>) => (await db.selectFrom('numbers').selectAll().execute()).length;

  async function openLocked(options: { timeoutMs: number }) {
    await using cleanup = new AsyncDisposableStack();
    const directory = cleanup.use(await mkdtempDisposable(path.join(tmpdir(), 'backhaul-queue-')));
    const file = path.join(directory.path, 'numbers.db');
    const { queue, log } = cleanup.use(await openQueue({ file, ...options }));
    const other = cleanup.adopt(new DatabaseSync(file), (database) => database.close());
    other.exec('begin immediate');
    const owned = cleanup.move();
    return { queue, log, other, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  }

  test('writes wait and run in sequence once it is free; reads do not wait', async () => {
    await using opened = await openLocked({ timeoutMs: 60_000 });
    const { queue, log, other } = opened;
    const writes = [1, 2, 3].map((value) => queue.write(insert(value)));
    assert.equal(await queue.read(count), 0, 'read while the writes wait');
    assert.ok(log.includes('begin'), 'it was tried, and refused');
    const later = queue.write(async (db) => db.selectFrom('numbers').select('value').execute());
    other.exec('commit');
    await Promise.all(writes);
    assert.deepEqual(
      (await later).map(({ value }) => value),
      [1, 2, 3],
    );
  });

  test('a write that has waited too long fails and never runs', async () => {
    await using opened = await openLocked({ timeoutMs: 50 });
    const { queue, other } = opened;
    await assert.rejects(queue.write(insert(1)), { code: 'ERR_SQLITE_ERROR', message: /locked/ });
    other.exec('commit');
    await queue.write(insert(2));
    assert.equal(await queue.read(count), 1);
  });
});

test('a task that arrives as the queue runs empty is not lost', async () => {
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
