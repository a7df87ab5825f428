import assert from 'node:assert/strict';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { sampleAudit, sampleUpload } from '../../../../test/harness/server/sample-upload.ts';
import { openSqliteStore } from './open-sqlite-store.ts';

test('a joining request is audited with the joined upload; one that repeats its key is not', async () => {
  await using directory = await mkdtempDisposable(path.join(tmpdir(), 'backhaul-audit-'));
  const file = path.join(directory.path, 'backhaul.db');
  const store = await openSqliteStore(file);
  const first = sampleUpload();
  await store.insertUpload(first, sampleAudit({ uploadId: first.uploadId }));
  const joining = sampleUpload({ idempotencyKey: 'key-1', requestedBy: 'operator-2' });
  const audit = sampleAudit({ actor: 'operator-2', uploadId: joining.uploadId });
  const join = { ...audit, action: 'upload.join', uploadId: null, detail: { reason: 'audit' } };
  for (let times = 0; times < 2; times += 1) await store.insertUpload(joining, audit, { join });
  await store.close();

  using raw = new DatabaseSync(file);
  const rows = raw.prepare('select actor, action, upload_id, detail from audit_events order by id').all();
  assert.deepEqual(
    rows.map((row) => ({ ...row })),
    [
      { actor: 'operator-1', action: 'upload.trigger', upload_id: first.uploadId, detail: '{}' },
      { actor: 'operator-2', action: 'upload.join', upload_id: first.uploadId, detail: '{"reason":"audit"}' },
    ],
  );
});
