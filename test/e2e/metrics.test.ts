import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { hasExternalStore } from '../harness/object-store.ts';
import { readinessWhen } from '../harness/readiness.ts';
import { Stage } from '../harness/stage.ts';

test('/metrics counts what was pulled, and names no client, path or upload', async () => {
  await using stage = await Stage.start();
  const file = stage.directory.join('report.bin');
  await writeFile(file, Buffer.alloc(5 * 1024 * 1024 + 1));
  const before = await samples(stage);
  assert.equal(before.get('backhaul_connected_agents'), 0);
  // Prometheus sees an increase only if the series existed before.
  assert.equal(before.get('backhaul_uploads_ended_total{status="expired"}'), 0);
  assert.equal(before.get('backhaul_upload_failures_total{error="checksum_mismatch"}'), 0);
  assert.equal(before.get('backhaul_attempts_interrupted_total{next="start_over"}'), 0);
  await stage.startAgent('till', ['--file', file]);
  await (await stage.startAgent('away', ['--file', file])).stop();
  const completed = await stage.pull('till', {});
  const failed = await stage.pull('till', { file_path: '/outside' });
  const queued = await stage.client.triggerDownload('away', {});
  assert.deepEqual([completed.status, failed.status, queued.status], ['completed', 'failed', 'queued']);

  await stage.client.cancelUpload(queued.upload_id);
  const waiting = await stage.client.triggerDownload('away', {});
  assert.equal(waiting.status, 'queued');

  const after = await samples(stage);
  assert.equal(after.get('backhaul_connected_agents'), 1);
  assert.equal(after.get('backhaul_uploads_ended_total{status="completed"}'), 1);
  assert.equal(after.get('backhaul_uploads_ended_total{status="failed"}'), 1);
  assert.equal(after.get('backhaul_uploads{status="completed"}'), 1);
  assert.equal(after.get('backhaul_uploads{status="queued"}'), 1);
  assert.equal(after.get('backhaul_uploads{status="uploading"}'), 0);
  assert.equal(after.get('backhaul_uploaded_bytes_total'), 5 * 1024 * 1024 + 1);
  assert.equal(after.get('backhaul_parts_total'), 2);
  assert.equal(after.get('backhaul_part_retries_total'), 0);
  assert.equal(after.get('backhaul_upload_failures_total{error="path_not_allowed"}'), 1);
  assert.equal(after.get('backhaul_uploads_ended_total{status="cancelled"}'), 1);
  assert.equal(after.get('backhaul_upload_failures_total{error="cancelled"}'), 0, 'it did not fail');
  assert.equal(after.get('backhaul_upload_failures_total{error="checksum_mismatch"}'), 0);
  assert.equal(after.get('backhaul_longest_stall_seconds'), 0);
  for (const check of ['store', 'bus', 's3']) assert.equal(after.get(`backhaul_ready{check="${check}"}`), 1);
  assert.equal(
    after.get(`backhaul_build_info{version="${(await stage.client.diagnosis()).server_version}"}`),
    1,
  );
  assert.equal(after.get('backhaul_upload_duration_seconds_count'), 1);
  assert.ok((after.get('backhaul_queue_age_seconds') ?? 0) > 0);
  assert.ok((after.get('process_resident_memory_bytes') ?? 0) > 1_000_000);
  for (const operation of ['createMultipartUpload', 'completeMultipartUpload', 'head']) {
    const labels = `operation="${operation}",outcome="ok"`;
    assert.equal(after.get(`backhaul_s3_request_duration_seconds_count{${labels}}`), 1, operation);
  }
  const names = [...after.keys()].join('\n');
  for (const secret of ['till', 'away', file, completed.upload_id]) {
    assert.ok(!names.includes(`"${secret}"`), secret);
  }
});

test('/metrics says that the object store is away, and for how long a pull stands still', async (t) => {
  if (hasExternalStore()) return t.skip('a store that is not ours is not taken away');
  await using stage = await Stage.start();
  const file = stage.directory.join('small.txt');
  await writeFile(file, 'small');
  await stage.startAgent('till', ['--file', file]);
  await stage.s3.embedded?.goAway();
  await readinessWhen(stage, false);
  const { upload_id: id } = await stage.client.triggerDownload('till', {});
  await stage.recordWhen(id, ({ stalled_since }) => stalled_since !== null);
  const away = await samples(stage);
  assert.equal(away.get('backhaul_ready{check="s3"}'), 0);
  assert.equal(away.get('backhaul_ready{check="store"}'), 1);
  assert.ok((away.get('backhaul_longest_stall_seconds') ?? 0) > 0);
  await stage.s3.embedded?.comeBack();
  await stage.ended(id);
  await readinessWhen(stage, true);
  assert.equal((await samples(stage)).get('backhaul_ready{check="s3"}'), 1);
  assert.equal((await samples(stage)).get('backhaul_longest_stall_seconds'), 0);
});

/** Parses each sample of the text format by name and labels. */
async function samples(stage: Stage): Promise<Map<string, number>> {
  const answer = await stage.fetch('/metrics');
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4\b/);
  const lines = (await answer.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(' ');
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}
