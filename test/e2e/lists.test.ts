import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ClientSummary, UploadRecord } from '@backhaul/protocol';
import { assertProblem } from '../harness/assert-problem.ts';
import { Stage } from '../harness/stage.ts';

describe('lists', () => {
  let stage: Stage;
  /** Oldest first. */
  const uploads: string[] = [];
  before(async () => {
    stage = await Stage.start();
    const labels = { a: 'site=berlin', b: 'site=paris', c: 'site=berlin' };
    for (const [clientId, label] of Object.entries(labels)) {
      const agent = await stage.startAgent(clientId, ['--label', label, '--label', `name=${clientId}`]);
      if (clientId !== 'c') await agent.stop();
    }
    for (let count = 0; count < 11; count += 1) {
      const clientId = count % 3 === 0 ? 'b' : 'a';
      const { upload_id } = await stage.client.triggerDownload(clientId, { file_path: `/data/${count}` });
      uploads.push(upload_id);
    }
    for (const uploadId of uploads.slice(0, 4)) await stage.client.cancelUpload(uploadId);
  });
  after(() => stage[Symbol.asyncDispose]());

  test('show uploads newest first', async () => {
    const { uploads: found, next_cursor } = await stage.client.listUploads();
    assert.deepEqual(idsOf(found), uploads.toReversed());
    assert.equal(next_cursor, null);
  });

  test('walked by cursor show every upload exactly once, also while others come', async () => {
    for (const limit of [1, 3, 5, 11, 12]) {
      assert.deepEqual(idsOf(await walkUploads({ limit })), uploads.toReversed(), `limit ${limit}`);
    }
    const { uploads: page, next_cursor } = await stage.client.listUploads({ client_id: 'a', limit: 2 });
    const newer = await stage.client.triggerDownload('a', { file_path: '/data/newer' });
    const rest = await walkUploads({ client_id: 'a', limit: 2, cursor: next_cursor ?? '' });
    const ofA = uploads.filter((_id, index) => index % 3 !== 0);
    assert.deepEqual(idsOf([...page, ...rest]), ofA.toReversed());
    await stage.client.cancelUpload(newer.upload_id);
    await stage.client.deleteUpload(newer.upload_id);
  });

  test('of uploads are filtered by client and status', async () => {
    const ofB = await walkUploads({ client_id: 'b', limit: 2 });
    assert.deepEqual(idsOf(ofB), uploads.filter((_id, index) => index % 3 === 0).toReversed());
    const cancelled = await walkUploads({ status: 'cancelled', limit: 3 });
    assert.deepEqual(idsOf(cancelled), uploads.slice(0, 4).toReversed());
    const both = await walkUploads({ client_id: 'b', status: 'queued', limit: 50 });
    assert.deepEqual(idsOf(both), uploads.filter((_id, index) => index % 3 === 0 && index >= 4).toReversed());
    assert.deepEqual(await walkUploads({ status: 'completed', limit: 50 }), []);
    assert.deepEqual(await walkUploads({ client_id: 'nobody', limit: 50 }), []);
  });

  test('show clients by name, filtered by connection and label', async () => {
    assert.deepEqual(await walkClients('limit=2'), ['a', 'b', 'c']);
    assert.deepEqual(await walkClients('limit=1'), ['a', 'b', 'c']);
    assert.deepEqual(await walkClients('connected=true'), ['c']);
    assert.deepEqual(await walkClients('connected=false&limit=1'), ['a', 'b']);
    assert.deepEqual(await walkClients('label=site=berlin&limit=1'), ['a', 'c']);
    assert.deepEqual(await walkClients('label=site=berlin&label=name=c'), ['c'], 'both hold');
    const { clients } = await stage.client.listClients({ label: ['site=berlin', 'name=a'] });
    assert.deepEqual(
      clients.map((client) => client.client_id),
      ['a'],
    );
    assert.deepEqual(await walkClients('label=site=rome'), []);
    assert.deepEqual(await walkClients('connected=true&label=site=paris'), []);
  });

  test('refuse limits, cursors and filters that they do not understand, and name them', async () => {
    const mistakes: [query: string, named: RegExp][] = [
      ['limit=0', /limit/],
      ['limit=501', /limit/],
      ['limit=ten', /limit/],
      ['limit=1.5', /limit/],
      ['cursor=xyz', /cursor/],
      [`cursor=${base64url('["a"]')}`, /cursor/],
      [`cursor=${base64url('{"createdAt":1}')}`, /cursor/],
      [`cursor=${base64url('[1e400,"x"]')}`, /cursor/],
      ['status=done', /status/],
      ['client_id=-', /client_id/],
      ['state=queued', /state/],
    ];
    for (const [query, named] of mistakes) {
      const problem = await assertProblem(await stage.fetch(`/uploads?${query}`), 400, 'invalid_request');
      assert.match(problem.detail, named, query);
    }
    const { next_cursor } = await stage.client.listUploads({ limit: 1 });
    for (const query of ['limit=0', 'cursor=xyz', `cursor=${next_cursor}`, 'label=berlin', 'connected=yes']) {
      await assertProblem(await stage.fetch(`/clients?${query}`), 400, 'invalid_request');
    }
  });

  test('the status of a client names its active uploads and the last one', async () => {
    const status = await stage.client.getStatus('a');
    assert.equal(status.connected, false);
    assert.equal(status.connected_since, null);
    assert.notEqual(status.last_seen_at, null);
    assert.deepEqual(status.labels, { name: 'a', site: 'berlin' });
    const active = uploads.filter((_id, index) => index % 3 !== 0 && index >= 4);
    assert.deepEqual(idsOf(status.active_uploads).toSorted(), active.toSorted());
    assert.equal(status.last_upload?.upload_id, uploads.at(-1));
    assert.equal((await stage.client.getStatus('c')).last_upload, null);
  });

  type ListQuery = NonNullable<Parameters<typeof stage.client.listUploads>[0]>;

  async function walkUploads(query: ListQuery): Promise<UploadRecord[]> {
    const found: UploadRecord[] = [];
    let { cursor } = query;
    for (let pages = 0; pages < 50; pages += 1) {
      const page = await stage.client.listUploads({ ...query, cursor });
      assert.ok(page.uploads.length <= (query.limit ?? 50));
      found.push(...page.uploads);
      if (page.next_cursor === null) return found;
      cursor = page.next_cursor;
    }
    throw new Error('the list does not end');
  }

  async function walkClients(query: string): Promise<string[]> {
    const found: string[] = [];
    let cursor = '';
    for (let pages = 0; pages < 10; pages += 1) {
      const answer = await stage.fetch(`/clients?${query}${cursor}`);
      assert.equal(answer.status, 200);
      const page = (await answer.json()) as { clients: ClientSummary[]; next_cursor: string | null };
      found.push(...page.clients.map(({ client_id }) => client_id));
      if (page.next_cursor === null) return found;
      cursor = `&cursor=${page.next_cursor}`;
    }
    throw new Error('the list does not end');
  }
});

function idsOf(records: readonly UploadRecord[]): string[] {
  return records.map(({ upload_id }) => upload_id);
}

function base64url(text: string): string {
  return Buffer.from(text).toString('base64url');
}
