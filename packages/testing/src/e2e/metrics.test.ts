import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { Stage } from '../stage.ts';

test('/metrics counts what was pulled, and names no client, path or upload', async () => {
  await using stage = await Stage.start();
  const file = stage.directory.join('report.bin');
  await writeFile(file, Buffer.alloc(5 * 1024 * 1024 + 1));
  const before = await samples(stage);
  assert.equal(before.get('backhaul_connected_agents'), 0);
  await stage.startAgent('till', ['--file', file]);
  await (await stage.startAgent('away', ['--file', file])).stop();
  const completed = await stage.pull('till', {});
  const failed = await stage.pull('till', { file_path: '/outside' });
  const queued = await stage.client.triggerDownload('away', {});
  assert.deepEqual([completed.status, failed.status, queued.status], ['completed', 'failed', 'queued']);

  const after = await samples(stage);
  assert.equal(after.get('backhaul_connected_agents'), 1);
  assert.equal(after.get('backhaul_uploads_ended_total{status="completed"}'), 1);
  assert.equal(after.get('backhaul_uploads_ended_total{status="failed"}'), 1);
  assert.equal(after.get('backhaul_uploads{status="completed"}'), 1);
  assert.equal(after.get('backhaul_uploads{status="queued"}'), 1);
  assert.equal(after.get('backhaul_uploads{status="uploading"}'), 0);
  assert.equal(after.get('backhaul_uploaded_bytes_total'), 5 * 1024 * 1024 + 1);
  assert.equal(after.get('backhaul_part_retries_total'), 0);
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

/** Each sample of the text format by name and labels. */
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
