import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PretendFile } from './pretend-file.ts';
import type { SuiteTarget } from './suite-target.ts';

const CHUNK = 5 * 1024 * 1024;
const UNKNOWN_UPLOAD = '019ab3c2-5f00-7000-8000-00000000dead';

/** Checks the transfer from `download_file` to its end. */
export function transferChecks(target: () => SuiteTarget): void {
  describe('a transfer', { concurrency: false }, () => {
    test('of all parts, in two windows, ends as completed with the same bytes', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const pull = await client.pullPrepared(socket, new PretendFile(CHUNK + 3));
      socket.send({ ...pull.prepared, parts: [pull.announce(1)] });
      const { upload_config: config } = await socket.next('download_file');
      const first = await Promise.all(config.presigned_urls.map((signed) => pull.put(signed)));
      socket.send({ status: 'part_uploaded', ...pull.id, parts: first, retries: 0 });
      socket.send({ status: 'parts_ready', ...pull.id, parts: [pull.announce(2)] });
      const urls = await socket.next('part_urls');
      assert.deepEqual(
        urls.presigned_urls.map(({ part_number }) => part_number),
        [2],
      );
      const progress = await pull.record();
      assert.equal(progress.parts_completed, 1);
      assert.equal(progress.bytes_uploaded, CHUNK);
      const second = await Promise.all(urls.presigned_urls.map((signed) => pull.put(signed)));
      socket.send(pull.completed([...first, ...second]));
      const record = await pull.ended();
      assert.equal(record.status, 'completed', record.message ?? '');
      assert.equal(record.size, CHUNK + 3);
      assert.ok((await client.operator.content(record.upload_id)).equals(pull.file.bytes));
    });

    test('of an empty file is one empty part', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const { pull, download } = await client.pullStarted(socket, new PretendFile(0));
      const parts = await Promise.all(
        download.upload_config.presigned_urls.map((signed) => pull.put(signed)),
      );
      assert.equal(parts.length, 1);
      socket.send(pull.completed(parts));
      assert.equal((await pull.ended()).status, 'completed');
    });

    test('is not moved by part_uploaded that comes again, in the same words or with fewer parts', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const { pull, download } = await client.pullStarted(socket, new PretendFile(CHUNK + 3));
      const parts = await Promise.all(
        download.upload_config.presigned_urls.map((signed) => pull.put(signed)),
      );
      socket.send({ status: 'part_uploaded', ...pull.id, parts, retries: 0 });
      await pull.settle(socket);
      assert.equal((await pull.record()).parts_completed, 2);
      await pull.assertUnchanged(socket, () => {
        socket.send({ status: 'part_uploaded', ...pull.id, parts, retries: 0 });
        socket.send({ status: 'part_uploaded', ...pull.id, parts: parts.slice(1), retries: 0 });
      });
      assert.deepEqual(socket.unread, []);
    });

    test('is not moved by part_uploaded of parts that were never announced', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const { pull } = await client.pullStarted(socket);
      await pull.assertUnchanged(socket, () => {
        socket.send({ status: 'part_uploaded', ...pull.id, parts: [{ part_number: 9, etag: '"x"' }] });
      });
    });

    test('once ended is not moved by completed, failed or anything else, which is answered with cancel_upload', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const { pull, download } = await client.pullStarted(socket);
      const parts = await Promise.all(
        download.upload_config.presigned_urls.map((signed) => pull.put(signed)),
      );
      socket.send(pull.completed(parts));
      socket.send(pull.completed(parts));
      assert.equal((await pull.ended()).status, 'completed');
      await pull.settle(socket);
      while (socket.unread.length > 0) await socket.next('cancel_upload');
      for (const message of [
        pull.completed(parts),
        pull.prepared,
        { status: 'failed', ...pull.id, error: 'read_failed', message: 'late' },
        { status: 'part_uploaded', ...pull.id, parts },
        { status: 'parts_ready', ...pull.id, parts: [pull.announce(1)] },
      ]) {
        await pull.assertUnchanged(socket, () => socket.send(message));
        const cancel = await socket.next('cancel_upload');
        assert.deepEqual({ upload_id: cancel.upload_id, attempt: cancel.attempt }, pull.id);
        assert.deepEqual(socket.unread, []);
      }
      assert.ok((await client.operator.content(pull.id.upload_id)).equals(pull.file.bytes));
    });

    test('is not moved by messages of an older or a newer attempt, which are answered with cancel_upload', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const first = await client.pullStarted(socket);
      const { upload_id } = first.pull.id;
      await client.operator.cancel(upload_id);
      await socket.next('cancel_upload');
      const retried = await client.operator.request('POST', `/uploads/${upload_id}/retry`);
      assert.ok(retried.ok, await retried.text());
      const request = await socket.next('prepare_upload');
      assert.equal(request.attempt, 2);
      const prepared = first.pull.file.prepared(request);
      socket.send(prepared);
      await socket.next('download_file');
      for (const attempt of [1, 3, 1_000_000]) {
        for (const message of [
          { ...prepared, attempt },
          { ...first.pull.completed([{ part_number: 1, etag: '"x"' }]), attempt },
          { status: 'failed', upload_id, attempt, error: 'read_failed', message: 'late' },
          { status: 'parts_ready', upload_id, attempt, parts: prepared.parts },
        ]) {
          await first.pull.assertUnchanged(socket, () => socket.send(message));
          const cancel = await socket.next('cancel_upload');
          assert.deepEqual([cancel.upload_id, cancel.attempt], [upload_id, attempt]);
          assert.deepEqual(socket.unread, []);
        }
      }
    });

    test('is not moved by messages about an upload that does not exist, and they do no harm', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const { pull } = await client.pullStarted(socket);
      await pull.assertUnchanged(socket, () => {
        const unknown = { upload_id: UNKNOWN_UPLOAD, attempt: 1 };
        socket.send({ ...pull.prepared, ...unknown });
        socket.send({ ...pull.completed([{ part_number: 1, etag: '"x"' }]), ...unknown });
        socket.send({ status: 'failed', ...unknown, error: 'read_failed', message: '' });
        socket.send({ status: 'part_uploaded', ...unknown, parts: [{ part_number: 1, etag: '"x"' }] });
        socket.send({ status: 'parts_ready', ...unknown, parts: [pull.announce(1)] });
      });
      assert.deepEqual(
        socket.unread.filter(({ action }) => action !== 'cancel_upload'),
        [],
      );
    });

    test('is not moved by another client, which gets no URL for it', async (t) => {
      if (!target().hasTwoClients) return t.skip('needs a second agent’s token');
      await using lent = await target().lendTwo();
      const { socket } = await lent.one.session();
      const { pull } = await lent.one.pullStarted(socket);
      const { socket: stranger, welcome } = await lent.two.session({ running: [pull.id] });
      assert.deepEqual(welcome.uploads, [{ ...pull.id, verdict: 'drop' }]);
      const usurping = [
        pull.prepared,
        { status: 'parts_ready', ...pull.id, parts: [pull.announce(1)] },
        { status: 'part_uploaded', ...pull.id, parts: [{ part_number: 1, etag: '"x"' }] },
        pull.completed([{ part_number: 1, etag: '"x"' }]),
        { status: 'failed', ...pull.id, error: 'read_failed', message: 'mine now' },
      ];
      const usurp = async (): Promise<void> => {
        for (const message of usurping) stranger.send(message);
        await stranger.settle();
      };
      await pull.assertUnchanged(socket, usurp, { turns: usurping.length });
      const signed = stranger.unread.filter(
        ({ action }) => action === 'part_urls' || action === 'download_file',
      );
      assert.deepEqual(signed, []);
    });

    test('that an operator cancels is told to the agent', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const { pull } = await client.pullStarted(socket);
      const answer = await client.operator.cancel(pull.id.upload_id);
      assert.ok(answer.ok, await answer.text());
      const cancel = await socket.next('cancel_upload');
      assert.deepEqual({ upload_id: cancel.upload_id, attempt: cancel.attempt }, pull.id);
      assert.equal((await pull.ended()).status, 'cancelled');
    });

    test('said to be completed with a part missing fails, and there is no object', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const { pull, download } = await client.pullStarted(socket, new PretendFile(CHUNK + 3));
      const [signed] = download.upload_config.presigned_urls;
      assert.ok(signed);
      socket.send(pull.completed([await pull.put(signed)]));
      const record = await pull.ended();
      assert.equal(record.status, 'failed');
      assert.match(record.message ?? '', /part/);
      const content = await client.operator.request('GET', `/uploads/${pull.id.upload_id}/content`);
      assert.equal(content.status, 409);
    });

    test('said to be completed with ETags that the store never gave is asked for again, and there is no object', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const { pull } = await client.pullStarted(socket);
      socket.send(pull.completed([{ part_number: 1, etag: '"d41d8cd98f00b204e9800998ecf8427e"' }]));
      const again = await socket.next('prepare_upload');
      assert.deepEqual([again.upload_id, again.attempt > 1], [pull.id.upload_id, true]);
      const content = await client.operator.request('GET', `/uploads/${pull.id.upload_id}/content`);
      assert.equal(content.status, 409);
    });

    test('said to be completed with another size than was prepared fails', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const { pull, download } = await client.pullStarted(socket);
      const parts = await Promise.all(
        download.upload_config.presigned_urls.map((signed) => pull.put(signed)),
      );
      socket.send({ ...pull.completed(parts), size: pull.file.size + 1 });
      await pull.assertFailed('protocol_error');
    });

    test('that the agent gives up ends for the reason it says, and there is no object', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const { pull, download } = await client.pullStarted(socket);
      await Promise.all(download.upload_config.presigned_urls.map((signed) => pull.put(signed)));
      socket.send({ status: 'failed', ...pull.id, error: 'file_changed', message: 'it changed' });
      assert.equal((await pull.assertFailed('file_changed')).message, 'it changed');
      const content = await client.operator.request('GET', `/uploads/${pull.id.upload_id}/content`);
      assert.equal(content.status, 409);
    });
  });
}
