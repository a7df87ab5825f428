import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { assertProblem } from '../harness/assert-problem.ts';
import { SmallDisk, whyNoSmallDisk } from './injection/small-disk.ts';
import { hasExternalStore } from '../harness/object-store.ts';
import { logged } from '../harness/program.ts';
import { randomFile } from '../harness/random-file.ts';
import { readinessWhen } from '../harness/readiness.ts';
import { Stage } from '../harness/stage.ts';

const MiB = 1024 * 1024;
const FILE_BYTES = 30 * MiB;
const RATE = ['--max-rate', String(15 * MiB)];

describe('a full disk', { skip: await whyNoSmallDisk(), timeout: 180_000 }, () => {
  test('of the database: triggers are refused, none that was accepted is lost, and a pull under way completes', async () => {
    await using disk = await SmallDisk.mount({ sizeBytes: 8 * MiB });
    const env = { DATABASE_URL: `sqlite:${disk.join('backhaul.sqlite')}` };
    await using stage = await Stage.start({ env });
    const file = stage.directory.join('large.bin');
    const sha256 = await randomFile(file, FILE_BYTES);
    const away = await stage.startAgent('bar', ['--file', file]);
    await away.stop();
    const agent = await stage.startAgent('till', ['--file', file, ...RATE]);
    const { upload_id: id } = await stage.client.triggerDownload('till', {});
    await stage.recordWhen(id, ({ parts_completed: parts }) => parts >= 1);

    // The agent is stopped, so that the pull cannot end before the disk is full.
    agent.kill('SIGSTOP');
    await disk.fill();
    const accepted = await triggerUntilRefused(stage, 'bar');
    const unready = await readinessWhen(stage, false);
    assert.match(unready.checks['store']?.detail ?? '', /full/);
    agent.kill('SIGCONT');
    await agent.line(logged('all parts sent'));
    await stage.server.line(logged('database unavailable; retrying'));
    assert.equal((await stage.client.getUpload(id)).status, 'uploading', 'it can be read');
    assert.equal((await stage.fetch(`/uploads/${id}/cancel`, { method: 'POST' })).status, 503);

    await disk.free();
    const record = await stage.ended(id);
    assert.equal(record.status, 'completed', record.message ?? '');
    assert.equal(record.attempt, 1);
    assert.equal(record.sha256, sha256);
    assert.equal((await readinessWhen(stage, true)).ready, true);
    accepted.push((await stage.client.triggerDownload('bar', { force: true })).upload_id);

    await stage.restartServer({ signal: 'SIGKILL', env });
    const known = new Set<string>();
    for await (const upload of stage.client.eachUpload()) known.add(upload.upload_id);
    assert.deepEqual([...known].sort(), [id, ...accepted].sort(), 'all that was accepted, and nothing else');
  });

  test(
    'of the object store: parts are refused, and the pull waits and completes',
    { skip: hasExternalStore() && 'the disk of this store cannot be filled' },
    async () => {
      await using disk = await SmallDisk.mount({ sizeBytes: 48 * MiB });
      await using stage = await Stage.start({ objects: disk.join('objects') });
      const file = stage.directory.join('large.bin');
      const sha256 = await randomFile(file, FILE_BYTES);
      const agent = await stage.startAgent('till', ['--file', file, ...RATE]);
      const { upload_id: id } = await stage.client.triggerDownload('till', {});
      await stage.recordWhen(id, ({ parts_completed: parts }) => parts >= 1);

      agent.kill('SIGSTOP');
      await disk.fill();
      agent.kill('SIGCONT');
      while (!(await refusedAPart(stage))) await new Promise((resolve) => setTimeout(resolve, 100));
      assert.equal((await stage.client.getUpload(id)).status, 'uploading');

      await disk.free();
      const record = await stage.ended(id);
      assert.equal(record.status, 'completed', record.message ?? '');
      assert.equal(record.attempt, 1);
      assert.equal(record.sha256, sha256);
      assert.equal(await sha256OfContent(stage, id), sha256);
    },
  );
});

/** @returns the ids of the accepted uploads. */
async function triggerUntilRefused(stage: Stage, clientId: string): Promise<string[]> {
  const accepted: string[] = [];
  for (;;) {
    const answer = await stage.fetch(`/trigger-download/${clientId}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      // Each trigger creates a separate upload.
      body: JSON.stringify({ force: true }),
    });
    if (answer.status !== 202) {
      await assertProblem(answer, 503, 'database_unavailable');
      return accepted;
    }
    const { upload_id: uploadId } = (await answer.json()) as { upload_id: string };
    accepted.push(uploadId);
  }
}

async function refusedAPart(stage: Stage): Promise<boolean> {
  const requests = await stage.storeRequests();
  return requests.some(({ operation, status }) => operation === 'UploadPart' && status === 500);
}

async function sha256OfContent(stage: Stage, uploadId: string): Promise<string> {
  const answer = await fetch(await stage.client.contentUrl(uploadId));
  assert.equal(answer.status, 200);
  return createHash('sha256')
    .update(Buffer.from(await answer.arrayBuffer()))
    .digest('hex');
}
