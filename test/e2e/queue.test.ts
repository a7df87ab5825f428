import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type TriggerRequest, type UploadRecord, uploadRecordSchema } from '@backhaul/protocol';
import { assertProblem } from '../harness/assert-problem.ts';
import { Stage } from '../harness/stage.ts';

describe('a pull whose agent is away', { concurrency: true }, () => {
  let stage: Stage;
  let file: string;
  before(async () => {
    stage = await Stage.start();
    file = stage.directory.join('report.bin');
    await writeFile(file, 'the report');
  });
  after(() => stage[Symbol.asyncDispose]());

  /** Returns an agent that is known to the server but disconnected. */
  async function away(clientId: string): Promise<string> {
    const agent = await stage.startAgent(clientId, ['--file', file]);
    await agent.stop();
    return clientId;
  }

  function post(
    clientId: string,
    body: TriggerRequest,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Response> {
    return stage.fetch(`/trigger-download/${clientId}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
  }

  async function uploadsOf(clientId: string): Promise<UploadRecord[]> {
    return (await stage.client.listUploads({ client_id: clientId, limit: 500 })).uploads;
  }

  test('says since when it waits and until when, and that a relative path leads nowhere', async () => {
    const client = await away('away-for-long');
    const problem = await assertProblem(await post(client, { file_path: 'report.bin' }), 422, 'invalid_path');
    assert.match(problem.detail, /relative.*absolute path/);
    const exit = await stage.cli('download', client, '--no-wait');
    assert.match(exit.stdout, /The machine is offline since .* UTC .*The upload waits for it until .* UTC\./);
    const [record] = await uploadsOf(client);
    assert.match(record?.stalled_reason ?? '', /offline since/);
    assert.match((await stage.cli('status', client)).stdout, /waits until +20.*\(in /);
    await stage.client.cancelUpload(record?.upload_id ?? '');
  });

  test('is refused with offline=fail, and nothing is recorded', async () => {
    const client = await away('offline');
    const problem = await assertProblem(await post(client, { offline: 'fail' }), 409, 'client_offline');
    assert.match(problem.detail, /offline/);
    assert.deepEqual(await uploadsOf(client), []);
    const exit = await stage.cli('download', '--client-id', client, '--offline', 'fail');
    assert.equal(exit.code, 5, exit.stderr);
    assert.match(exit.stderr, /not connected/);
    assert.deepEqual(await uploadsOf(client), []);

    await stage.startAgent(client, ['--file', file]);
    const accepted = await post(client, { offline: 'fail' }, { prefer: 'wait=30' });
    assert.equal(accepted.status, 200);
    assert.equal((await recordOf(accepted)).status, 'completed');
  });

  test('with an Idempotency-Key that was accepted before gives that upload, offline=fail or not', async () => {
    const agent = await stage.startAgent('gone-since', ['--file', file]);
    const headers = { 'idempotency-key': 'once', prefer: 'wait=30' };
    const first = await recordOf(await post('gone-since', { offline: 'fail' }, headers));
    assert.equal(first.status, 'completed');
    await agent.stop();
    const again = await post('gone-since', { offline: 'fail' }, headers);
    assert.equal((await recordOf(again)).upload_id, first.upload_id);
    await assertProblem(await post('gone-since', { offline: 'queue' }, headers), 409, 'idempotency_conflict');
  });

  test('expires at its deadline, and says that the agent was offline', async () => {
    const client = await away('absent');
    const accepted = await stage.client.triggerDownload(client, { expires_in: 1 });
    assert.equal(Date.parse(accepted.expires_at) - Date.parse(accepted.created_at), 1000);
    const record = await stage.ended(accepted.upload_id);
    assert.equal(record.status, 'expired');
    assert.equal(record.error, 'upload_expired');
    assert.match(record.message ?? '', /agent was offline/);
    const lateMs = Date.parse(record.completed_at ?? '') - Date.parse(record.expires_at);
    assert.ok(lateMs >= 0 && lateMs < 1500, `ended ${lateMs} ms after its deadline`);
  });

  test('that expires ends the command line with 7, and says so', async () => {
    const client = await away('absent-cli');
    const exit = await stage.cli('download', '--client-id', client, '--expires-in', '1s');
    assert.equal(exit.code, 7, exit.stdout + exit.stderr);
    assert.match(exit.stdout, /^waiting: The machine is offline since .* The upload waits for it until /m);
    assert.match(exit.stderr, /agent was offline/);
  });

  test('has 24 hours where the request does not say, and keeps its deadline over a restart of the agent', async () => {
    const client = await away('patient');
    const accepted = await stage.client.triggerDownload(client);
    assert.equal(Date.parse(accepted.expires_at) - Date.parse(accepted.created_at), 86_400_000);
    await stage.startAgent(client, ['--file', file]);
    assert.equal((await stage.ended(accepted.upload_id)).expires_at, accepted.expires_at);
  });

  test('is done in the order of the triggers once it connects, never more at once than it takes', async () => {
    const client = await away('busy');
    const queued: UploadRecord[] = [];
    for (const name of ['one', 'two', 'three', 'four', 'five']) {
      const path = stage.directory.join(`busy-${name}`);
      await writeFile(path, name);
      queued.push(await stage.client.triggerDownload(client, { file_path: path }));
    }
    await stage.startAgent(client, ['--allow', stage.directory.path, '--max-uploads', '1']);
    const ended = await Promise.all(queued.map(({ upload_id }) => stage.ended(upload_id)));
    for (const record of ended) {
      assert.equal(record.status, 'completed', record.message ?? '');
      assert.equal(record.attempt, 1, 'the agent was never asked for more than it takes');
    }
    const started = ended.map(({ started_at }) => Date.parse(started_at ?? ''));
    assert.deepEqual(
      started,
      started.toSorted((a, b) => a - b),
    );
    assert.equal(new Set(started).size, started.length, 'two began at the same time');
  });
});

describe('pulls of one file', { concurrency: true }, () => {
  let stage: Stage;
  let file: string;
  before(async () => {
    stage = await Stage.start({ env: { LOG_LEVEL: 'debug' } });
    file = stage.directory.join('report.bin');
    await writeFile(file, 'the report');
    for (const client of ['crowd', 'keyed', 'policies', 'deadlines']) {
      const agent = await stage.startAgent(client, ['--file', file]);
      await agent.stop();
    }
  });
  after(() => stage[Symbol.asyncDispose]());

  test('at the same moment are one upload, and all who asked see its end', async () => {
    const answers = Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        stage.client.triggerDownload(
          'crowd',
          { reason: `request ${index}` },
          index < 3 ? { waitSeconds: 30 } : {},
        ),
      ),
    );
    // All requests must be pending before the agent can end their upload.
    while (stage.server.output.stdout.split('"/trigger-download/crowd"').length <= 20) await sleep(10);
    const [active] = (await stage.client.getStatus('crowd')).active_uploads;
    await stage.startAgent('crowd', ['--file', file]);
    const records = await answers;
    assert.deepEqual(new Set(records.map(({ upload_id }) => upload_id)), new Set([active?.upload_id]));
    for (const record of records.slice(0, 3)) assert.equal(record.status, 'completed');
    assert.equal((await stage.client.listUploads({ client_id: 'crowd' })).uploads.length, 1);
    const next = await stage.client.triggerDownload('crowd');
    assert.notEqual(next.upload_id, active?.upload_id, 'one that has ended is not joined');
  });

  test('are two with force, and after a key only those of other keys', async () => {
    const trigger = (request: TriggerRequest, idempotencyKey?: string) =>
      stage.client.triggerDownload('keyed', request, { idempotencyKey });
    const first = await trigger({});
    const joined = await trigger({ reason: 'audit' }, 'key-1');
    assert.equal(joined.upload_id, first.upload_id);
    const forced = await trigger({ force: true });
    assert.notEqual(forced.upload_id, first.upload_id);
    for (const { upload_id: id } of [first, forced]) await stage.client.cancelUpload(id);

    const late = await trigger({ reason: 'audit' }, 'key-1');
    assert.equal(late.upload_id, first.upload_id, 'the key is remembered');
    assert.equal(late.status, 'cancelled');
    await assert.rejects(trigger({ reason: 'other' }, 'key-1'), { code: 'idempotency_conflict' });
    const fresh = await trigger({ reason: 'audit' }, 'key-2');
    assert.ok(![first.upload_id, forced.upload_id].includes(fresh.upload_id));
    await stage.client.deleteUpload(first.upload_id);
    const freed = await trigger({ reason: 'audit' }, 'key-1');
    assert.equal(freed.upload_id, fresh.upload_id, 'a key goes with its upload');
  });

  test('for which something else is to happen on a change are not the same', async () => {
    const ids = new Set<string>();
    for (const on_change of ['fail', 'restart', 'prefix', 'restart'] as const) {
      const record = await stage.client.triggerDownload('policies', { on_change });
      assert.equal(record.on_change, on_change);
      ids.add(record.upload_id);
    }
    assert.equal(ids.size, 3);
  });

  test('have the latest deadline that was promised, and followers see it move', async () => {
    const trigger = (expires_in: number) => stage.client.triggerDownload('deadlines', { expires_in });
    const first = await trigger(2);
    const followed = stage.recordWhen(first.upload_id, ({ version }) => version > first.version);
    const longer = await trigger(3600);
    assert.equal(longer.upload_id, first.upload_id);
    assert.ok(Date.parse(longer.expires_at) > Date.parse(first.expires_at) + 3_000_000);
    assert.equal((await followed).expires_at, longer.expires_at);
    const shorter = await trigger(1);
    assert.equal(shorter.expires_at, longer.expires_at);
    await sleep(Date.parse(first.expires_at) + 300 - Date.now());
    assert.equal((await stage.client.getUpload(first.upload_id)).status, 'queued');
  });
});

async function recordOf(answer: Response): Promise<UploadRecord> {
  return uploadRecordSchema.parse(await answer.json());
}
