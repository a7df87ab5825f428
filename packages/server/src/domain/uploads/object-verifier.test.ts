import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainFixture } from '../fakes/domain-fixture.ts';
import { intercepted } from '../fakes/intercepted.ts';
import type { AuditEvent, Store } from '../ports/store.ts';
import type { Upload } from './upload.ts';

async function openFixture(): Promise<{ fixture: DomainFixture; audits: AuditEvent[] }> {
  const audits: AuditEvent[] = [];
  const real = await openSqliteStore(':memory:');
  const store = intercepted<Store>(real, {
    appendAudit: async (event) => {
      audits.push(event);
      return await real.appendAudit(event);
    },
  });
  return { fixture: new DomainFixture(store), audits };
}

async function completedUpload(fixture: DomainFixture): Promise<Upload> {
  const { upload } = await fixture.completing();
  return fixture.reaches(upload.uploadId, 'completed');
}

test('verifying a completed upload sends a HEAD, writes an audit event and changes nothing', async () => {
  const { fixture, audits } = await openFixture();
  await using _ = fixture;
  const upload = await completedUpload(fixture);
  const report = await fixture.domain.verifier.verify(upload.uploadId, 'auditor');
  assert.equal(report.verdict, 'intact');
  assert.equal(report.uploadId, upload.uploadId);
  assert.equal(report.checkedAt, fixture.clock.now());
  fixture.bucket.objects.delete(upload.key);
  assert.equal((await fixture.domain.verifier.verify(upload.uploadId, 'auditor')).verdict, 'missing');
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
  assert.deepEqual(await fixture.upload(upload.uploadId), upload);
});

test('an upload without a finished object is refused without calling the store', async () => {
  const { fixture, audits } = await openFixture();
  await using _ = fixture;
  const { upload } = await fixture.uploading();
  await assert.rejects(fixture.domain.verifier.verify(upload.uploadId, 'auditor'), {
    code: 'upload_not_completed',
    message: /uploading/,
  });
  await assert.rejects(fixture.domain.verifier.verify('019ab3c2-5f00-7000-8000-000000000001', 'auditor'), {
    code: 'upload_not_found',
  });
  assert.equal(fixture.bucket.count('head'), 0);
  assert.deepEqual(audits, []);
});

test('a store that does not respond gives no result', async () => {
  const { fixture, audits } = await openFixture();
  await using _ = fixture;
  const upload = await completedUpload(fixture);
  fixture.bucket.fail('head', 'unavailable');
  const fired = fixture.bucket.faultsFired;
  await assert.rejects(fixture.domain.verifier.verify(upload.uploadId, 'auditor'), { kind: 'unavailable' });
  assert.equal(fixture.bucket.faultsFired, fired + 1);
  assert.deepEqual(audits, []);
});
