import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import type { EmbeddedStore } from '../harness/embedded-store.ts';
import { hasExternalStore } from '../harness/object-store.ts';
import { logged } from '../harness/program.ts';
import { randomFile } from '../harness/random-file.ts';
import { readinessWhen } from '../harness/readiness.ts';
import { Stage } from '../harness/stage.ts';

const MiB = 1024 * 1024;

describe('while the object store is away', { skip: hasExternalStore(), concurrency: true }, () => {
  test('the server is not ready but takes triggers, and does them once the store is back', async () => {
    await using stage = await Stage.start();
    const store = embeddedOf(stage);
    const file = stage.directory.join('small.txt');
    await writeFile(file, 'small');
    await stage.startAgent('till', ['--file', file]);
    assert.equal((await fetch(`${stage.url}/readyz`)).status, 200);

    await store.goAway();
    const unready = await readinessWhen(stage, false);
    assert.equal(unready.checks['s3']?.ok, false);
    assert.equal(unready.checks['store']?.ok, true);
    assert.equal((await fetch(`${stage.url}/healthz`)).status, 200);
    const accepted = await stage.client.triggerDownload('till', {});
    await stage.server.line(logged('queue not dispatched; the sweeper will retry'));
    assert.equal((await stage.client.getUpload(accepted.upload_id)).status, 'queued');

    await store.comeBack();
    assert.equal((await stage.ended(accepted.upload_id)).status, 'completed');
    assert.equal((await readinessWhen(stage, true)).ready, true);
  });

  test('an upload whose file is being prepared goes back to the queue, and is done once it is back', async () => {
    await using stage = await Stage.start();
    const store = embeddedOf(stage);
    const file = stage.directory.join('small.txt');
    await writeFile(file, 'small');
    const agent = await stage.startAgent('till', ['--file', file]);
    agent.kill('SIGSTOP');
    const { upload_id: id } = await stage.client.triggerDownload('till', {});
    await stage.recordWhen(id, ({ status }) => status === 'preparing');
    await store.goAway();
    agent.kill('SIGCONT');
    const waiting = await stage.recordWhen(id, ({ attempt }) => attempt === 2);
    assert.equal(waiting.status, 'queued');
    assert.match(waiting.message ?? '', /object store/);
    await agent.line(logged('upload cancelled by the server'));
    await store.comeBack();
    const record = await stage.ended(id);
    assert.equal(record.status, 'completed', record.message ?? '');
    assert.equal(record.message, null);
  });

  test('parts that were on their way are sent once it is back', async () => {
    await using stage = await Stage.start();
    const store = embeddedOf(stage);
    const file = stage.directory.join('large.bin');
    const sha256 = await randomFile(file, 30 * MiB);
    await stage.startAgent('till', ['--file', file, '--max-rate', String(12 * MiB)]);
    const { upload_id: id } = await stage.client.triggerDownload('till', {});
    await stage.recordWhen(id, ({ parts_completed: parts }) => parts >= 1);
    await store.goAway();
    await store.comeBack();
    const record = await stage.ended(id);
    assert.equal(record.status, 'completed', record.message ?? '');
    assert.equal(record.attempt, 1);
    assert.equal(record.sha256, sha256);
  });

  test('the server starts, and works once the store is there', async () => {
    await using stage = await Stage.start();
    const store = embeddedOf(stage);
    const file = stage.directory.join('small.txt');
    await writeFile(file, 'small');
    await stage.startAgent('till', ['--file', file]);
    await store.goAway();
    const exit = await stage.restartServer();
    assert.equal(exit.code, 0);
    await stage.server.line(logged('object store unreachable; running but not ready'));
    assert.equal((await readinessWhen(stage, false)).ready, false);
    const accepted = await stage.client.triggerDownload('till', {});
    assert.equal(accepted.status, 'queued');
    await store.comeBack();
    const record = await stage.ended(accepted.upload_id);
    assert.equal(record.status, 'completed', record.message ?? '');
  });
});

function embeddedOf({ s3 }: Stage): EmbeddedStore {
  assert.ok(s3.embedded !== undefined);
  return s3.embedded;
}
