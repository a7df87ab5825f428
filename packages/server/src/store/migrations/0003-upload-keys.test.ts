import assert from 'node:assert/strict';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { CamelCasePlugin, Kysely, SqliteDialect } from 'kysely';
import { Migrator } from 'kysely/migration';
import { sampleAudit, sampleUpload } from '../../domain/fakes/sample-upload.ts';
import { NodeSqliteDatabase } from '../node-sqlite-database.ts';
import { openSqliteStore } from '../open-sqlite-store.ts';
import type { Schema } from '../schema.ts';
import { toUploadRow } from '../upload-row.ts';
import { migrations } from './index.ts';

test('idempotency keys of before lead to the same uploads, and stay unique', async () => {
  await using directory = await mkdtempDisposable(path.join(tmpdir(), 'backhaul-migration-'));
  const file = path.join(directory.path, 'backhaul.db');
  const keyed = sampleUpload({ idempotencyKey: 'key-1', reason: 'audit' });
  const plain = sampleUpload();
  await writeOldDatabase(file, [keyed, plain].map(toUploadRow));

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

async function writeOldDatabase(file: string, rows: readonly Schema['uploads'][]): Promise<void> {
  const db = new Kysely<Schema>({
    dialect: new SqliteDialect({ database: new NodeSqliteDatabase(new DatabaseSync(file)) }),
    plugins: [new CamelCasePlugin()],
  });
  const older = Object.entries(migrations).filter(([name]) => name < '0003');
  const provider = { getMigrations: async () => Object.fromEntries(older) };
  const { error } = await new Migrator({ db, provider }).migrateToLatest();
  assert.equal(error, undefined);
  await db.insertInto('uploads').values(rows).execute();
  await db.destroy();
}
