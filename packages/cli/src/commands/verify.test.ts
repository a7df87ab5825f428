import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { describe, test } from 'node:test';
import type { ObjectVerification, UploadRecord } from '@backhaul/protocol';
import { FakeBackhaul, sendJson, sendProblem } from '../../../../test/doubles/fake-backhaul.ts';
import type { ObjectFaults } from '../../../../test/doubles/fake-object-store.ts';
import { finishCli, runCli, startCli } from '../../../../test/harness/cli/run-cli.ts';
import { temporaryDirectory } from '../../../../test/harness/temporary-directory.ts';
import { failedRecord, recordVersions, startUpload } from '../../../../test/harness/cli/upload-fixture.ts';
import { UPLOAD_ID, uploadRecord } from '../../../../test/harness/upload-record.ts';

const content = randomBytes(9 * 1024 * 1024 + 1);

/** The server's result for an intact object in a store that keeps checksums. */
function found(fields: Partial<ObjectVerification> = {}): ObjectVerification {
  return {
    upload_id: UPLOAD_ID,
    verdict: 'intact',
    verification: 'full_object',
    checks: [
      { name: 'token', ok: true, expected: null, found: null },
      { name: 'size', ok: true, expected: String(content.length), found: String(content.length) },
      { name: 'crc32', ok: true, expected: 'AAAAAA==', found: 'AAAAAA==' },
      { name: 'etag', ok: true, expected: '"a"', found: '"a"' },
      { name: 'version_id', ok: null, expected: null, found: null },
    ],
    checked_at: '2025-11-01T10:40:00.000Z',
    ...fields,
  };
}

interface Scenario {
  readonly result?: Partial<ObjectVerification>;
  readonly faults?: ObjectFaults;
  readonly last?: Partial<UploadRecord>;
}

async function start({ result, faults, last }: Scenario = {}) {
  return await startUpload(content, {
    ...(faults !== undefined && { faults }),
    ...(last !== undefined && { last }),
    routes: {
      [`GET /uploads/${UPLOAD_ID}/verification`]: (response) => sendJson(response, found(result)),
    },
  });
}

const VERIFY = ['verify', UPLOAD_ID];

describe('verify', { concurrency: 4 }, () => {
  test('prints a line for each check and the result, and reads no bytes', async () => {
    await using upload = await start();
    const { code, stdout, stderr } = await runCli(VERIFY, { env: upload.server.env });
    assert.equal(stderr, '');
    assert.equal(code, 0);
    assert.deepEqual(stdout.trimEnd().split('\n'), [
      'ok       token: the object belongs to this upload',
      `ok       size: ${content.length}`,
      'ok       crc32: AAAAAA==',
      'ok       etag: "a"',
      `intact   s3://my-app-uploads/uploads/restaurant-1/${UPLOAD_ID}/report.bin (verified by the store’s checksum of the whole object)`,
    ]);
    assert.deepEqual(upload.store.ranges, []);
  });

  for (const verification of ['parts', 'size_only'] as const) {
    test(`with ${verification} says how weak the check was and suggests --content`, async () => {
      await using upload = await start({
        result: {
          verification,
          checks: [{ name: 'crc32', ok: null, expected: 'AAAAAA==', found: null }],
        },
      });
      const { code, stdout } = await runCli(VERIFY, { env: upload.server.env });
      assert.equal(code, 0);
      assert.match(stdout, /^– {8}crc32: not reported by the store; recorded: AAAAAA==$/m);
      assert.match(stdout, /^intact .*\(verified by size (only|and ETag)/m);
      assert.match(stdout, new RegExp(`→ .*: backhaul verify ${UPLOAD_ID} --content`));
    });
  }

  test('of an altered object exits with 7 and names what differs', async () => {
    const checks = [
      { name: 'token', ok: false, expected: null, found: null },
      { name: 'etag', ok: false, expected: '"a"', found: '"b\u001b[31m"' },
    ] as const;
    await using upload = await start({ result: { verdict: 'altered', checks: [...checks] } });
    const { code, stdout, stderr } = await runCli(VERIFY, { env: upload.server.env });
    assert.equal(code, 7);
    assert.match(stdout, /^differs {2}token: the object does not belong to this upload$/m);
    assert.match(stdout, /^differs {2}etag: "b\\u001b\[31m", recorded: "a"$/m);
    assert.match(stdout, /^altered {2}s3:/m);
    assert.match(stderr, /differs from its record: token, etag\./);
  });

  test('of a missing object exits with 4', async () => {
    await using upload = await start({ result: { verdict: 'missing', verification: null, checks: [] } });
    for (const args of [VERIFY, [...VERIFY, '--content']]) {
      const { code, stdout, stderr } = await runCli(args, { env: upload.server.env });
      assert.equal(code, 4);
      assert.match(stdout, /^missing {2}s3:/);
      assert.match(stderr, /no longer/);
    }
    assert.equal(upload.store.urlsMade, 0);
  });

  test('with --json prints the result as one value, and an error on standard error', async () => {
    await using intact = await start();
    const good = await runCli([...VERIFY, '--json'], { env: intact.server.env });
    assert.equal(good.code, 0);
    assert.deepEqual(JSON.parse(good.stdout), { ...found(), content: null });
    assert.equal(good.stderr, '');
    const result = { verdict: 'missing', verification: null, checks: [] } as const;
    await using missing = await start({ result: { ...result, checks: [] } });
    const bad = await runCli([...VERIFY, '--json'], { env: missing.server.env });
    assert.equal(bad.code, 4);
    assert.deepEqual(JSON.parse(bad.stdout), { ...found({ ...result, checks: [] }), content: null });
    const { error } = JSON.parse(bad.stderr) as { error: Record<string, unknown> };
    assert.equal(error['code'], 'object_not_found');
  });

  test('of a running upload exits with 5, of a failed one with the code of its error', async () => {
    await using running = await FakeBackhaul.start({
      [`GET /uploads/${UPLOAD_ID}`]: (response) => sendJson(response, uploadRecord()),
    });
    const early = await runCli(VERIFY, { env: running.env });
    assert.equal(early.code, 5);
    assert.match(early.stderr, /no finished object yet[\s\S]*--follow/);
    await using failed = await FakeBackhaul.start({
      [`GET /uploads/${UPLOAD_ID}`]: (response) =>
        sendJson(response, failedRecord({ error: 'path_not_allowed' })),
    });
    assert.equal((await runCli(VERIFY, { env: failed.env })).code, 6);
  });

  test('exits with 5 if the store is unavailable', async () => {
    await using server = await FakeBackhaul.start({
      [`GET /uploads/${UPLOAD_ID}`]: (response) => sendJson(response, recordVersions(content).at(-1)),
      [`GET /uploads/${UPLOAD_ID}/verification`]: (response) => sendProblem(response, 'storage_unavailable'),
    });
    assert.equal((await runCli(VERIFY, { env: server.env })).code, 5);
  });
});

describe('verify --content', { concurrency: 4 }, () => {
  test('reads every byte, shows progress and stores nothing', async () => {
    await using directory = await temporaryDirectory();
    await using upload = await start();
    const { code, stdout, stderr } = await runCli([...VERIFY, '--content'], {
      env: upload.server.env,
      cwd: directory.path,
    });
    assert.equal(stderr, '');
    assert.equal(code, 0);
    assert.match(stdout, /^checking {2}\d+% {2}/m);
    assert.match(stdout, new RegExp(`^ok {7}content size: ${content.length}$`, 'm'));
    assert.match(stdout, /^ok {7}content crc32: .{6}==$/m);
    assert.match(stdout, /^ok {7}content sha256: [0-9a-f]{64}$/m);
    assert.match(stdout, /^intact .*\(content read, verified by sha256\)$/m);
    assert.deepEqual(upload.store.ranges, ['bytes=0-8388607', `bytes=8388608-${content.length - 1}`]);
    assert.deepEqual(await readdir(directory.path), []);
  });

  test('detects one changed bit that the store does not report', async () => {
    await using upload = await start();
    upload.store.content = Buffer.from(content);
    upload.store.content.writeUInt8((content.at(-1) ?? 0) ^ 1, content.length - 1);
    const { code, stdout, stderr } = await runCli([...VERIFY, '--content', '--json'], {
      env: upload.server.env,
    });
    assert.equal(code, 7);
    const report = JSON.parse(stdout) as { verdict: string; content: { checks: { ok: boolean }[] } };
    assert.equal(report.verdict, 'altered');
    assert.deepEqual(
      report.content.checks.map(({ ok }) => ok),
      [true, false, false],
    );
    assert.match(stderr, /content crc32, content sha256/);
  });

  test('uses CRC32 if the record has no SHA-256', async () => {
    await using upload = await start({ last: { sha256: null } });
    const good = await runCli([...VERIFY, '--content'], { env: upload.server.env });
    assert.equal(good.code, 0);
    assert.match(good.stdout, /verified by crc32\)$/m);
    assert.doesNotMatch(good.stdout, /sha256/);
    upload.store.content = Buffer.from(content);
    upload.store.content.writeUInt8((content[0] ?? 0) ^ 1, 0);
    const bad = await runCli([...VERIFY, '--content'], { env: upload.server.env });
    assert.equal(bad.code, 7);
    assert.match(bad.stdout, /^differs {2}content crc32: /m);
  });

  test('skips reading if token or size differ', async () => {
    for (const name of ['token', 'size'] as const) {
      const checks = [{ name, ok: false, expected: null, found: null }];
      await using upload = await start({ result: { verdict: 'altered', checks } });
      const { code, stdout } = await runCli([...VERIFY, '--content', '--json'], { env: upload.server.env });
      assert.equal(code, 7);
      assert.equal((JSON.parse(stdout) as { content: unknown }).content, null);
      assert.equal(upload.store.urlsMade, 0);
      const asText = await runCli([...VERIFY, '--content'], { env: upload.server.env });
      assert.match(asText.stderr, /Skipped reading/);
    }
  });

  test('reads an object with another ETag, and still reports it as altered', async () => {
    const checks = [{ name: 'etag', ok: false, expected: '"a"', found: '"b"' }] as const;
    await using upload = await start({ result: { verdict: 'altered', checks: [...checks] } });
    const { code, stdout } = await runCli([...VERIFY, '--content'], { env: upload.server.env });
    assert.equal(code, 7);
    assert.match(stdout, /^ok {7}content sha256/m);
    assert.match(stdout, /^altered/m);
  });

  test('exits with 7 if the store sends another length than its HEAD reports', async () => {
    await using upload = await start();
    upload.store.content = content.subarray(0, 1000);
    const { code, stderr } = await runCli([...VERIFY, '--content'], { env: upload.server.env });
    assert.equal(code, 7);
    assert.match(stderr, /size|shorter/);
  });

  test('continues after a cut connection without counting bytes twice', async () => {
    await using upload = await start({ faults: { cuts: 3, cutAfterBytes: 1_000_000 } });
    const { code, stderr } = await runCli([...VERIFY, '--content'], { env: upload.server.env });
    assert.equal(code, 0, stderr);
    assert.equal(upload.store.cutsMade, 3, 'the fault has fired');
  });

  test('on Ctrl-C exits with 130', async () => {
    await using upload = await start({ faults: { hangAfterBytes: 1000 } });
    const child = startCli([...VERIFY, '--content'], { env: upload.server.env });
    child.stdout.on('data', (chunk: Buffer) => {
      if (chunk.includes('checking')) child.kill('SIGINT');
    });
    const { code, stdout } = await finishCli(child);
    assert.equal(code, 130);
    assert.doesNotMatch(stdout, /intact/);
  });
});
