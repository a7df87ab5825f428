import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { HeadObjectCommand } from '@aws-sdk/client-s3';
import type { UploadRecord } from '@backhaul/protocol';
import { assertProblem } from '../harness/assert-problem.ts';
import { type Program, logged } from '../harness/program.ts';
import { randomFile } from '../harness/random-file.ts';
import { Stage } from '../harness/stage.ts';

const MiB = 1024 * 1024;

describe('an upload', () => {
  let stage: Stage;
  let agent: Program;
  let file: string;
  let sha256: string;
  before(async () => {
    stage = await Stage.start();
    file = stage.directory.join('report.bin');
    sha256 = await randomFile(file, 12 * MiB);
    agent = await stage.startAgent('till', ['--allow', stage.directory.path, '--max-rate', String(8 * MiB)]);
    const away = await stage.startAgent('away', ['--file', file]);
    await away.stop();
  });
  after(() => stage[Symbol.asyncDispose]());

  test('cancelled while it is queued never starts', async () => {
    const queued = await stage.client.triggerDownload('away', {});
    const cancelled = await stage.client.cancelUpload(queued.upload_id);
    assert.equal(cancelled.status, 'cancelled');
    assert.equal(cancelled.error, 'cancelled');
    assert.match(cancelled.message ?? '', /tester/);
    assert.notEqual(cancelled.completed_at, null);
    assert.equal(cancelled.started_at, null);
    assert.deepEqual((await stage.client.getStatus('away')).active_uploads, []);
  });

  test('cancelled while it is uploading stops the agent and frees the store; retried, it completes', async () => {
    const running = await startUploading();
    assert.deepEqual(await stage.openMultipartUploads(), [running.key]);
    const told = agent.line((line) => {
      const entry = logged('upload cancelled by the server')(line);
      return entry?.['upload_id'] === running.upload_id ? entry : undefined;
    });
    const cancelled = await stage.client.cancelUpload(running.upload_id);
    assert.equal(cancelled.status, 'cancelled');
    await stage.noOpenMultipartUploads();
    await told;
    const health = await stage.client.runCommand('till', 'health_check', {});
    assert.equal(health.active_uploads, 0);
    await assertNoObject(running.key);

    const retried = await stage.client.retryUpload(running.upload_id);
    assert.equal(retried.upload_id, running.upload_id);
    assert.equal(retried.attempt, 2);
    assert.equal(retried.error, null);
    assert.equal(retried.completed_at, null);
    const completed = await stage.ended(running.upload_id);
    assert.equal(completed.status, 'completed', completed.message ?? '');
    assert.equal(completed.attempt, 2);
    assert.equal(completed.sha256, sha256);
    await stage.noOpenMultipartUploads();
  });

  test('that has ended cannot be cancelled', async () => {
    const failed = await stage.pull('till', { file_path: stage.directory.join('missing.bin') });
    assert.equal(failed.status, 'failed');
    for (let times = 0; times < 2; times += 1) {
      await assertProblem(await post(failed, 'cancel'), 409, 'upload_finished');
    }
    assert.equal((await stage.client.getUpload(failed.upload_id)).error, 'file_not_found');
  });

  test('that failed completes on a second attempt, once its reason is gone', async () => {
    const path = stage.directory.join('late.txt');
    const failed = await stage.pull('till', { file_path: path });
    assert.equal(failed.error, 'file_not_found');
    await writeFile(path, 'here now');
    const retried = await stage.client.retryUpload(failed.upload_id);
    assert.equal(retried.attempt, 2);
    const completed = await stage.ended(failed.upload_id);
    assert.equal(completed.status, 'completed', completed.message ?? '');
    assert.equal(completed.attempt, 2);
    assert.equal(completed.error, null);
    assert.equal(completed.message, null);
    assert.ok(completed.version > failed.version);
  });

  test('that completed, or runs, cannot be retried', async () => {
    const completed = await pullSmall('done.txt');
    await assertProblem(await post(completed, 'retry'), 409, 'upload_not_retryable');
    const queued = await stage.client.triggerDownload('away', {});
    await assertProblem(await post(queued, 'retry'), 409, 'upload_not_retryable');
    await stage.client.cancelUpload(queued.upload_id);
  });

  test('is deleted only after its end, and is gone then', async () => {
    const queued = await stage.client.triggerDownload('away', {});
    await assertProblem(await remove(queued), 409, 'upload_not_finished');
    const running = await startUploading();
    await assertProblem(await remove(running), 409, 'upload_not_finished');
    for (const record of [queued, running]) {
      await stage.client.cancelUpload(record.upload_id);
      assert.equal((await remove(record)).status, 204);
      await assertProblem(await remove(record), 404, 'upload_not_found');
      await assertProblem(await stage.fetch(`/uploads/${record.upload_id}`), 404, 'upload_not_found');
      await assertProblem(await post(record, 'retry'), 404, 'upload_not_found');
      await assertProblem(await post(record, 'cancel'), 404, 'upload_not_found');
    }
  });

  test('is deleted with its object only if that is asked for', async () => {
    const kept = await pullSmall('kept.txt');
    await assertProblem(await remove(kept, '?object=perhaps'), 400, 'invalid_request');
    await assertProblem(await remove(kept, '?objects=true'), 400, 'invalid_request');
    assert.equal((await remove(kept)).status, 204);
    await stage.s3.client.send(new HeadObjectCommand({ Bucket: kept.bucket, Key: kept.key }));
    const removed = await pullSmall('removed.txt');
    assert.equal((await remove(removed, '?object=true')).status, 204);
    await assertNoObject(removed.key);
  });

  test('keeps its client from being forgotten until it has ended; the record stays', async () => {
    const forgotten = await stage.startAgent('short-lived', ['--file', file, '--max-rate', '1048576']);
    const running = await stage.client.triggerDownload('short-lived', {});
    await stage.recordWhen(running.upload_id, ({ status }) => status === 'uploading');
    await assertProblem(await stage.fetch('/clients/short-lived', { method: 'DELETE' }), 409, 'client_busy');
    await stage.client.cancelUpload(running.upload_id);
    assert.equal((await stage.fetch('/clients/short-lived', { method: 'DELETE' })).status, 204);
    await forgotten.line((line) => (line.includes('has forgotten this client_id') ? true : undefined));
    await assertProblem(await stage.fetch('/status/short-lived'), 404, 'client_not_found');
    await assertProblem(
      await stage.fetch('/trigger-download/short-lived', { method: 'POST' }),
      404,
      'client_not_found',
    );
    await assertProblem(
      await stage.fetch('/clients/short-lived', { method: 'DELETE' }),
      404,
      'client_not_found',
    );
    assert.equal((await stage.client.getUpload(running.upload_id)).status, 'cancelled');
  });

  async function startUploading(): Promise<UploadRecord> {
    const accepted = await stage.client.triggerDownload('till', { file_path: file });
    return await stage.recordWhen(accepted.upload_id, ({ status }) => status === 'uploading');
  }

  async function pullSmall(name: string): Promise<UploadRecord> {
    await writeFile(stage.directory.join(name), name);
    const record = await stage.pull('till', { file_path: stage.directory.join(name) });
    assert.equal(record.status, 'completed', record.message ?? '');
    return record;
  }

  function post({ upload_id: id }: UploadRecord, action: 'cancel' | 'retry'): Promise<Response> {
    return stage.fetch(`/uploads/${id}/${action}`, { method: 'POST' });
  }

  function remove({ upload_id: id }: UploadRecord, query = ''): Promise<Response> {
    return stage.fetch(`/uploads/${id}${query}`, { method: 'DELETE' });
  }

  async function assertNoObject(key: string): Promise<void> {
    await assert.rejects(stage.s3.client.send(new HeadObjectCommand({ Bucket: stage.s3.bucket, Key: key })), {
      name: 'NotFound',
    });
  }
});
