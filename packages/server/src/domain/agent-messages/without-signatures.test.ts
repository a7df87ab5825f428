import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainBench } from '../fakes/domain-bench.ts';
import { failedMessage, stalledMessage } from '../fakes/fake-agent.ts';
import { failed } from './failed.ts';
import { stalled } from './stalled.ts';
import { withoutSignatures } from './without-signatures.ts';

const url = 'https://store.example/b/k?partNumber=1&uploadId=2&X-Amz-Credential=AK&X-Amz-Signature=5ec4e7';

test('a presigned query is cut out of a text, and nothing else', () => {
  assert.equal(withoutSignatures(`PUT ${url} failed: 503`), 'PUT https://store.example/b/k?… failed: 503');
  assert.equal(withoutSignatures('header X-Amz-Security-Token=abc was refused'), 'header ?… was refused');
  for (const text of ['File "/data/what?.bin" does not exist.', 'GET https://example.com/?a=1', '?']) {
    assert.equal(withoutSignatures(text), text);
  }
});

test('a presigned URL in what an agent reports reaches no record', async () => {
  await using bench = new DomainBench(await openSqliteStore(':memory:'));
  const { agent, upload } = await bench.uploading();
  await stalled(bench.context, agent.session, stalledMessage(upload, { reason: `No answer: ${url}` }));
  const { stalledReason } = await bench.upload(upload.uploadId);
  await failed(bench.context, agent.session, failedMessage(upload, 'permission_denied', `Gave up ${url}`));
  const { message } = await bench.upload(upload.uploadId);
  assert.deepEqual(
    [stalledReason, message],
    ['No answer: https://store.example/b/k?…', 'Gave up https://store.example/b/k?…'],
  );
  assert.doesNotMatch(JSON.stringify([bench.log, agent.connection.frames]), /5ec4e7/);
});
