import assert from 'node:assert/strict';
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { filesBelow, md5Hex, patternBytes } from '../../../test/harness/object-store/store-fixture.ts';
import { temporaryDirectory } from '../../../test/harness/temporary-directory.ts';
import { ACCESS_KEY, SECRET_KEY, TestClient } from '../../../test/harness/object-store/test-client.ts';

const PROGRAM = fileURLToPath(new URL('../bin/backhaul-object-store.js', import.meta.url));

type Program = ChildProcessByStdio<Writable, Readable, Readable>;

function spawnProgram(args: readonly string[], environment: Readonly<Record<string, string>> = {}): Program {
  return spawn(process.execPath, [PROGRAM, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  });
}

interface RunningProgram extends AsyncDisposable {
  readonly program: Program;
  readonly client: TestClient;
  readonly exited: Promise<unknown>;
}

const KEYS = { BACKHAUL_STORE_ACCESS_KEY: ACCESS_KEY, BACKHAUL_STORE_SECRET_KEY: SECRET_KEY };

async function startProgram(dataDir: string, flags: readonly string[] = []): Promise<RunningProgram> {
  const program = spawnProgram(['--port', '0', '--data', dataDir, '--bucket', 'box', ...flags], KEYS);
  program.stderr.pipe(process.stderr);
  const exited = once(program, 'exit');
  const [line] = (await once(createInterface({ input: program.stdout }), 'line')) as [string];
  const { event, url } = JSON.parse(line) as { event: string; url: string };
  assert.equal(event, 'listening');
  const client = new TestClient(url);
  return {
    program,
    client,
    exited,
    [Symbol.asyncDispose]: async () => {
      client[Symbol.dispose]();
      program.kill('SIGKILL');
      await exited;
    },
  };
}

async function outcome(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<{ readonly status: number | null; readonly stdout: string; readonly stderr: string }> {
  const program = spawnProgram(args, environment);
  const exited = once(program, 'exit') as Promise<[number | null]>;
  const [stdout, stderr] = await Promise.all([text(program.stdout), text(program.stderr)]);
  return { status: (await exited)[0], stdout, stderr };
}

const PART = 5 * 1024 * 1024;
const A = patternBytes(PART, 'a');
const B = patternBytes(1000, 'b');

test('objects and the parts of open uploads survive kill -9, incomplete ones do not', async () => {
  await using directory = await temporaryDirectory();
  let uploadId: string;
  {
    await using running = await startProgram(directory.path);
    const { client, program } = running;
    await client.call('PUT', '/box/object', { body: A, headers: { 'x-amz-meta-a': 'b' } });
    uploadId = await client.createUpload('/box/open', { 'x-amz-meta-token': 't' });
    await client.uploadPart('/box/open', { uploadId, number: 1, body: A });
    // Killed while parts are received: each is complete afterwards, or does not exist.
    const inFlight = [2, 3, 4].map((number) =>
      client.uploadPart('/box/open', { uploadId, number, body: A }).catch(() => undefined),
    );
    program.kill('SIGKILL');
    await Promise.all(inFlight);
    await running.exited;
  }
  // Files left by crashes at other moments.
  const bucket = join(directory.path, 'buckets', 'box');
  await writeFile(join(directory.path, 'tmp', 'half-written'), 'x');
  await mkdir(join(bucket, 'blobs', 'unreferenced'));
  await writeFile(join(bucket, 'blobs', 'unreferenced', '00001'), 'x');

  await using running = await startProgram(directory.path);
  const { client } = running;
  const object = await client.call('GET', '/box/object');
  assert.ok(object.body.equals(A));
  assert.equal(object.headers['x-amz-meta-a'], 'b');
  const { text: listed } = await client.call('GET', '/box/open', { query: { uploadId } });
  const sizes = [...listed.matchAll(/<Size>(\d+)/g)].map(([, size]) => Number(size));
  assert.ok(sizes.length >= 1 && sizes.every((size) => size === PART), sizes.join());
  await client.uploadPart('/box/open', { uploadId, number: 2, body: B });
  const done = await client.completeUpload('/box/open', uploadId, {
    parts: [A, B].map((body, at) => ({ PartNumber: at + 1, ETag: md5Hex(body) })),
  });
  assert.equal(done.status, 200, done.text);
  const completed = await client.call('GET', '/box/open');
  assert.ok(completed.body.equals(Buffer.concat([A, B])));
  assert.equal(completed.headers['x-amz-meta-token'], 't');
  const files = await filesBelow(directory.path);
  assert.ok(
    !files.some((file) => file.includes('half-written') || file.includes('unreferenced')),
    files.join('\n'),
  );
});

test('a completed upload whose record survived a crash is not reopened', async () => {
  await using directory = await temporaryDirectory();
  const records = join(directory.path, 'buckets', 'box', 'uploads');
  let uploadId: string;
  {
    await using running = await startProgram(directory.path);
    const { client } = running;
    uploadId = await client.createUpload('/box/done');
    const record = await readFile(join(records, `${uploadId}.json`));
    await client.uploadPart('/box/done', { uploadId, number: 1, body: B });
    const parts = [{ PartNumber: 1, ETag: md5Hex(B) }];
    assert.equal((await client.completeUpload('/box/done', uploadId, { parts })).status, 200);
    // As if the crash happened between writing the manifest and removing the record.
    await writeFile(join(records, `${uploadId}.json`), record);
  }
  await using running = await startProgram(directory.path);
  const { client } = running;
  const aborted = await client.call('DELETE', '/box/done', { query: { uploadId } });
  assert.equal(aborted.code, 'NoSuchUpload');
  assert.ok((await client.call('GET', '/box/done')).body.equals(B));
});

test('a second process on the same data directory is refused, but not after kill -9', async () => {
  await using directory = await temporaryDirectory();
  {
    await using first = await startProgram(directory.path);
    const { status, stderr } = await outcome(['--port', '0', '--data', directory.path], KEYS);
    assert.equal(status, 2);
    assert.match(stderr, /is in use by another backhaul-object-store.*--data/);
    assert.equal((await first.client.call('HEAD', '/box')).status, 200);
  }
  await using second = await startProgram(directory.path);
  assert.equal((await second.client.call('HEAD', '/box')).status, 200);
});

test('with --exit-with-stdin it exits with 0 when standard input closes', async () => {
  await using directory = await temporaryDirectory();
  await using running = await startProgram(directory.path, ['--exit-with-stdin']);
  running.program.stdin.end();
  assert.deepEqual(await running.exited, [0, null]);
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} lets the running request finish, then exits with 0`, async () => {
    await using directory = await temporaryDirectory();
    await using running = await startProgram(directory.path);
    const { client, program } = running;
    await client.call('PUT', '/box/large', { body: patternBytes(20_000_000, 'large') });
    const reading = client.call('GET', '/box/large');
    const warm = client.call('HEAD', '/box/large');
    await warm;
    program.kill(signal);
    assert.equal((await reading).body.length, 20_000_000);
    const readAtMs = performance.now();
    assert.deepEqual(await running.exited, [0, null]);
    // Kept-alive connections must not delay it until the close timeout of 10 s.
    assert.ok(performance.now() - readAtMs < 6000);
  });
}

test('the access log has a line for each request, and no signature', async () => {
  await using directory = await temporaryDirectory();
  const log = join(directory.path, 'access.log');
  await using running = await startProgram(join(directory.path, 'data'), ['--access-log', log]);
  const { client, program } = running;
  const uploadId = await client.createUpload('/box/logged');
  const target = client.presign('PUT', '/box/logged', { query: { uploadId, partNumber: '1' } });
  await client.putPresigned(target, B);
  await client.call('GET', '/box/none');
  await client.call('GET', '/box/none', { secretKey: 'wrong' });
  program.kill('SIGTERM');
  await running.exited;
  const written = await readFile(log, 'utf8');
  assert.doesNotMatch(written, /X-Amz|Signature=|AWS4-HMAC|test-secret|test-access/);
  const entries = written
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const put = entries[1];
  assert.ok(put !== undefined && entries.length === 4);
  const { level, time, msg, ...request } = put;
  assert.deepEqual([level, time, msg], ['info', put['ended_at'], 'request']);
  const { started_at, started_at_ms, ended_at_ms } = request;
  assert.equal(Date.parse(String(started_at)), started_at_ms);
  assert.ok(Number(ended_at_ms) >= Number(started_at_ms));
  assert.deepEqual(
    { ...request, request_id: '', started_at: '', started_at_ms: 0, ended_at: '', ended_at_ms: 0 },
    {
      request_id: '', started_at: '', started_at_ms: 0, ended_at: '', ended_at_ms: 0, method: 'PUT',
      operation: 'UploadPart', bucket: 'box', key: 'logged', upload_id: uploadId, part_number: 1, status: 200,
      error_code: null, bytes_in: B.length, bytes_out: 0,
    }, // prettier-ignore
  );
  assert.deepEqual([entries[2]?.['status'], entries[2]?.['error_code']], [404, 'NoSuchKey']);
  assert.deepEqual([entries[3]?.['status'], entries[3]?.['error_code']], [403, 'SignatureDoesNotMatch']);
});

test('a usage error is printed to standard error, with status 2', async () => {
  const { status, stdout, stderr } = await outcome(['--port', '0'], KEYS);
  assert.deepEqual([status, stdout], [2, '']);
  assert.match(stderr, /--data is missing.*\nSee backhaul-object-store --help/);
});

test('--version prints the version', async () => {
  const { status, stdout } = await outcome(['--version']);
  assert.equal(status, 0);
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
});
