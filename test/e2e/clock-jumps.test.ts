import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import type { UploadRecord } from '@backhaul/protocol';
import { WallClock } from '../faults/injection/wall-clock.ts';
import { logged } from '../harness/program.ts';
import { readEvents } from '../harness/read-events.ts';
import { readinessWhen } from '../harness/readiness.ts';
import { Stage } from '../harness/stage.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../harness/temporary-directory.ts';

const MINUTE_MS = 60_000;
const behind = /20 minutes behind the store's/;

describe('when the server’s clock is set', () => {
  let directory: TemporaryDirectory;
  let clock: WallClock;
  let stage: Stage;
  let file: string;
  before(async () => {
    directory = await temporaryDirectory();
    clock = await WallClock.create(directory);
    stage = await Stage.start({ directory, env: clock.env });
    file = directory.join('small.txt');
    await writeFile(file, 'small');
    await stage.startAgent('till', ['--allow', directory.path]);
  });
  after(async () => {
    await stage[Symbol.asyncDispose]();
    await directory[Symbol.asyncDispose]();
  });

  test('back by a minute, who follows all uploads is told of each end, and of nothing old', async () => {
    const earlier = await stage.pull('till', { file_path: file });
    const reader = new AbortController();
    const told = ends(await stage.fetch('/events', { signal: reader.signal }));
    const first = await pullAndHear(told);
    await clock.set(-MINUTE_MS);
    const second = await pullAndHear(told);
    assert.ok(Date.parse(second.record.created_at) < Date.parse(first.record.created_at), 'it was set back');

    const fresh = ends(await stage.fetch('/events', { signal: reader.signal }));
    const third = await pullAndHear(fresh);
    assert.equal((await nextEnd(told)).record.upload_id, third.record.upload_id);
    assert.notEqual(third.record.upload_id, earlier.upload_id);

    const headers = { 'last-event-id': first.id };
    const resumed = ends(await stage.fetch('/events', { signal: reader.signal, headers }));
    const repeated = [await nextEnd(resumed), await nextEnd(resumed), await nextEnd(resumed)];
    assert.deepEqual(
      repeated.map(({ id }) => id),
      [first.id, second.id, third.id],
    );
    reader.abort();
    await clock.set(0);
  });

  test('20 minutes behind the store’s, uploads wait with the difference as reason until it is right', async () => {
    // With the wrong clock, a disconnected agent could not return: its token would be from the future.
    await stage.pull('till', { file_path: file });
    await clock.set(-20 * MINUTE_MS);
    const { upload_id: id } = await stage.client.triggerDownload('till', { file_path: file });
    const waiting = await stage.recordWhen(id, ({ stalled_reason: reason }) => reason !== null);
    assert.match(waiting.stalled_reason ?? '', behind);
    const { checks } = await readinessWhen(stage, false);
    assert.match(checks['s3']?.detail ?? '', behind);
    await clock.set(0);
    const record = await stage.ended(id);
    assert.equal(record.status, 'completed', record.message ?? '');
  });

  test('forward by 400 days, nothing is removed or ended, and operators are told why', async () => {
    const { upload_id: kept } = await stage.pull('till', { file_path: file });
    const away = await stage.startAgent('away', ['--allow', directory.path]);
    await away.stop();
    const { upload_id: waiting } = await stage.client.triggerDownload('away', {
      file_path: file,
      expires_in: 3600,
    });
    await clock.set(400 * 24 * 60 * MINUTE_MS);
    await stage.server.line(logged('the clock was set; deadlines moved accordingly'));
    await stage.server.line(logged('retention waits: the clock may be wrong'));
    // The tokens are from the earlier time; a correct clock accepts them again.
    await clock.set(0);
    const metrics = await (await stage.fetch('/metrics')).text();
    assert.match(metrics, /^backhaul_retention_held 1$/m);
    assert.equal((await stage.client.getUpload(kept)).status, 'completed');
    assert.equal((await stage.client.getUpload(waiting)).status, 'queued');
  });

  test('20 minutes behind the store’s at its start, the server runs and waits; a set-up ends with the reason', async () => {
    await clock.set(-20 * MINUTE_MS);
    await stage.restartServer();
    const { err } = await stage.server.line(logged('object store unreachable; running but not ready'));
    assert.match(JSON.stringify(err), behind);
    const database = `sqlite:${directory.join('set-up.sqlite')}`;
    const setup = stage.spawnServer({ env: { DATABASE_URL: database }, args: ['--setup-bucket'] });
    const { code, stderr } = await setup.exit;
    assert.equal(code, 1, 'nothing has to be changed but the clock');
    assert.match(stderr, /^backhaul-server: .*20 minutes behind the store's/);
    await clock.set(0);
    await readinessWhen(stage, true);
  });

  async function pullAndHear(told: Ends): Promise<End> {
    const { upload_id: id } = await stage.pull('till', { file_path: file });
    const end = await nextEnd(told);
    assert.equal(end.record.upload_id, id);
    return end;
  }
});

interface End {
  readonly id: string;
  readonly record: UploadRecord;
}
type Ends = AsyncGenerator<End, void, undefined>;

async function* ends(answer: Response): Ends {
  for await (const { id = '', record } of readEvents(answer)) {
    if (record.completed_at !== null) yield { id, record };
  }
}

async function nextEnd(told: Ends): Promise<End> {
  const deadline = AbortSignal.timeout(30_000);
  const late = new Promise<never>((_, reject) => {
    deadline.addEventListener('abort', () => reject(new Error('an end was never told')));
  });
  const next = await Promise.race([told.next(), late]);
  if (next.done === true) throw new Error('the stream has ended');
  return next.value;
}
