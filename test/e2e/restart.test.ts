import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { uploadRecordSchema } from '@backhaul/protocol';
import { logged } from '../harness/program.ts';
import { randomFile } from '../harness/random-file.ts';
import { Stage } from '../harness/stage.ts';

const MiB = 1024 * 1024;

describe('a restart of the server', { concurrency: true }, () => {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    test(`by ${signal} in the middle of an upload repeats no part`, async () => {
      await using stage = await Stage.start();
      const file = stage.directory.join('large.bin');
      const sha256 = await randomFile(file, 42 * MiB, signal);
      const agent = await stage.startAgent('till', ['--file', file, '--max-rate', String(20 * MiB)]);
      const { upload_id: id } = await stage.client.triggerDownload('till', {});
      await stage.recordWhen(id, ({ parts_completed: parts }) => parts >= 2);
      const exit = await stage.restartServer({ signal });
      if (signal === 'SIGTERM') assert.equal(exit.code, 0, exit.stdout.slice(-1000));
      const record = await stage.ended(id);
      assert.equal(record.status, 'completed', record.message ?? '');
      assert.equal(record.attempt, 1);
      assert.equal(record.part_count, 9);
      assert.equal(record.parts_completed, 9);
      assert.equal(record.sha256, sha256);
      const sessions = agent.output.stderr.split('\n').filter((line) => logged('connected')(line));
      assert.equal(sessions.length, 2, 'the agent came back, and was never restarted');
      if (stage.s3.isEmbedded) {
        const puts = (await stage.storeRequests()).filter(
          ({ operation, key }) => operation === 'UploadPart' && key === record.key,
        );
        assert.deepEqual(
          puts.map(({ part_number }) => part_number ?? 0).toSorted((a, b) => a - b),
          Array.from({ length: 9 }, (_, index) => index + 1),
        );
      }
    });
  }

  test('answers who waits, and keeps what is queued', async () => {
    // This level logs a request before its response.
    await using stage = await Stage.start({ env: { LOG_LEVEL: 'debug' } });
    const file = stage.directory.join('small.txt');
    await writeFile(file, 'small');
    const away = await stage.startAgent('away', ['--file', file]);
    await away.stop();
    const waiting = stage.fetch('/trigger-download/away', {
      method: 'POST',
      headers: { prefer: 'wait=300' },
    });
    await stage.server.line((line) => (line.includes('/trigger-download/away') ? true : undefined));
    const started = performance.now();
    const stopped = stage.server.exit.then(() => performance.now() - started);
    const exit = await stage.restartServer();
    assert.equal(exit.code, 0, exit.stdout.slice(-1000));
    assert.ok((await stopped) < 5000, `the server took ${await stopped} ms to stop`);
    const answer = await waiting;
    assert.equal(answer.status, 202);
    const record = uploadRecordSchema.parse(await answer.json());
    assert.equal(record.status, 'queued');
    await stage.startAgent('away', ['--file', file]);
    assert.equal((await stage.ended(record.upload_id)).status, 'completed');
  });
});
