import assert from 'node:assert/strict';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { sampleAudit, sampleUpload } from '../../domain/fakes/sample-upload.ts';
import { openSqliteStore } from '../open-sqlite-store.ts';
import { toUploadRow } from '../upload-row.ts';
import { writeOldDatabase } from './old-database.ts';

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
