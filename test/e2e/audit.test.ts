import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { BackhaulClient } from '@backhaul/client';
import type { AuditRecord, Scope } from '@backhaul/protocol';
import { assertProblem } from '../harness/assert-problem.ts';
import { Stage } from '../harness/stage.ts';

const UPLOAD = '019ab3c2-5f00-7000-8000-000000000001';
const FROM = '203.0.113.9';

describe('the audit', { timeout: 180_000 }, () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.start({ env: { TRUSTED_PROXIES: '127.0.0.1', MAX_UNFINISHED_PER_CLIENT: '3' } });
  });
  after(() => stage[Symbol.asyncDispose]());

  /** Sends a request as through a reverse proxy. */
  const ask = async (
    method: string,
    path: string,
    { token, body, from = FROM }: { token: string | undefined; body?: unknown; from?: string },
  ): Promise<Response> =>
    await fetch(`${stage.url}${path}`, {
      method,
      redirect: 'manual',
      headers: {
        'x-forwarded-for': from,
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  const tokenOf = (subject: string, granted: readonly Scope[]): Promise<string> =>
    stage.tokens.sign('operator', { subject, claims: { scope: granted.join(' '), scope_version: 2 } });
  const eventsBy = async (actor: string, filter: object = {}): Promise<AuditRecord[]> =>
    (await stage.client.listAudit({ actor, ...filter })).events.toReversed();

  test('lists each action with operator, address and parameters', async () => {
    const file = stage.directory.join('report.txt');
    await writeFile(file, 'of a till');
    const agent = await stage.startAgent('till-1', ['--file', file, '--allow', stage.directory.path]);
    const token = await tokenOf('anna', ['read', 'trigger', 'content', 'admin']);
    const done: string[] = [];
    const act = async (method: string, path: string, body?: unknown): Promise<Response> => {
      const answer = await ask(method, path, { token, body });
      assert.ok(answer.status < 400, `${method} ${path}: ${answer.status} ${await answer.clone().text()}`);
      done.push(`${method} ${path}`);
      return answer;
    };
    const trigger = async (): Promise<string> => {
      const answer = await act('POST', '/trigger-download/till-1', { reason: 'monthly' });
      return ((await answer.json()) as { upload_id: string }).upload_id;
    };
    const pulled = await trigger();
    assert.equal((await stage.ended(pulled)).status, 'completed');
    await act('GET', `/uploads/${pulled}/content`);
    await act('GET', `/uploads/${pulled}/verification`);
    await act('POST', '/clients/till-1/commands/health_check');
    await act('POST', '/clients/till-1/commands/list_directory', { path: stage.directory.path });
    await act('PUT', '/clients/till-1/limits', { max_rate: 5000 });
    await agent.stop();
    const queued = await trigger();
    const joined = await trigger();
    assert.equal(joined, queued);
    await act('POST', `/uploads/${queued}/cancel`);
    await act('POST', `/uploads/${queued}/retry`);
    await act('POST', `/uploads/${queued}/cancel`);
    await act('DELETE', `/uploads/${queued}`);
    await act('DELETE', `/uploads/${pulled}?object=true`);
    await act('PUT', '/clients/till-1/block', { reason: 'stolen' });
    await act('DELETE', '/clients/till-1/block');
    await act('DELETE', '/clients/till-1');

    const events = await eventsBy('anna');
    const expected: [action: string, uploadId: string | null, detail: object][] = [
      ['upload.trigger', pulled, { file_path: file, reason: 'monthly' }],
      ['upload.content', pulled, { key_state: 'recorded' }],
      ['upload.verify', pulled, { verdict: 'intact', key_state: 'recorded' }],
      ['client.health_check', null, {}],
      ['client.list_directory', null, { path: stage.directory.path }],
      ['client.limit', null, { limits: { max_rate: 5000 } }],
      ['upload.trigger', queued, { file_path: file, reason: 'monthly' }],
      ['upload.join', queued, { file_path: file, reason: 'monthly' }],
      ['upload.cancel', queued, {}],
      ['upload.retry', queued, {}],
      ['upload.cancel', queued, {}],
      ['upload.delete', queued, { with_object: false }],
      ['upload.delete_object', pulled, {}],
      ['upload.delete', pulled, { with_object: true }],
      ['client.block', null, { reason: 'stolen' }],
      ['client.unblock', null, {}],
      ['client.forget', null, {}],
    ];
    assert.deepEqual(
      events.map(({ action, upload_id, detail }) => [action, upload_id, detail]),
      expected,
    );
    // One request deleted an object and a record.
    assert.equal(events.length, done.length + 1);
    for (const event of events) {
      const { client_id, address, outcome, status, error, count } = event;
      const facts = { client_id, address, outcome, status, error, count };
      const accepted = { outcome: 'accepted', status: null, error: null, count: 1 };
      assert.deepEqual(facts, { client_id: 'till-1', address: FROM, ...accepted }, event.action);
    }
    const ids = events.map(({ id = 0 }) => id);
    assert.deepEqual(
      ids,
      ids.toSorted((one, other) => one - other),
    );
  });

  test('lists refused requests of operators with status and error code', async () => {
    const agent = await stage.startAgent('till-2', ['--allow', stage.directory.path]);
    const token = await tokenOf('ben', ['read', 'trigger', 'admin']);
    const body = { file_path: '/etc/shadow', reason: 'curious' };
    const refused = async (code: string, method: string, path: string, given?: unknown): Promise<void> => {
      const answer = await ask(method, path, { token, body: given });
      await assertProblem(answer, answer.status, code as Parameters<typeof assertProblem>[2]);
    };
    await refused('client_not_found', 'POST', '/trigger-download/nowhere', body);
    await refused('invalid_request', 'POST', '/trigger-download/till-2', { file: '/x' });
    await refused('path_not_allowed', 'POST', '/clients/till-2/commands/list_directory', { path: '/etc' });
    await refused('unknown_command', 'POST', '/clients/till-2/commands/reboot');
    await agent.stop();
    const uploadIds: string[] = [];
    for (const path of ['/1', '/2', '/3']) {
      const answer = await ask('POST', '/trigger-download/till-2', { token, body: { file_path: path } });
      uploadIds.push(((await answer.json()) as { upload_id: string }).upload_id);
    }
    const [uploadId = ''] = uploadIds;
    await refused('too_many_requests', 'POST', '/trigger-download/till-2', { file_path: '/4' });
    await refused('client_offline', 'POST', '/clients/till-2/commands/health_check');
    await refused('upload_not_completed', 'GET', `/uploads/${uploadId}/verification`);
    await refused('forbidden', 'GET', `/uploads/${uploadId}/content`);
    await refused('forbidden', 'GET', '/audit');
    await refused('upload_not_retryable', 'POST', `/uploads/${uploadId}/retry`);
    await refused('upload_not_finished', 'DELETE', `/uploads/${uploadId}?object=true`);
    await refused('upload_not_found', 'POST', `/uploads/${UPLOAD}/cancel`);
    await refused('client_busy', 'DELETE', '/clients/till-2');
    // Reads are not audited.
    await refused('upload_not_found', 'GET', `/uploads/${UPLOAD}`);

    const refusals = await eventsBy('ben', { outcome: 'refused' });
    const file = (path: string | null, reason: string | null = null) => ({ file_path: path, reason });
    assert.deepEqual(
      refusals.map(({ action, status, error, client_id, upload_id, detail }) => {
        const { error: shown, ...parameters } = detail;
        assert.equal(shown, error, 'for command lines that show no outcome');
        return [action, status, error, client_id ?? upload_id, parameters];
      }),
      [
        ['upload.trigger', 404, 'client_not_found', 'nowhere', file('/etc/shadow', 'curious')],
        ['upload.trigger', 400, 'invalid_request', 'till-2', {}],
        ['client.list_directory', 403, 'path_not_allowed', 'till-2', { path: '/etc' }],
        ['client.command', 404, 'unknown_command', 'till-2', {}],
        ['upload.trigger', 429, 'too_many_requests', 'till-2', file('/4')],
        ['client.health_check', 409, 'client_offline', 'till-2', {}],
        ['upload.verify', 409, 'upload_not_completed', uploadId, {}],
        ['upload.content', 403, 'forbidden', uploadId, {}],
        ['request', 403, 'forbidden', null, { request: 'GET /audit' }],
        ['upload.retry', 409, 'upload_not_retryable', uploadId, {}],
        ['upload.delete', 409, 'upload_not_finished', uploadId, { with_object: true }],
        ['upload.cancel', 404, 'upload_not_found', UPLOAD, {}],
        ['client.forget', 409, 'client_busy', 'till-2', {}],
      ],
    );
    for (const { address, outcome, count } of refusals) {
      assert.deepEqual([address, outcome, count], [FROM, 'refused', 1]);
    }
    // The upload's record contains the failure of a path outside the agent's own rules.
    const accepted = await eventsBy('ben', { outcome: 'accepted' });
    assert.deepEqual(
      accepted.map(({ action, upload_id }) => [action, upload_id]),
      [
        ['client.list_directory', null],
        ...uploadIds.map((id) => ['upload.trigger', id]),
        ['client.health_check', null],
      ],
    );
  });

  test('counts requests without a valid token by address and reason, within a budget', async () => {
    const expired = await stage.tokens.sign('operator', {
      subject: 'cleo',
      claims: { scope: 'admin' },
      expiresAt: Math.floor(Date.now() / 1000) - 3600,
    });
    for (let times = 0; times < 5; times += 1) {
      await assertProblem(await ask('GET', '/uploads', { token: expired }), 401, 'unauthorized');
    }
    const trigger = ask('POST', '/trigger-download/till-2', { token: undefined, body: { file_path: '/x' } });
    await assertProblem(await trigger, 401, 'unauthorized');
    await assertProblem(
      await ask('GET', '/audit', { token: await stage.tokens.agent('till-9') }),
      401,
      'unauthorized',
    );
    const before = await stage.client.listAudit({ outcome: 'refused', action: 'request', limit: 500 });
    const anonymous = before.events.filter(({ actor }) => actor === '').toReversed();
    for (const { address, status, error } of anonymous) {
      assert.deepEqual([address, status, error], [FROM, 401, 'unauthorized']);
    }
    // A new minute may start meanwhile, and with it another row.
    const requestsBy = (reason: string): unknown[] => {
      const rows = anonymous.filter(({ detail }) => detail['reason'] === reason);
      assert.ok(rows.length <= 2);
      return [rows[0]?.detail['first_request'], rows.reduce((sum, { count = 0 }) => sum + count, 0)];
    };
    assert.deepEqual(requestsBy('token_expired'), ['GET /uploads', 5]);
    assert.deepEqual(requestsBy('token_missing'), ['POST /trigger-download/:client_id', 1]);
    assert.deepEqual(requestsBy('token_kind'), ['GET /audit', 1]);
    for (let host = 0; host < 100; host += 1) {
      const answer = await ask('GET', '/uploads', { token: 'nonsense', from: `10.9.8.${host}` });
      await answer.body?.cancel();
    }
    const { events } = await stage.client.listAudit({ outcome: 'refused', limit: 500 });
    const flood = events.filter(
      ({ actor, address }) => actor === '' && (address === null || address?.startsWith('10.9.8.')),
    );
    assert.ok(flood.length <= 62, `${flood.length} rows`);
    assert.equal(
      flood.reduce((sum, { count = 0 }) => sum + count, 0),
      100,
      'each is counted',
    );
    assert.ok(flood.some(({ action, count = 0 }) => action === 'request.more' && count > 1));
  });

  test('keeps refused requests over a restart, and pages through all events once', async () => {
    const token = await tokenOf('dora', ['read']);
    await assertProblem(await ask('PUT', '/clients/till-3/block', { token }), 403, 'forbidden');
    await assertProblem(await ask('PUT', '/clients/till-3/block', { token }), 403, 'forbidden');
    await stage.restartServer();
    const events = await eventsBy('dora');
    for (const { action, client_id } of events) {
      assert.deepEqual([action, client_id], ['client.block', 'till-3']);
    }
    assert.equal(
      events.reduce((sum, { count = 0 }) => sum + count, 0),
      2,
    );

    const all = (await stage.client.listAudit({ limit: 500 })).events;
    const paged: AuditRecord[] = [];
    let cursor: string | undefined;
    do {
      const page = await stage.client.listAudit({ limit: 7, cursor });
      paged.push(...page.events);
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
    assert.deepEqual(paged, all);
  });

  test('contains no token, and the command line shows it', async () => {
    const token = await tokenOf('emil', ['read']);
    await assertProblem(await ask('DELETE', '/clients/till-4', { token }), 403, 'forbidden');
    const { stdout, stderr } = await stage.cli(
      'audit',
      '--by',
      'emil',
      '--outcome',
      'refused',
      '--since',
      '1h',
    );
    assert.match(
      stdout,
      /emil +203\.0\.113\.9 +client\.forget +till-4 +– +refused \(403 forbidden\) +\{\}/,
      stderr,
    );
    const everything = JSON.stringify((await stage.client.listAudit({ limit: 500 })).events);
    assert.ok(!everything.includes(token.split('.')[2] ?? token));
    assert.doesNotMatch(everything, /eyJ|X-Amz/);
  });

  test('has the address of the connection where no trusted proxy reports another', async () => {
    await stage.restartServer({ env: { TRUSTED_PROXIES: '' } });
    const token = await tokenOf('finn', ['admin']);
    await (await ask('PUT', '/clients/till-5/block', { token })).body?.cancel();
    const client = new BackhaulClient({ url: stage.url, token: await stage.tokens.operator(['audit']) });
    const { events } = await client.listAudit({ actor: 'finn' });
    assert.deepEqual(
      events.map(({ action, address }) => [action, address]),
      [['client.block', '127.0.0.1']],
    );
    const log = stage.server.output;
    assert.doesNotMatch(log.stdout + log.stderr, /refused requests (are|that are) not in the audit/);
  });
});

test(
  'audit events beyond AUDIT_MAX_ROWS are removed at the start, with a log line',
  { timeout: 60_000 },
  async () => {
    await using stage = await Stage.start();
    for (const client of ['a', 'b', 'c', 'd']) await stage.client.blockClient(client, {});
    await stage.restartServer({ env: { AUDIT_MAX_ROWS: '2' } });
    await stage.server.line((line) => (line.includes('AUDIT_MAX_ROWS') ? line : undefined));
    const { events } = await stage.client.listAudit();
    assert.deepEqual(
      events.map(({ client_id }) => client_id),
      ['d', 'c'],
    );
  },
);
