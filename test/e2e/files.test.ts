import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, chown, mkdir, readFile, symlink, truncate, writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import {
  DEFAULT_CHUNK_BYTES,
  S3_MAX_PARTS,
  type UploadRecord,
  isTerminal,
  planParts,
} from '@backhaul/protocol';
import { type Program, logged } from '../harness/program.ts';
import { randomFile } from '../harness/random-file.ts';
import { Stage } from '../harness/stage.ts';

const MiB = 1024 * 1024;
const NOBODY = 65_534;

describe('a file', () => {
  let stage: Stage;
  let allowed: string;
  let outside: string;
  before(async () => {
    stage = await Stage.start();
    allowed = stage.directory.join('allowed');
    outside = stage.directory.join('outside');
    await mkdir(allowed);
    await mkdir(outside);
    await writeFile(`${outside}/secret.txt`, 'not for operators');
    await stage.startAgent('till', ['--allow', allowed]);
  });
  after(() => stage[Symbol.asyncDispose]());

  test('that does not exist fails as file_not_found', async () => {
    for (const path of [`${allowed}/missing.bin`, `${allowed}/missing/deeper.bin`]) {
      assertFailed(await stage.pull('till', { file_path: path }), 'file_not_found');
    }
  });

  test('outside the allow-list fails as path_not_allowed, in the same words whether it exists or not', async () => {
    const exists = await stage.pull('till', { file_path: `${outside}/secret.txt` });
    const missing = await stage.pull('till', { file_path: `${outside}/nosuch.txt` });
    const nowhere = await stage.pull('till', { file_path: '/nosuch/nosuch.txt' });
    const around = await stage.pull('till', { file_path: `${allowed}/../outside/secret.txt` });
    const prefixed = await stage.pull('till', { file_path: `${allowed}-not/secret.txt` });
    for (const record of [exists, missing, nowhere, around, prefixed]) {
      assertFailed(record, 'path_not_allowed');
      const words = (record.message ?? '').replace(JSON.stringify(record.file_path), 'PATH');
      assert.equal(words, (exists.message ?? '').replace(JSON.stringify(exists.file_path), 'PATH'));
    }
  });

  test('reached by a symbolic link that leads out of the allow-list is not read', async () => {
    await symlink(`${outside}/secret.txt`, `${allowed}/link.txt`);
    await symlink(outside, `${allowed}/linked`);
    for (const path of [`${allowed}/link.txt`, `${allowed}/linked/secret.txt`, `${allowed}/linked/nosuch`]) {
      assertFailed(await stage.pull('till', { file_path: path }), 'path_not_allowed');
    }
  });

  test('that is a directory or a named pipe fails as not_a_file, without waiting for a writer', async () => {
    await mkdir(`${allowed}/folder`);
    await promisify(execFile)('mkfifo', [`${allowed}/pipe`]);
    for (const path of [`${allowed}/folder`, `${allowed}/pipe`]) {
      assertFailed(await stage.pull('till', { file_path: path }), 'not_a_file');
    }
  });

  test('that cannot be named on the machine fails as invalid_path', async () => {
    assertFailed(await stage.pull('till', { file_path: `${allowed}/bad\uFFFDname` }), 'invalid_path');
    // The server refuses invalid requests that it can detect itself before it creates an upload.
    await assert.rejects(stage.pull('till', { file_path: 'relative/path.bin' }), { code: 'invalid_path' });
  });

  test('that the agent’s account may not read fails as permission_denied', async () => {
    const isRoot = process.getuid?.() === 0;
    await writeFile(`${allowed}/private.bin`, 'private');
    await chmod(`${allowed}/private.bin`, isRoot ? 0o600 : 0o000);
    if (isRoot) await chown(`${allowed}/private.bin`, NOBODY, NOBODY);
    await stage.startAgent('unprivileged', ['--allow', allowed], { withoutReadingRights: isRoot });
    const record = await stage.pull('unprivileged', { file_path: `${allowed}/private.bin` });
    assertFailed(record, 'permission_denied');
  });

  test('that is empty is one empty part', async () => {
    await writeFile(`${allowed}/empty.bin`, '');
    const record = await pulled('empty.bin');
    assert.equal(record.size, 0);
    assert.equal(record.part_count, 1);
    assert.equal(record.parts_completed, 1);
    assert.equal(record.bytes_uploaded, 0);
    assert.equal(record.sha256, 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  });

  test('of exactly one part’s size is one part, and one byte more makes two', async () => {
    for (const [sizeBytes, parts] of [
      [DEFAULT_CHUNK_BYTES, 1],
      [DEFAULT_CHUNK_BYTES + 1, 2],
    ] as const) {
      const name = `size-${sizeBytes}.bin`;
      const sha256 = await randomFile(`${allowed}/${name}`, sizeBytes, name);
      const record = await pulled(name);
      assert.equal(record.size, sizeBytes);
      assert.equal(record.part_count, parts);
      assert.equal(record.sha256, sha256);
    }
  });

  test('that changes between two pulls gives two objects, each with the bytes of its time', async () => {
    await writeFile(`${allowed}/daily.txt`, 'monday');
    const monday = await pulled('daily.txt');
    await writeFile(`${allowed}/daily.txt`, 'tuesday, and longer');
    const tuesday = await pulled('daily.txt');
    assert.notEqual(tuesday.key, monday.key);
    assert.equal(String(await contentOf(monday)), 'monday');
    assert.equal(String(await contentOf(tuesday)), 'tuesday, and longer');
  });

  test('longer than 10,000 parts of 5 MiB gets larger parts; cancelled, nothing of it stays', async () => {
    const sizeBytes = 60 * 1024 * MiB;
    await writeFile(`${allowed}/huge.bin`, '');
    await truncate(`${allowed}/huge.bin`, sizeBytes);
    const slow: Program = await stage.startAgent('slow', ['--allow', allowed, '--max-rate', '1048576']);
    const { upload_id } = await stage.client.triggerDownload('slow', { file_path: `${allowed}/huge.bin` });
    const record = await stage.recordWhen(upload_id, ({ status }) => status === 'uploading');
    const plan = planParts(sizeBytes, { minChunkSize: DEFAULT_CHUNK_BYTES, maxParts: S3_MAX_PARTS });
    assert.equal(plan.chunkSize, 7 * MiB);
    assert.equal(record.size, sizeBytes);
    assert.equal(record.chunk_size, plan.chunkSize);
    assert.equal(record.part_count, plan.partCount);
    assert.ok(plan.partCount <= S3_MAX_PARTS);
    assert.deepEqual(await stage.openMultipartUploads(), [record.key]);

    const cancelled = await stage.client.cancelUpload(upload_id);
    assert.equal(cancelled.status, 'cancelled');
    await stage.noOpenMultipartUploads();
    await slow.line(logged('upload cancelled by the server'));
    const health = await stage.client.runCommand('slow', 'health_check', {});
    assert.equal(health.active_uploads, 0);
  });

  /**
   * Saved name of each file: omits characters that hide it, change its location, forge a line or are invalid on another
   * system.
   */
  const names: Record<string, [name: string, savedAs: string]> = {
    spaces: [' two  spaces .txt', 'two  spaces .txt'],
    unicode: ['Umsätze – 東京 🧾.csv', 'Umsätze – 東京 🧾.csv'],
    'a combining accent': ['cafe\u0301.txt', 'cafe\u0301.txt'],
    'a line break': ['two\nlines\r.txt', 'two_lines_.txt'],
    'percent signs': ['100%25 %2e%2e%2f.txt', '100%25 %2e%2e%2f.txt'],
    'dots inside': ['a..b...c..', 'a..b...c'],
    quotes: [`it's "quoted"; filename=evil.txt`, `it's _quoted_; filename=evil.txt`],
    'a leading dash': ['-rf', '-rf'],
    'a backslash': ['C:\\temp\\x.txt', 'x.txt'],
    'leading dots': ['..hidden', '_hidden'],
    'query characters': ['a?b=c&d#e+f;g.txt', 'a_b=c&d#e+f;g.txt'],
    '255 bytes': [`${'ä'.repeat(125)}x.txt`, `${'ä'.repeat(118)}.txt`],
    'terminal escapes': ['\u001b[31mred\u202etxt.exe', '_[31mred_txt.exe'],
  };
  for (const [what, [name, savedAs]] of Object.entries(names)) {
    test(`whose name has ${what} is pulled under a safe key, and comes back as the same bytes`, async () => {
      await writeFile(`${allowed}/${name}`, `the bytes of ${name}`);
      const record = await pulled(name);
      assert.equal(record.file_path, `${allowed}/${name}`);
      assert.equal(record.file_name, savedAs);
      const { upload_id: id } = record;
      assert.match(record.key, new RegExp(`^uploads/till/${id}/[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$`));
      const answer = await fetch(await stage.client.contentUrl(id));
      assert.equal(answer.status, 200);
      assert.equal(fileNameIn(answer.headers.get('content-disposition') ?? ''), savedAs);
      assert.equal(await answer.text(), `the bytes of ${name}`);
    });
  }

  async function pulled(name: string): Promise<UploadRecord> {
    const record = await stage.pull('till', { file_path: `${allowed}/${name}` });
    assert.equal(record.status, 'completed', `${record.error}: ${record.message}`);
    assert.equal(record.bytes_uploaded, record.size);
    const bytes = await contentOf(record);
    assert.deepEqual(bytes, await readFile(`${allowed}/${name}`));
    assert.equal(record.sha256, createHash('sha256').update(bytes).digest('hex'));
    return record;
  }

  async function contentOf({ upload_id: id }: UploadRecord): Promise<Buffer> {
    const answer = await fetch(await stage.client.contentUrl(id));
    assert.equal(answer.status, 200);
    return Buffer.from(await answer.arrayBuffer());
  }
});

function assertFailed(record: UploadRecord, error: string): void {
  assert.ok(isTerminal(record.status));
  assert.equal(record.status, 'failed');
  assert.equal(record.error, error, record.message ?? '');
  assert.ok((record.message ?? '').length > 10, 'it says why');
  assert.equal(record.size, null);
  assert.equal(record.verification, null);
}

/** Returns the name after `filename*=UTF-8''` (RFC 6266, RFC 8187), which wins over `filename=`. */
function fileNameIn(disposition: string): string {
  assert.match(disposition, /^attachment; /);
  assert.doesNotMatch(disposition, /[^\x20-\x7e]/);
  return decodeURIComponent(/filename\*=UTF-8''([^;]+)/.exec(disposition)?.[1] ?? '');
}
