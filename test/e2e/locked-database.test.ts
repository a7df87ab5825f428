import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { assertProblem } from '../harness/assert-problem.ts';
import { logged } from '../harness/program.ts';
import { randomFile } from '../harness/random-file.ts';
import { readinessWhen } from '../harness/readiness.ts';
import { Stage } from '../harness/stage.ts';

const MiB = 1024 * 1024;

/** Locks the database as a badly behaved program does, until disposed of. */
function lockDatabase(stage: Stage): Disposable {
  const database = new DatabaseSync(stage.directory.join('backhaul.sqlite'), { timeout: 5000 });
  database.exec('begin immediate');
  return { [Symbol.dispose]: () => database.close() };
}

/** Matches when the database has refused an agent's message at least twice. */
function refusedAgain(line: string): true | undefined {
  const entry = logged('database unavailable; retrying')(line);
  return Number(entry?.['tries']) >= 1 || undefined;
}

describe('while another program has locked the database', { concurrency: true }, () => {
  test('requests are refused honestly, and a pull under way goes on and ends on the same socket', async () => {
    await using stage = await Stage.start();
    const file = stage.directory.join('large.bin');
    const sha256 = await randomFile(file, 30 * MiB);
    const waiting = await stage.startAgent('bar', ['--file', file]);
    await waiting.stop();
    const { upload_id: queued } = await stage.client.triggerDownload('bar', {});
    const agent = await stage.startAgent('till', ['--file', file, '--max-rate', String(15 * MiB)]);
    const { upload_id: id } = await stage.client.triggerDownload('till', {});
    await stage.recordWhen(id, ({ parts_completed: parts }) => parts >= 1);
    {
      using _lock = lockDatabase(stage);
      const refusals = await Promise.all([
        stage.fetch('/trigger-download/till', { method: 'POST' }),
        stage.fetch(`/uploads/${queued}/cancel`, { method: 'POST' }),
      ]);
      for (const refusal of refusals) await assertProblem(refusal, 503, 'database_unavailable');
      const unready = await readinessWhen(stage, false);
      assert.match(unready.checks['store']?.detail ?? '', /locked/);
      assert.equal((await stage.client.getUpload(queued)).status, 'queued', 'it can be read');
      await agent.line(logged('all parts sent'));
      await stage.server.line(refusedAgain);
      assert.equal((await stage.client.getUpload(id)).status, 'uploading');
    }
    const record = await stage.ended(id);
    assert.equal(record.status, 'completed', record.message ?? '');
    assert.equal(record.attempt, 1);
    assert.equal(record.sha256, sha256);
    assert.equal((await readinessWhen(stage, true)).ready, true);
    assert.equal((await stage.client.getStatus('till')).connected, true);
    const connections = agent.output.stderr.split('\n').filter((line) => logged('connected')(line));
    assert.equal(connections.length, 1, 'the socket stayed');
    const { uploads } = await stage.client.listUploads();
    assert.deepEqual(
      uploads.map(({ upload_id }) => upload_id).sort(),
      [queued, id].sort(),
      'no trigger but those',
    );
  });

  test('a file that is prepared meanwhile is sent once it is free, and nothing is left in the bucket', async () => {
    await using stage = await Stage.start();
    const file = stage.directory.join('small.txt');
    await writeFile(file, 'small');
    const agent = await stage.startAgent('till', ['--file', file]);
    agent.kill('SIGSTOP');
    const { upload_id: id } = await stage.client.triggerDownload('till', {});
    await stage.recordWhen(id, ({ status }) => status === 'preparing');
    {
      using _lock = lockDatabase(stage);
      agent.kill('SIGCONT');
      await stage.server.line(refusedAgain);
    }
    const record = await stage.ended(id);
    assert.equal(record.status, 'completed', record.message ?? '');
    assert.equal(record.attempt, 1);
    await stage.noOpenMultipartUploads();
  });

  test('an agent that goes meanwhile is seen to be gone, and one that comes is welcomed, after it', async () => {
    await using stage = await Stage.start();
    const file = stage.directory.join('small.txt');
    await writeFile(file, 'small');
    const going = await stage.startAgent('going', ['--file', file]);
    const coming = await stage.startAgent('coming', ['--file', file]);
    await coming.stop();
    {
      using _lock = lockDatabase(stage);
      await going.stop();
      await stage.server.line(refusedAgain);
      const back = stage.spawnAgent({
        args: ['--client-id', 'coming', '--server-url', stage.webSocketUrl, '--file', file],
        env: { BACKHAUL_TOKEN: await stage.tokens.agent('coming') },
      });
      await back.line((line) => line.includes('connection closed by the server') || undefined);
    }
    const { upload_id: id } = await stage.client.triggerDownload('coming', {});
    assert.equal((await stage.ended(id)).status, 'completed');
    // Both were waiting for their next try; the order is random.
    const signal = AbortSignal.timeout(30_000);
    while ((await stage.client.getStatus('going', { signal })).connected) await delay(20);
  });
});
