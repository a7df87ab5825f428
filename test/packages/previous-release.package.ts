import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import type { UploadRecord } from '@backhaul/protocol';
import { holdRequest } from '../faults/injection/s3/hold.ts';
import type { Exit } from '../harness/program.ts';
import { randomFile } from '../harness/random-file.ts';
import { readEvents } from '../harness/read-events.ts';
import { Stage, type StageOptions } from '../harness/stage.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../harness/temporary-directory.ts';
import { type PreviousRelease, previousRelease } from './previous-release.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const MiB = 1024 * 1024;
const SIZE_BYTES = 30 * MiB;
/** Slow enough for a test to run before the pull ends. */
const MAX_RATE = ['--max-rate', String(10 * MiB)];

let place: TemporaryDirectory;
let previous: PreviousRelease;
let large: string;
let largeSha256: string;
let small: string;

before(async () => {
  place = await temporaryDirectory();
  previous = await previousRelease(place.join('previous'));
  large = place.join('large.bin');
  small = place.join('small.bin');
  largeSha256 = await randomFile(large, SIZE_BYTES);
  await randomFile(small, 6 * MiB, 'small');
});
after(() => place[Symbol.asyncDispose]());

type Installed = NonNullable<StageOptions['installedIn']>;

const meetings: readonly { readonly title: string; readonly installed: () => Installed }[] = [
  {
    title: 'the previous agent and command line with this server',
    installed: () => ({ agent: previous.bin, cli: previous.bin }),
  },
  {
    title: 'this agent and command line with the previous server',
    installed: () => ({ server: previous.bin }),
  },
];

for (const { title, installed } of meetings) {
  describe(title, () => {
    let stage: Stage;
    before(async () => {
      stage = await Stage.start({ installedIn: installed(), faults: true });
      await stage.startAgent('till', ['--allow', place.path]);
    });
    after(() => stage[Symbol.asyncDispose]());

    test('have the server of that release', async () => {
      const { findings } = await stage.client.diagnosis();
      const isOfNow = findings.some(({ name }) => name === 'database');
      assert.equal(isOfNow, installed().server === undefined, '0.1.0 does not look at its database');
    });

    test('pull a file, show it, and compare it again', async () => {
      const copy = stage.directory.join('copy.bin');
      done(await stage.cli('download', '--client-id', 'till', '--file', small, '--output', copy));
      assert.equal(await sha256Of(copy), await sha256Of(small));
      const { uploads } = await stage.client.listUploads({ limit: 1 });
      const id = uploads[0]?.upload_id ?? 'none';
      assert.match(done(await stage.cli('status', 'till')), /till/);
      assert.match(done(await stage.cli('uploads')), /small\.bin/);
      assert.match(done(await stage.cli('uploads', id)), /completed/);
      assert.match(done(await stage.cli('clients')), /till/);
      done(await stage.cli('health', 'till'));
      assert.match(done(await stage.cli('ls', 'till', place.path)), /small\.bin/);
      done(await stage.cli('verify', id, '--content'));
      const second = stage.directory.join('second.bin');
      done(await stage.cli('content', id, '--output', second));
      assert.equal(await sha256Of(second), await sha256Of(small));
      done(await stage.cli('doctor'));
    });

    test('follow what happens', async () => {
      await using following = stage.startCli(['events', '--follow', '--json']);
      // The command does not report that it listens, and earlier events are not sent.
      const told = following.line((line) => /"status":"completed"/.test(line) || undefined);
      const heard = new AbortController();
      void told.then(() => heard.abort());
      while (!heard.signal.aborted)
        await Promise.race([told, stage.pull('till', { file_path: small, force: true })]);
      following.kill('SIGINT');
      await following.exit;
    });

    test('cancel a pull under way, and do it again', async () => {
      const held = stage.faults.next({
        operation: 'UploadPart',
        skip: 2,
        times: Infinity,
        fault: holdRequest(),
      });
      const { upload_id: id } = await stage.client.triggerDownload('till', { file_path: large });
      await held.fired();
      done(await stage.cli('cancel', id));
      assert.equal((await stage.ended(id)).status, 'cancelled');
      stage.faults.clear();
      done(await stage.cli('retry', id));
      await assertArrived(stage, await stage.ended(id), largeSha256);
    });

    test('go on with what was sent after the agent was killed', async () => {
      const killed = await stage.startAgent('bar', ['--allow', place.path, ...MAX_RATE]);
      const { upload_id: id } = await stage.client.triggerDownload('bar', { file_path: large });
      await stage.recordWhen(id, hasParts);
      killed.kill('SIGKILL');
      await killed.exit;
      await stage.recordWhen(id, ({ stalled_since: since }) => since !== null);
      await using _again = await stage.startAgent('bar', ['--allow', place.path]);
      const record = await stage.ended(id);
      await assertArrived(stage, record, largeSha256);
      assert.equal(record.attempt, 2);
    });
  });
}

test('a database of the previous server is taken over with all that had not ended', async () => {
  await using stage = await Stage.start({ installedIn: { server: previous.bin }, faults: true });
  const away = await stage.startAgent('away', ['--allow', place.path]);
  await away.stop();
  const queued = await stage.client.triggerDownload('away', { file_path: small });
  const killed = await stage.startAgent('killed', ['--allow', place.path, ...MAX_RATE]);
  const uploading = await stage.client.triggerDownload('killed', { file_path: large });
  await stage.recordWhen(uploading.upload_id, hasParts);
  killed.kill('SIGKILL');
  await killed.exit;
  await stage.recordWhen(uploading.upload_id, ({ stalled_since: since }) => since !== null);
  await using _till = await stage.startAgent('till', ['--allow', place.path]);
  const before = await stage.fetch('/events', { signal: AbortSignal.timeout(60_000) });
  const ended = await stage.pull('till', { file_path: small });
  const seen = await lastEventOf(before, ended.upload_id);
  const held = stage.faults.next({ operation: 'CompleteMultipartUpload', fault: holdRequest() });
  const completing = await stage.client.triggerDownload('till', { file_path: small, force: true });
  await held.fired();
  assert.equal((await stage.client.getUpload(completing.upload_id)).status, 'completing');
  assert.equal((await stage.client.getUpload(queued.upload_id)).status, 'queued');

  await stage.restartServer({ signal: 'SIGKILL', upgraded: true });
  stage.faults.clear();
  await using _agents = new AsyncDisposableStack();
  for (const clientId of ['away', 'killed']) {
    _agents.use(await stage.startAgent(clientId, ['--allow', place.path]));
  }
  const smallSha256 = await sha256Of(small);
  for (const { upload_id: id } of [queued, completing, ended]) {
    await assertArrived(stage, await stage.ended(id), smallSha256);
  }
  const resumed = await stage.ended(uploading.upload_id);
  await assertArrived(stage, resumed, largeSha256);
  assert.equal(resumed.attempt, 2);
  await stage.noOpenMultipartUploads();

  // The previous server issued this event id.
  const headers = { 'last-event-id': seen };
  const after = await stage.fetch('/events', { signal: AbortSignal.timeout(60_000), headers });
  const missed = new Set([queued, completing, uploading].map(({ upload_id: id }) => id));
  for await (const { record } of readEvents(after)) {
    if (record.status === 'completed') missed.delete(record.upload_id);
    if (missed.size === 0) break;
  }
});

test('a clone without the history says how to get it', async () => {
  const clone = place.join('shallow');
  await promisify(execFile)('git', ['clone', '--quiet', '--depth=1', pathToFileURL(root).href, clone]);
  await assert.rejects(
    previousRelease(place.join('none'), clone),
    /git fetch --unshallow; in CI, check out with fetch-depth: 0/,
  );
});

function hasParts({ parts_completed: parts }: UploadRecord): boolean {
  return parts >= 1;
}

/** Returns the id of the upload's end event. */
async function lastEventOf(stream: Response, uploadId: string): Promise<string> {
  for await (const { id, record } of readEvents(stream)) {
    if (record.upload_id === uploadId && record.completed_at !== null) return id;
  }
  throw new Error('its end was not told');
}

function done({ code, stdout, stderr }: Exit): string {
  assert.equal(code, 0, `${stdout}${stderr}`);
  return stdout;
}

async function assertArrived(stage: Stage, record: UploadRecord, sha256: string): Promise<void> {
  assert.equal(record.status, 'completed', record.message ?? '');
  const redirect = await stage.fetch(`/uploads/${record.upload_id}/content`);
  assert.equal(redirect.status, 302);
  const content = await fetch(redirect.headers.get('location') ?? '');
  const hash = createHash('sha256').update(Buffer.from(await content.arrayBuffer()));
  assert.equal(hash.digest('hex'), sha256);
}

async function sha256Of(file: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(file))
    .digest('hex');
}
