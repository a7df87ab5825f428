import assert from 'node:assert/strict';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { sampleAudit, sampleUpload } from '../../domain/fakes/sample-upload.ts';
import { openSqliteStore } from '../open-sqlite-store.ts';
import { toUploadRow } from '../upload-row.ts';
import { writeOldDatabase } from './old-database.ts';

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
