import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { randomFile } from '../harness/random-file.ts';
import { Stage } from '../harness/stage.ts';

describe('a pull', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.start();
  });
  after(() => stage[Symbol.asyncDispose]());

  test('of 100 MiB is 20 parts, verified, and comes back as the same bytes', async () => {
    const source = stage.directory.join('report.bin');
    const sha256 = await randomFile(source, 100 * 1024 * 1024);
    await stage.startAgent('restaurant-1', ['--file', source]);

    const accepted = await stage.fetch('/trigger-download/restaurant-1', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ file_path: source }),
    });
    assert.equal(accepted.status, 202);
    const location = accepted.headers.get('location') ?? '';
    assert.match(location, /^\/uploads\/[0-9a-f-]{36}$/);

    let record = await stage.client.getUpload(location.slice('/uploads/'.length));
    for await (const next of stage.client.followUpload(record.upload_id)) record = next;
    assert.equal(record.status, 'completed', record.message ?? '');
    assert.equal(record.part_count, 20);
    assert.equal(record.parts_completed, 20);
    assert.equal(record.bytes_uploaded, record.size);
    assert.equal(record.sha256, sha256);
    // Other stores that enforce CRC32 also store that of the whole object.
    const enforcesCrc32 = stage.s3.isEmbedded || record.checksum_mode === 'crc32';
    assert.equal(record.checksum_mode, enforcesCrc32 ? 'crc32' : 'md5');
    assert.equal(record.verification, enforcesCrc32 ? 'full_object' : 'parts');

    const redirect = await stage.fetch(`${location}/content`);
    assert.equal(redirect.status, 302);
    const object = await fetch(redirect.headers.get('location') ?? '');
    const bytes = Buffer.from(await object.arrayBuffer());
    assert.equal(createHash('sha256').update(bytes).digest('hex'), sha256);

    const copy = stage.directory.join('copy.bin');
    const cli = await stage.cli('content', record.upload_id, '--output', copy);
    assert.equal(cli.code, 0, cli.stderr);
    assert.equal(
      createHash('sha256')
        .update(await readFile(copy))
        .digest('hex'),
      sha256,
    );
  });
});
