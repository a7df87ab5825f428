import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainFixture } from '../fakes/domain-fixture.ts';
import { failedMessage, stalledMessage } from '../fakes/fake-agent.ts';
import { failed } from './failed.ts';
import { stalled } from './stalled.ts';
import { withoutSignatures } from './without-signatures.ts';

const url = 'https://store.example/b/k?partNumber=1&uploadId=2&X-Amz-Credential=AK&X-Amz-Signature=5ec4e7';

test('only a presigned query is removed from a text', () => {
  assert.equal(withoutSignatures(`PUT ${url} failed: 503`), 'PUT https://store.example/b/k?… failed: 503');
  assert.equal(withoutSignatures('header X-Amz-Security-Token=abc was refused'), 'header ?… was refused');
  for (const text of ['File "/data/what?.bin" does not exist.', 'GET https://example.com/?a=1', '?']) {
    assert.equal(withoutSignatures(text), text);
  }
});

test('a presigned URL in an agent’s report never reaches a record', async () => {
  await using fixture = new DomainFixture(await openSqliteStore(':memory:'));
  const { agent, upload } = await fixture.uploading();
  await stalled(fixture.context, agent.session, stalledMessage(upload, { reason: `No response: ${url}` }));
  const { stalledReason } = await fixture.upload(upload.uploadId);
  await failed(fixture.context, agent.session, failedMessage(upload, 'permission_denied', `Gave up ${url}`));
  const { message } = await fixture.upload(upload.uploadId);
  assert.deepEqual(
    [stalledReason, message],
    ['No response: https://store.example/b/k?…', 'Gave up https://store.example/b/k?…'],
  );
  assert.doesNotMatch(JSON.stringify([fixture.log, agent.connection.frames]), /5ec4e7/);
});
