import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { type UploadRecord, uploadRecordSchema } from '@backhaul/protocol';
import { assertProblem } from '../harness/assert-problem.ts';
import { Stage } from '../harness/stage.ts';

describe('POST /trigger-download', () => {
  let stage: Stage;
  let file: string;
  before(async () => {
    stage = await Stage.start();
    file = stage.directory.join('default.bin');
    await writeFile(file, 'what --file names');
    await writeFile(stage.directory.join('other.bin'), 'something else');
    await stage.startAgent('till', ['--file', file, '--allow', stage.directory.path]);
    await stage.startAgent('no-default', ['--allow', stage.directory.path]);
    const away = await stage.startAgent('away', ['--allow', stage.directory.path]);
    await away.stop();
  });
  after(() => stage[Symbol.asyncDispose]());

  function trigger(
    clientId: string,
    body: string | Record<string, unknown> | null,
    headers: Record<string, string> = {},
  ): Promise<Response> {
    return stage.fetch(`/trigger-download/${clientId}`, {
      method: 'POST',
      headers: { ...(body === null ? {} : { 'content-type': 'application/json' }), ...headers },
      body: typeof body === 'object' && body !== null ? JSON.stringify(body) : body,
    });
  }

  test('answers 202 with the record, which is at its Location from then on', async () => {
    const answer = await trigger('till', { file_path: file, reason: 'monthly audit' });
    assert.equal(answer.status, 202);
    const record = await recordOf(answer);
    assert.equal(answer.headers.get('location'), `/uploads/${record.upload_id}`);
    assert.equal(record.client_id, 'till');
    assert.equal(record.file_path, file);
    assert.equal(record.file_name, 'default.bin');
    assert.equal(record.status, 'queued');
    assert.equal(record.attempt, 1);
    assert.equal(record.requested_by, 'tester');
    assert.equal(record.reason, 'monthly audit');
    assert.equal(record.bucket, stage.s3.bucket);
    const found = await recordOf(await stage.fetch(answer.headers.get('location') ?? ''));
    assert.equal(found.upload_id, record.upload_id);
    assert.equal((await stage.ended(record.upload_id)).status, 'completed');
  });

  test('takes the path of --file where the request names none, with or without a body', async () => {
    for (const body of [null, {}]) {
      const answer = await trigger('till', body, { prefer: 'wait=30' });
      assert.equal(answer.status, 200);
      assert.equal((await recordOf(answer)).file_path, file);
    }
  });

  test('is refused where neither the request nor the agent names a file', async () => {
    const problem = await assertProblem(await trigger('no-default', {}), 400, 'invalid_request');
    assert.match(problem.detail, /file_path.*--file/);
  });

  test('answers 200 with the final record when told to wait long enough', async () => {
    const answer = await trigger('till', { file_path: file }, { prefer: 'wait=30' });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('preference-applied'), 'wait=30');
    const record = await recordOf(answer);
    assert.equal(record.status, 'completed');
    assert.equal(record.size, 17);
    assert.equal(answer.headers.get('location'), `/uploads/${record.upload_id}`);
  });

  test('answers 200 for a pull that failed, too: it has ended', async () => {
    const missing = stage.directory.join('missing.bin');
    const answer = await trigger('till', { file_path: missing }, { prefer: 'wait=30' });
    assert.equal(answer.status, 200);
    assert.equal((await recordOf(answer)).error, 'file_not_found');
  });

  test('answers 202 when the wait was too short', async () => {
    const started = performance.now();
    const answer = await trigger('away', { file_path: file }, { prefer: 'respond-async, wait=1' });
    const took = performance.now() - started;
    assert.equal(answer.status, 202);
    assert.ok(took >= 950 && took < 10_000, `answered after ${took} ms`);
    const record = await recordOf(answer);
    assert.equal(record.status, 'queued');
    await stage.client.cancelUpload(record.upload_id);
  });

  test('refuses a wait that is not whole seconds up to 300, and starts nothing', async () => {
    const before = await uploadsOf('away');
    for (const prefer of ['wait=soon', 'wait=-1', 'wait=301', 'wait=1.5', 'wait', 'wait=']) {
      const problem = await assertProblem(await trigger('away', {}, { prefer }), 400, 'invalid_request');
      assert.match(problem.detail, /wait=N/, prefer);
    }
    assert.equal(await uploadsOf('away'), before);
  });

  test('many waits on one connection leave no listener behind', async () => {
    for (let count = 0; count < 15; count += 1) {
      const answer = await trigger('till', { file_path: file }, { prefer: 'wait=30' });
      assert.equal(answer.status, 200);
      await answer.arrayBuffer();
    }
    assert.doesNotMatch(stage.server.output.stderr, /MaxListenersExceeded/);
  });

  test('with the same Idempotency-Key is one upload, however often and however simultaneously it comes', async () => {
    const headers = { 'idempotency-key': 'same' };
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => trigger('till', { file_path: file, reason: 'x' }, headers)),
    );
    for (const answer of answers) assert.equal(answer.status, 202);
    const ids = new Set((await Promise.all(answers.map(recordOf))).map(({ upload_id }) => upload_id));
    assert.equal(ids.size, 1);
    const [uploadId = ''] = ids;
    await stage.ended(uploadId);
    const late = await trigger('till', { file_path: file, reason: 'x' }, headers);
    assert.equal((await recordOf(late)).upload_id, uploadId);
  });

  test('with the same Idempotency-Key for another request is a conflict', async () => {
    const headers = { 'idempotency-key': 'conflict' };
    const first = await recordOf(await trigger('away', { file_path: file }, headers));
    const others = [
      trigger('away', { file_path: stage.directory.join('other.bin') }, headers),
      trigger('away', { file_path: file, reason: 'now with a reason' }, headers),
      trigger('till', { file_path: file }, headers),
    ];
    for (const other of others) await assertProblem(await other, 409, 'idempotency_conflict');
    await stage.client.cancelUpload(first.upload_id);
  });

  test('an Idempotency-Key belongs to one operator', async () => {
    const other = await stage.tokens.sign('operator', {
      subject: 'somebody-else',
      claims: { scope: 'trigger' },
    });
    const headers = { 'idempotency-key': 'shared' };
    const mine = await recordOf(await trigger('till', { force: true }, headers));
    const theirs = await recordOf(
      await trigger('till', { force: true }, { ...headers, authorization: `Bearer ${other}` }),
    );
    assert.notEqual(theirs.upload_id, mine.upload_id);
    assert.equal(theirs.requested_by, 'somebody-else');
  });

  test('for an agent that never connected is 404, for a name that none can have 400', async () => {
    await assertProblem(await trigger('nobody', { file_path: file }), 404, 'client_not_found');
    const problem = await assertProblem(
      await trigger('-nobody', { file_path: file }),
      400,
      'invalid_request',
    );
    assert.match(problem.detail, /client_id/);
  });

  test('refuses what it does not know, and names the field', async () => {
    const mistakes: [body: Record<string, unknown>, named: RegExp][] = [
      [{ file_path: file, filepath: file }, /"filepath"/],
      [{ path: file }, /"path"/],
      [{ file_path: 7 }, /file_path/],
      [{ file_path: '' }, /file_path/],
      [{ file_path: 'a\0b' }, /file_path/],
      [{ file_path: 'x'.repeat(5000) }, /file_path/],
      [{ reason: '' }, /reason/],
      [{ expires_in: 0 }, /expires_in/],
      [{ expires_in: 2_592_001 }, /expires_in/],
      [{ expires_in: '1h' }, /expires_in/],
      [{ offline: 'wait' }, /offline/],
      [{ on_change: 'ignore' }, /on_change/],
      [{ force: 1 }, /force/],
    ];
    for (const [body, named] of mistakes) {
      const problem = await assertProblem(await trigger('till', body), 400, 'invalid_request');
      assert.match(problem.detail, named);
    }
    await assertProblem(
      await trigger('till', { file_path: file }, { 'idempotency-key': '' }),
      400,
      'invalid_request',
    );
  });

  test('refuses a body that is no JSON object', async () => {
    for (const body of ['{', '{"file_path": "/a"', ' ', 'null null', '[]', '"text"']) {
      await assertProblem(
        await trigger('till', body, { 'content-type': 'application/json' }),
        400,
        'invalid_request',
      );
    }
  });

  test('takes an empty body for none, also where its type is named', async () => {
    const accepted = await trigger('till', '', { 'content-type': 'application/json' });
    assert.equal(accepted.status, 202);
  });

  test('refuses a body of another type, or too large', async () => {
    const text = JSON.stringify({ file_path: file });
    await assertProblem(
      await trigger('till', text, { 'content-type': 'text/plain' }),
      415,
      'unsupported_media_type',
    );
    await assertProblem(
      await trigger('till', 'file_path=x', { 'content-type': 'application/x-www-form-urlencoded' }),
      415,
      'unsupported_media_type',
    );
    const large = JSON.stringify({ file_path: file, reason: 'x'.repeat(100_000) });
    await assertProblem(await trigger('till', large), 413, 'payload_too_large');
  });

  test('for an agent that is away is queued, and done in order once it connects', async () => {
    const names = ['first', 'second', 'third'];
    const queued: UploadRecord[] = [];
    for (const name of names) {
      await writeFile(stage.directory.join(name), name);
      queued.push(await recordOf(await trigger('away', { file_path: stage.directory.join(name) })));
    }
    assert.deepEqual(
      queued.map(({ status }) => status),
      ['queued', 'queued', 'queued'],
    );
    await stage.startAgent('away', ['--allow', stage.directory.path, '--max-uploads', '1']);
    const ended = await Promise.all(queued.map(({ upload_id }) => stage.ended(upload_id)));
    for (const record of ended) assert.equal(record.status, 'completed', record.message ?? '');
    const started = ended.map(({ started_at }) => Date.parse(started_at ?? ''));
    const [first = 0, second = 0, third = 0] = started;
    assert.ok(first < second && second < third, `started at ${started.join(', ')}`);
  });

  async function uploadsOf(clientId: string): Promise<number> {
    return (await stage.client.listUploads({ client_id: clientId, limit: 500 })).uploads.length;
  }
});

async function recordOf(answer: Response): Promise<UploadRecord> {
  return uploadRecordSchema.parse(await answer.json());
}
