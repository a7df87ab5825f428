import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { DeleteObjectCommand, HeadObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import type { ObjectVerification, UploadRecord } from '@backhaul/protocol';
import { assertProblem } from '../harness/assert-problem.ts';
import { hasExternalStore } from '../harness/object-store.ts';
import type { Exit } from '../harness/program.ts';
import { randomFile } from '../harness/random-file.ts';
import { Stage } from '../harness/stage.ts';

const MiB = 1024 * 1024;
const TOKEN = 'backhaul-token';

describe('a completed upload is verified later', () => {
  let stage: Stage;
  let report: string;
  before(async () => {
    stage = await Stage.start();
    report = stage.directory.join('data', 'report.bin');
    await mkdir(stage.directory.join('data'));
    await randomFile(report, 12 * MiB);
    await stage.startAgent('till', ['--file', report, '--allow', stage.directory.join('data')]);
    await stage.startAgent('plain', ['--file', report, '--no-sha256']);
    await (await stage.startAgent('away', ['--file', report])).stop();
  });
  after(() => stage[Symbol.asyncDispose]());

  test('and found intact, as surely as the store lets it be', async () => {
    const record = await pulled();
    const found = await stage.client.verifyUpload(record.upload_id);
    assert.equal(found.verdict, 'intact');
    assert.equal(found.verification, record.verification);
    assert.equal(found.upload_id, record.upload_id);
    assert.equal(okOf(found, 'token'), true);
    assert.deepEqual(checkOf(found, 'size'), {
      name: 'size',
      ok: true,
      expected: String(12 * MiB),
      found: String(12 * MiB),
    });
    assert.equal(okOf(found, 'etag'), true);
    assert.equal(okOf(found, 'crc32'), record.verification === 'full_object' ? true : null);

    const { code, stdout } = await stage.cli('verify', record.upload_id);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^ok +size: 12582912$/m);
    assert.match(stdout, /^intact +s3:/m);
    assert.equal(stdout.includes('--content'), record.verification !== 'full_object');
  });

  test('without a word of its token', async () => {
    const record = await pulled();
    const token = await tokenOf(record);
    const answer = await stage.fetch(`/uploads/${record.upload_id}/verification`);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('cache-control'), 'no-store');
    assert.ok(token.length > 8 && !(await answer.text()).includes(token));
  });

  test('by every byte with --content, by CRC32 where the agent made no SHA-256', async () => {
    for (const [clientId, by] of [
      ['till', 'sha256'],
      ['plain', 'crc32'],
    ] as const) {
      const { upload_id: id } = await pulled(clientId);
      const { code, stdout, stderr } = await stage.cli('verify', id, '--content');
      assert.equal(code, 0, stdout + stderr);
      assert.match(stdout, /^checking {2}/m);
      assert.match(stdout, /^ok +content crc32: /m);
      assert.match(stdout, new RegExp(`^intact .*verified by ${by}\\)$`, 'm'));
      assert.doesNotMatch(stdout + stderr, /X-Amz-Signature/);
    }
  });

  test('by every byte of none', async () => {
    const empty = stage.directory.join('data', 'empty.txt');
    await writeFile(empty, '');
    const { upload_id: id } = await pulled('till', empty);
    const { code, stdout, stderr } = await stage.cli('verify', id, '--content', '--json');
    assert.equal(code, 0, stderr);
    assert.deepEqual(contentOf(stdout), { size: true, crc32: true, sha256: true });
  });

  test('and found missing when it was deleted behind the server’s back', async () => {
    const record = await pulled();
    await stage.s3.client.send(new DeleteObjectCommand({ Bucket: record.bucket, Key: record.key }));
    const found = await stage.client.verifyUpload(record.upload_id);
    assert.equal(found.verdict, 'missing');
    assert.equal(found.verification, null);
    assert.deepEqual(found.checks, []);
    for (const more of [[], ['--content']]) {
      const exit = await stage.cli('verify', record.upload_id, ...more);
      assert.equal(exit.code, 4, exit.stderr);
      assert.match(exit.stdout, /^missing +s3:/m);
    }
    assert.equal((await stage.client.getUpload(record.upload_id)).status, 'completed', 'the record stays');
  });

  test('and found altered when another object of the same bytes lies there: it is not the upload’s', async () => {
    const record = await pulled();
    await replace(record, await readFile(report), {});
    const found = await stage.client.verifyUpload(record.upload_id);
    assert.equal(found.verdict, 'altered');
    assert.equal(okOf(found, 'token'), false);
    assert.equal(okOf(found, 'size'), true);
    const exit = await stage.cli('verify', record.upload_id, '--content', '--json');
    assertAltered(exit, ['token']);
    assert.equal(contentOf(exit.stdout), null, 'the server gives no address of it');
  });

  test('and found altered when other bytes of the same length lie there, even under its token', async () => {
    const record = await pulled();
    const bytes = await readFile(report);
    bytes.writeUInt8(bytes.readUInt8(7 * MiB) ^ 1, 7 * MiB);
    await replace(record, bytes, { [TOKEN]: await tokenOf(record) });
    const found = await stage.client.verifyUpload(record.upload_id);
    assert.equal(found.verdict, 'altered');
    assert.equal(okOf(found, 'token'), true);
    assert.equal(okOf(found, 'size'), true);
    assert.equal(okOf(found, 'etag'), false);
    assert.notEqual(okOf(found, 'crc32'), true);

    const plain = await stage.cli('verify', record.upload_id);
    assert.equal(plain.code, 7);
    assert.match(plain.stdout, /^differs +etag: /m);
    const exit = await stage.cli('verify', record.upload_id, '--content', '--json');
    assertAltered(exit, ['etag', 'content crc32', 'content sha256']);
    assert.deepEqual(contentOf(exit.stdout), { size: true, crc32: false, sha256: false });
  });

  test('and found altered when its checksum is another', { skip: hasExternalStore() }, async () => {
    const record = await pulled();
    const bytes = Buffer.alloc(12 * MiB);
    await replace(record, bytes, { [TOKEN]: await tokenOf(record) }, { ChecksumAlgorithm: 'CRC32' });
    const found = await stage.client.verifyUpload(record.upload_id);
    const { ok, expected } = checkOf(found, 'crc32');
    assert.equal(ok, false);
    assert.equal(expected, record.checksum?.value);
    assert.equal(found.verification, 'full_object');
  });

  test('and found altered when it was cut short', async () => {
    const record = await pulled();
    const bytes = await readFile(report);
    await replace(record, bytes.subarray(0, -1), { [TOKEN]: await tokenOf(record) });
    const found = await stage.client.verifyUpload(record.upload_id);
    assert.equal(found.verdict, 'altered');
    assert.equal(okOf(found, 'token'), true);
    assert.equal(checkOf(found, 'size').found, String(12 * MiB - 1));
    const exit = await stage.cli('verify', record.upload_id, '--content', '--json');
    assertAltered(exit, ['size', 'etag']);
    assert.equal(contentOf(exit.stdout), null, 'its length says enough');
  });

  test(
    'only --content finds a bit that rotted on the store’s disk',
    { skip: hasExternalStore() },
    async () => {
      const file = stage.directory.join('data', 'rotting.txt');
      const text = 'one bit of this will not be what it was';
      await writeFile(file, text);
      const { upload_id: id } = await pulled('till', file);
      await rot(stage.directory.join('objects'), text);
      assert.equal((await stage.client.verifyUpload(id)).verdict, 'intact', 'a HEAD reads no bytes');
      const exit = await stage.cli('verify', id, '--content', '--json');
      assertAltered(exit, ['content crc32', 'content sha256']);
    },
  );

  test('but not before there is an object, or when there is none to come', async () => {
    const queued = await stage.client.triggerDownload('away', {});
    const path = `/uploads/${queued.upload_id}/verification`;
    const early = await assertProblem(await stage.fetch(path), 409, 'upload_not_completed');
    assert.match(early.detail, /is queued/);
    const waiting = await stage.cli('verify', queued.upload_id);
    assert.equal(waiting.code, 5);
    assert.match(waiting.stderr, /no finished object yet[\s\S]*--follow/);
    await stage.client.cancelUpload(queued.upload_id);
    const late = await assertProblem(await stage.fetch(path), 409, 'upload_not_completed');
    assert.match(late.detail, /is cancelled/);
    assert.equal((await stage.cli('verify', queued.upload_id, '--content')).code, 7);

    const unknown = '019ab3c2-5f00-7000-8000-000000000001';
    await assertProblem(await stage.fetch(`/uploads/${unknown}/verification`), 404, 'upload_not_found');
    assert.equal((await stage.cli('verify', unknown)).code, 4);
    assert.equal((await stage.cli('verify', 'nonsense')).code, 2);
  });

  test('but not while the store is away, which is no finding', { skip: hasExternalStore() }, async () => {
    const { upload_id: id } = await pulled();
    await stage.s3.embedded?.goAway();
    try {
      await assertProblem(await stage.fetch(`/uploads/${id}/verification`), 503, 'storage_unavailable');
      const { code, stdout } = await stage.cli('verify', id);
      assert.equal(code, 5);
      assert.equal(stdout, '');
    } finally {
      await stage.s3.embedded?.comeBack();
    }
    assert.equal((await stage.client.verifyUpload(id)).verdict, 'intact');
  });

  async function pulled(clientId = 'till', file_path = report): Promise<UploadRecord> {
    const record = await stage.pull(clientId, { file_path });
    assert.equal(record.status, 'completed', record.message ?? '');
    return record;
  }

  async function tokenOf({ bucket, key }: UploadRecord): Promise<string> {
    const { Metadata } = await stage.s3.client.send(new HeadObjectCommand({ Bucket: bucket, Key: key }));
    const token = Metadata?.[TOKEN];
    assert.ok(token !== undefined, 'the object carries its token');
    return token;
  }

  async function replace(
    { bucket, key }: UploadRecord,
    bytes: Buffer,
    metadata: Record<string, string>,
    more: { ChecksumAlgorithm?: 'CRC32' } = {},
  ): Promise<void> {
    await stage.s3.client.send(
      new PutObjectCommand({ Bucket: bucket, Key: key, Body: bytes, Metadata: metadata, ...more }),
    );
  }
});

function checkOf({ checks }: ObjectVerification, name: string) {
  const found = checks.find((check) => check.name === name);
  assert.ok(found !== undefined, `no check of ${name}`);
  return found;
}

function okOf(found: ObjectVerification, name: string): boolean | null {
  return checkOf(found, name).ok;
}

/** Checks the `--json` output: the error names the differences, in addition to the report. */
function assertAltered({ code, stdout, stderr }: Exit, differences: readonly string[]): void {
  assert.equal(code, 7, stdout + stderr);
  assert.equal((JSON.parse(stdout) as ObjectVerification).verdict, 'altered');
  const { error } = JSON.parse(stderr) as { error: { code: string; detail: string } };
  assert.equal(error.code, 'checksum_mismatch');
  for (const name of differences) assert.match(error.detail, new RegExp(`[:,] ${name}[,.]`));
}

/** Returns the result of each content check in the `--json` output; null if the content was not read. */
function contentOf(stdout: string): Record<string, boolean | null> | null {
  const { content } = JSON.parse(stdout) as {
    content: { checks: { name: string; ok: boolean | null }[] } | null;
  };
  return content && Object.fromEntries(content.checks.map(({ name, ok }) => [name, ok]));
}

/** Flips one bit of the only stored file that contains this text. */
async function rot(directory: string, text: string): Promise<void> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  let rotted = 0;
  for (const entry of entries.filter((one) => one.isFile())) {
    const path = join(entry.parentPath, entry.name);
    const bytes = await readFile(path);
    const at = bytes.indexOf(text);
    if (at === -1) continue;
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    await writeFile(path, bytes);
    rotted += 1;
  }
  assert.equal(rotted, 1, 'the fault has fired');
}
