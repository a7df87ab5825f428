import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { clientStatusSchema } from '@backhaul/protocol';
import { plainHello } from './suite-client.ts';
import type { SuiteTarget } from './suite-target.ts';

const UNKNOWN_UPLOAD = '019ab3c2-5f00-7000-8000-00000000dead';

/** Checks `hello`, `welcome`, and two connections of one client. */
export function sessionChecks(target: () => SuiteTarget): void {
  describe('a session', { concurrency: false }, () => {
    test('begins with welcome, and each one of a client has a greater epoch', async () => {
      await using client = await target().lend();
      let last = 0;
      for (let round = 0; round < 3; round += 1) {
        const { socket, welcome } = await client.session();
        assert.ok(welcome.epoch > last, `epoch ${welcome.epoch} after ${last}`);
        assert.deepEqual(welcome.uploads, []);
        assert.ok(welcome.dead_after_ms > welcome.heartbeat_interval_ms);
        last = welcome.epoch;
        await socket.close();
      }
    });

    test('has nothing said to it before its hello', async () => {
      await using client = await target().lend();
      await (await client.session()).socket.close();
      await client.operator.trigger(client.clientId, '/pretended/early.bin');
      const socket = await client.connect();
      await socket.settle();
      assert.deepEqual(socket.unread, []);
      socket.send(plainHello);
      await socket.next('welcome');
      await socket.next('prepare_upload');
    });

    test('that does not begin with hello gets an error, and may say hello then', async () => {
      await using client = await target().lend();
      const socket = await client.connect();
      socket.send({ status: 'failed', upload_id: UNKNOWN_UPLOAD, error: 'file_not_found', message: '' });
      assert.equal((await socket.next('error')).code, 'protocol_error');
      socket.send(plainHello);
      await socket.next('welcome');
    });

    test('does not begin twice', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      socket.send(plainHello);
      assert.equal((await socket.next('error')).code, 'protocol_error');
      await socket.settle();
      assert.deepEqual(socket.unread, []);
    });

    test('shows operators who hello said it is', async () => {
      await using client = await target().lend();
      const labels = { site: 'berlin', 'rack/unit': '7', constructor: 'x', toString: '' };
      await client.session({ labels, platform: { os: 'win32', arch: 'arm64', hostname: 'till-7' } });
      const answer = await client.operator.request('GET', `/status/${client.clientId}`);
      const status = clientStatusSchema.parse(await answer.json());
      assert.equal(status.connected, true);
      assert.deepEqual(status.labels, labels);
      assert.deepEqual(status.platform, { os: 'win32', arch: 'arm64', hostname: 'till-7' });
      assert.equal(status.agent_version, 'protocol-suite');
    });

    test('of the same client that is newer closes the elder with 4000', async () => {
      await using client = await target().lend();
      const elder = await client.session();
      const newer = await client.session();
      assert.equal(await elder.socket.closeCode(), 4000);
      assert.ok(newer.welcome.epoch > elder.welcome.epoch);
      await newer.socket.settle();
    });

    test('ends for operators when its socket does', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const { pull } = await client.pullStarted(socket);
      socket.webSocket.terminate();
      const stalled = await client.operator.recordWhen(
        pull.id.upload_id,
        ({ stalled_since }) => stalled_since !== null,
      );
      assert.equal(stalled.status, 'uploading');
      const answer = await client.operator.request('GET', `/status/${client.clientId}`);
      assert.equal(clientStatusSchema.parse(await answer.json()).connected, false);
    });

    for (const [what, hello] of [
      ['33 labels', { labels: Object.fromEntries(Array.from({ length: 33 }, (_, at) => [`l${at}`, ''])) }],
      ['a label whose name has a space', { labels: { 'a b': '' } }],
      ['a label whose name is empty', { labels: { '': 'x' } }],
      ['a label of 257 characters', { labels: { long: 'x'.repeat(257) } }],
      ['a label that is no text', { labels: { nested: { a: 1 } } }],
      ['a hostname of 300 characters', { platform: { os: 'linux', arch: 'x64', hostname: 'h'.repeat(300) } }],
      ['no platform', { platform: undefined }],
      ['no place for uploads', { limits: { max_uploads: 0, parallel_parts: 4 } }],
      ['a fraction for a limit', { limits: { max_uploads: 1.5, parallel_parts: 4 } }],
      ['a NUL in its default path', { default_file_path: 'a\0b' }],
      [
        '65 running uploads',
        { running: Array.from({ length: 65 }, () => ({ upload_id: UNKNOWN_UPLOAD, attempt: 1 })) },
      ],
      ['a running upload of no id', { running: [{ upload_id: '../../etc/passwd', attempt: 1 }] }],
    ] as const) {
      test(`is refused to a hello with ${what}, and open to a right one on the same socket`, async () => {
        await using client = await target().lend();
        const socket = await client.connect();
        socket.send({ ...plainHello, ...hello });
        assert.equal((await socket.next('error')).code, 'protocol_error');
        assert.deepEqual(socket.unread, []);
        socket.send(plainHello);
        await socket.next('welcome');
      });
    }

    test('is not harmed by labels called __proto__', async () => {
      await using client = await target().lend();
      const socket = await client.connect();
      const hello = JSON.stringify({ ...plainHello, labels: { site: 'x' } });
      socket.sendRaw(hello.replace('"site"', '"__proto__":{"polluted":"yes"},"site"'));
      await socket.settle();
      if (!socket.unread.some(({ action }) => action === 'welcome')) socket.send(plainHello);
      await socket.next('welcome');
      const answer = await client.operator.request('GET', `/status/${client.clientId}`);
      assert.doesNotMatch(await answer.text(), /polluted/);
    });

    test('tells to drop a running upload that does not exist', async () => {
      await using client = await target().lend();
      const running = [{ upload_id: UNKNOWN_UPLOAD, attempt: 3 }];
      const { welcome } = await client.session({ running });
      assert.deepEqual(welcome.uploads, [{ upload_id: UNKNOWN_UPLOAD, attempt: 3, verdict: 'drop' }]);
    });
  });
}
