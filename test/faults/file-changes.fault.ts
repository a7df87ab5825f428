import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { appendFile, readFile, utimes } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ChangePolicy, UploadRecord } from '@backhaul/protocol';
import { objectSize } from '../harness/object-size.ts';
import { logged } from '../harness/program.ts';
import { randomFile } from '../harness/random-file.ts';
import { Stage } from '../harness/stage.ts';
import { changes, type FileChange, harmless, OLD_TIME } from './change-file.ts';

const MiB = 1024 * 1024;
const FILE_BYTES = 42 * MiB + 11;
/** Slow enough to change the file during the pull. */
const RATE = 10 * MiB;

type Moment = 'during the pull' | 'while the agent is down';
const moments: readonly Moment[] = ['during the pull', 'while the agent is down'];

describe('a file that changes', { concurrency: 2 }, () => {
  for (const moment of moments) {
    for (const change of changes) {
      test(`is file_changed when it is ${change.how} ${moment}`, async () => {
        await using stage = await Stage.start();
        const { record } = await pullOfChangingFile(stage, { moment, change });
        assert.equal(record.status, 'failed', JSON.stringify(record));
        assert.equal(record.error, 'file_changed', record.message ?? '');
        assert.ok((record.message ?? '').length > 20, 'it says how');
        assert.equal(await objectSize(stage.s3, record.key), undefined, 'there is no object');
        await stage.noOpenMultipartUploads();
      });
    }

    test(`is delivered when it is ${harmless.how} ${moment}`, async () => {
      await using stage = await Stage.start();
      const { record, sha256 } = await pullOfChangingFile(stage, { moment, change: harmless });
      assert.equal(record.status, 'completed', record.message ?? '');
      assert.equal(record.sha256, sha256);
    });

    test(`is delivered by \`prefix\` with exactly its first bytes when it grows ${moment}`, async () => {
      await using stage = await Stage.start();
      const [change] = changes;
      assert.ok(change !== undefined);
      const { record, sha256, path } = await pullOfChangingFile(stage, { moment, change, policy: 'prefix' });
      assert.equal(record.status, 'completed', record.message ?? '');
      assert.equal(record.size, FILE_BYTES);
      assert.equal(record.sha256, sha256);
      assert.equal(await objectSize(stage.s3, record.key), FILE_BYTES);
      const copy = stage.directory.join('copy.bin');
      const { code, stderr } = await stage.cli('content', record.upload_id, '--output', copy);
      assert.equal(code, 0, stderr);
      assert.equal(sha256Of(await readFile(copy)), sha256);
      assert.ok((await readFile(path)).length > FILE_BYTES, 'it did grow');
    });

    for (const change of changes.slice(1)) {
      // The open file of a rotated log still has its beginning; a new process cannot find it again.
      const isRotated = change.how === 'replaced by rename' && moment === 'during the pull';
      test(`is ${isRotated ? 'delivered' : 'file_changed'} by \`prefix\` when it is ${change.how} ${moment}`, async () => {
        await using stage = await Stage.start();
        const { record, sha256 } = await pullOfChangingFile(stage, { moment, change, policy: 'prefix' });
        assert.equal(record.error, isRotated ? null : 'file_changed', JSON.stringify(record));
        assert.equal(record.sha256, isRotated ? sha256 : null);
        assert.equal(await objectSize(stage.s3, record.key), isRotated ? FILE_BYTES : undefined);
      });

      test(`is delivered in its new version by \`restart\` when it is ${change.how} ${moment}`, async () => {
        await using stage = await Stage.start();
        const { record, path } = await pullOfChangingFile(stage, { moment, change, policy: 'restart' });
        assert.equal(record.status, 'completed', record.message ?? '');
        assert.equal(record.sha256, sha256Of(await readFile(path)));
        assert.ok(record.attempt > 1);
        await stage.noOpenMultipartUploads();
      });
    }
  }

  test('all the time is given up by `restart` after a few times', async () => {
    await using stage = await Stage.start();
    const path = stage.directory.join('restless.log');
    await randomFile(path, FILE_BYTES);
    await stage.startAgent('till', ['--file', path, '--max-rate', String(RATE)]);
    await using restless = restlessly(() => appendFile(path, 'one more line\n'));
    const { upload_id: id } = await stage.client.triggerDownload('till', { on_change: 'restart' });
    const record = await stage.ended(id);
    assert.ok(restless.times > 5);
    assert.equal(record.error, 'file_changed', JSON.stringify(record));
    assert.match(record.message ?? '', /Restarted 5 times/);
    await stage.noOpenMultipartUploads();
  });
});

interface ChangingFile {
  readonly moment: Moment;
  readonly change: FileChange;
  readonly policy?: ChangePolicy;
}

async function pullOfChangingFile(
  stage: Stage,
  { moment, change, policy = 'fail' }: ChangingFile,
): Promise<{ record: UploadRecord; sha256: string; path: string }> {
  const path = stage.directory.join('changing.bin');
  const sha256 = await randomFile(path, FILE_BYTES);
  await utimes(path, OLD_TIME, OLD_TIME);
  const args = ['--file', path, '--max-rate', String(RATE)];
  const agent = await stage.startAgent('till', args);
  const { upload_id: id } = await stage.client.triggerDownload('till', { on_change: policy });
  await stage.recordWhen(id, ({ parts_completed: parts }) => parts >= 2);
  if (moment === 'during the pull') {
    await change.apply(path);
  } else {
    agent.kill('SIGKILL');
    await agent.exit;
    const record = await stage.client.getUpload(id);
    assert.equal(record.completed_at, null, 'it was interrupted');
    await change.apply(path);
    const again = await stage.startAgent('till', args);
    if (change === harmless) await again.line(logged('resumed'));
  }
  return { record: await stage.ended(id), sha256, path };
}

function sha256Of(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Repeats the action until it is disposed of. */
function restlessly(act: () => Promise<void>) {
  let times = 0;
  const stop = new AbortController();
  const running = (async () => {
    while (!stop.signal.aborted) {
      await act();
      times += 1;
      await sleep(50);
    }
  })();
  return {
    get times() {
      return times;
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
    },
  };
}
