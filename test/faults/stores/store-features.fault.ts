import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { failsEncryptedUploads } from '../injection/stores/bucket-settings.ts';
import { refusesChecksumOfEmptyObject, refusesEmptyParts } from '../injection/stores/empty-objects.ts';
import { dropsUserMetadata } from '../injection/stores/poor-answers.ts';
import { limitsBodies, rewritesHost } from '../injection/stores/reverse-proxies.ts';
import type { StoreBehaviour, StoreDouble } from '../injection/stores/store-behaviour.ts';
import { randomFile } from '../../harness/random-file.ts';
import { Stage } from '../../harness/stage.ts';

const MiB = 1024 * 1024;

describe('a store that', () => {
  for (const double of [refusesEmptyParts, refusesChecksumOfEmptyObject]) {
    test(`${double().name} gets empty files all the same`, async () => {
      await using stage = await Stage.start({ store: double });
      const file = stage.directory.join('empty.txt');
      await writeFile(file, '');
      await stage.startAgent('till', ['--file', file]);
      const record = await stage.pull('till', {});
      assert.equal(record.status, 'completed', record.message ?? '');
      const calls = stage.faults.calls
        .filter(({ key }) => key === record.key)
        .map(({ operation }) => operation);
      assert.ok(calls.includes('PutObject') && !calls.includes('UploadPart'), calls.join(', '));
      const { verdict } = await stage.client.verifyUpload(record.upload_id);
      assert.equal(verdict, 'intact');
      const { headers } = await stage.fetch(`/uploads/${record.upload_id}/content`);
      const content = await fetch(headers.get('location') ?? '');
      assert.deepEqual([content.status, await content.text()], [200, '']);
      await stage.noOpenMultipartUploads();
    });
  }

  test('answers 500 to uploads that ask for encryption is used without, and doctor says so', async () => {
    await using stage = await Stage.start({ store: failsEncryptedUploads });
    await stage.behaviour.shown();
    const file = stage.directory.join('small.txt');
    await writeFile(file, 'small');
    await stage.startAgent('till', ['--file', file]);
    const record = await stage.pull('till', {});
    assert.equal(record.status, 'completed', record.message ?? '');
    const { findings } = await stage.client.diagnosis();
    const finding = findings.find(({ name }) => name === 's3_encryption');
    assert.match(finding?.detail ?? '', /500|InternalError|internal error/);
  });

  test('answers 500 to encryption that is required is refused by the name of the setting', async () => {
    const exit = await refusedStart(failsEncryptedUploads, { S3_SSE: 'AES256' });
    assert.match(exit, /S3_SSE/);
  });

  test('drops user metadata is refused, and nothing stays in the bucket', async () => {
    assert.match(await refusedStart(dropsUserMetadata), /metadata/);
  });

  test('is reached under another name than the signed one is refused, and the proxy is named', async () => {
    assert.match(await refusedStart(rewritesHost), /a proxy .* changes host/);
  });

  test('is behind a limit of bodies below a part is named by doctor and by an upload that needs one', async () => {
    await using stage = await Stage.start({ store: limitsBodies() });
    const named = /413.*client_max_body_size/s;
    const { findings } = await stage.client.diagnosis();
    const bad = findings.filter(({ level }) => level !== 'ok' && level !== 'info');
    assert.match(bad.map(({ detail, fix }) => `${detail} ${fix}`).join('\n'), named);
    const file = stage.directory.join('large.bin');
    await randomFile(file, 6 * MiB);
    await stage.startAgent('till', ['--file', file]);
    const record = await stage.pull('till', {});
    assert.equal(record.status, 'failed');
    assert.match(record.message ?? '', named);
    assert.ok(stage.behaviour.shownCount > 0);
  });
});

/** @returns the error output of a server that ended at startup. */
async function refusedStart(
  double: StoreDouble,
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  let behaviour: StoreBehaviour | undefined;
  const store: StoreDouble = (s3) => (behaviour = double(s3));
  const refusal = await Stage.start({ store, env }).then(
    async (stage) => {
      await using started = stage;
      return `started; doctor: ${JSON.stringify(await started.client.diagnosis())}`;
    },
    (error: unknown) => String(error),
  );
  assert.match(refusal, /backhaul-server ended with 2/);
  assert.ok(behaviour !== undefined && behaviour.shownCount > 0);
  return refusal;
}
