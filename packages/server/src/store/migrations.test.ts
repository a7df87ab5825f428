import assert from 'node:assert/strict';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { CamelCasePlugin, Kysely, SqliteDialect } from 'kysely';
import { Migrator } from 'kysely/migration';
import { sampleAudit, sampleUpload } from '../../../../test/harness/server/sample-upload.ts';
import { migrations } from './migrations.ts';
import { openSqliteStore } from './open-sqlite-store.ts';
import type { Schema, UploadsTable } from './schema.ts';
import { NodeSqliteDatabase } from './sqlite-dialect.ts';
import { toUploadRow } from './upload-row.ts';

test('existing idempotency keys refer to the same uploads and stay unique', async () => {
  await using directory = await mkdtempDisposable(path.join(tmpdir(), 'backhaul-migration-'));
  const file = path.join(directory.path, 'backhaul.db');
  const keyed = sampleUpload({ idempotencyKey: 'key-1', reason: 'audit' });
  const plain = sampleUpload();
  await writeOldDatabase(file, '0003', [keyed, plain].map(toUploadRow));

  const store = await openSqliteStore(file);
  try {
    assert.deepEqual(await store.findByIdempotencyKey('operator-1', 'key-1'), { upload: keyed, terms: null });
    const again = sampleUpload({ idempotencyKey: 'key-1' });
    assert.deepEqual(await store.insertUpload(again, sampleAudit()), keyed);
    assert.equal((await store.listUploads({ limit: 10 })).length, 2);
  } finally {
    await store.close();
  }
});

test('a reader at an old time position continues from there, even if the clock is behind now', async () => {
  await using directory = await mkdtempDisposable(path.join(tmpdir(), 'backhaul-migration-'));
  const file = path.join(directory.path, 'backhaul.db');
  const seen = sampleUpload();
  const missed = sampleUpload({ updatedAt: seen.updatedAt + 1 });
  await writeOldDatabase(file, '0004', [missed, seen].map(toUploadRow));

  const store = await openSqliteStore(file);
  try {
    const behind = sampleUpload({ updatedAt: seen.updatedAt - 60_000 });
    await store.insertUpload(behind, sampleAudit());
    const position = { change: seen.updatedAt, uploadId: seen.uploadId };
    assert.deepEqual(await store.listChangesAfter(position, 10), [
      { change: missed.updatedAt, upload: missed },
      { change: missed.updatedAt + 1, upload: behind },
    ]);
  } finally {
    await store.close();
  }
});

test('events of an earlier version read as accepted, with an unknown address', async () => {
  await using directory = await mkdtempDisposable(path.join(tmpdir(), 'backhaul-audit-'));
  const file = path.join(directory.path, 'backhaul.db');
  await writeOldDatabase(file, '0014', [toUploadRow(sampleUpload())]);
  const raw = new DatabaseSync(file);
  const columns = '(at, actor, action, client_id, upload_id, detail)';
  raw.exec(
    `insert into audit_events ${columns} values (5, 'anna', 'client.block', 'till-1', null, '{"reason":"x"}')`,
  );
  raw.close();
  const store = await openSqliteStore(file);
  const old = { at: 5, actor: 'anna', action: 'client.block', clientId: 'till-1', uploadId: null };
  const expected = { ...old, id: 1, detail: { reason: 'x' }, address: null, refusal: null, count: 1 };
  assert.deepEqual(await store.listAudit({ limit: 10, outcome: 'accepted' }), [expected]);
  assert.deepEqual(await store.listAudit({ limit: 10, outcome: 'refused' }), []);
  assert.equal(await store.appendAudit(sampleAudit()), 2);
  await store.close();
});

/** Creates a database as it was before the migration with that number, with these uploads. */
async function writeOldDatabase(file: string, before: string, rows: readonly UploadsTable[]): Promise<void> {
  const database = new DatabaseSync(file);
  const db = new Kysely<Schema>({
    dialect: new SqliteDialect({ database: new NodeSqliteDatabase(database) }),
    plugins: [new CamelCasePlugin()],
  });
  const older = Object.entries(migrations).filter(([name]) => name < before);
  const provider = { getMigrations: async () => Object.fromEntries(older) };
  const { error } = await new Migrator({ db, provider }).migrateToLatest();
  assert.equal(error, undefined);
  const columns = database.prepare("SELECT name FROM pragma_table_info('uploads')").all();
  const names = new Set(columns.map(({ name }) => camelCase(String(name))));
  // Columns that were added later are left out.
  const asOfThen = rows.map((row) =>
    Object.fromEntries(Object.entries(row).filter(([name]) => names.has(name))),
  );
  await db
    .insertInto('uploads')
    .values(asOfThen as unknown as UploadsTable[])
    .execute();
  await db.destroy();
}

function camelCase(name: string): string {
  return name.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}
