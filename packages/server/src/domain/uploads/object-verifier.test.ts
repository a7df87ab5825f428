import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainBench } from '../fakes/domain-bench.ts';
import { intercepted } from '../fakes/intercepted.ts';
import type { AuditEvent, Store } from '../ports/store.ts';
import type { Upload } from './upload.ts';

async function openBench(): Promise<{ bench: DomainBench; audits: AuditEvent[] }> {
  const audits: AuditEvent[] = [];
  const real = await openSqliteStore(':memory:');
  const store = intercepted<Store>(real, {
    appendAudit: async (event) => {
      await real.appendAudit(event);
      audits.push(event);
    },
  });
  return { bench: new DomainBench(store), audits };
}

async function completedUpload(bench: DomainBench): Promise<Upload> {
  const { upload } = await bench.completing();
  return bench.reaches(upload.uploadId, 'completed');
}

test('a completed upload is verified by a HEAD now, named in the audit, and left as it is', async () => {
  const { bench, audits } = await openBench();
  await using _ = bench;
  const upload = await completedUpload(bench);
  const report = await bench.domain.verifier.verify(upload.uploadId, 'auditor');
  assert.equal(report.verdict, 'intact');
  assert.equal(report.uploadId, upload.uploadId);
  assert.equal(report.checkedAt, bench.clock.now());
  bench.bucket.objects.delete(upload.key);
  assert.equal((await bench.domain.verifier.verify(upload.uploadId, 'auditor')).verdict, 'missing');
  assert.deepEqual(
    audits.map(({ action, actor, uploadId, detail }) => ({ action, actor, uploadId, detail })),
    [
      { verdict: 'intact', keyState: 'recorded' },
      { verdict: 'missing', keyState: 'nothing' },
    ].map((detail) => ({
      action: 'upload.verify',
      actor: 'auditor',
      uploadId: upload.uploadId,
      detail,
    })),
  );
  assert.deepEqual(await bench.upload(upload.uploadId), upload);
});

test('an upload that has no finished object is refused without asking the store', async () => {
  const { bench, audits } = await openBench();
  await using _ = bench;
  const { upload } = await bench.uploading();
  await assert.rejects(bench.domain.verifier.verify(upload.uploadId, 'auditor'), {
    code: 'upload_not_completed',
    message: /uploading/,
  });
  await assert.rejects(bench.domain.verifier.verify('019ab3c2-5f00-7000-8000-000000000001', 'auditor'), {
    code: 'upload_not_found',
  });
  assert.equal(bench.bucket.count('head'), 0);
  assert.deepEqual(audits, []);
});

test('a store that does not answer is no finding', async () => {
  const { bench, audits } = await openBench();
  await using _ = bench;
  const upload = await completedUpload(bench);
  bench.bucket.fail('head', 'unavailable');
  const fired = bench.bucket.faultsFired;
  await assert.rejects(bench.domain.verifier.verify(upload.uploadId, 'auditor'), { kind: 'unavailable' });
  assert.equal(bench.bucket.faultsFired, fired + 1);
  assert.deepEqual(audits, []);
});
