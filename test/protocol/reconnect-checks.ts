import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PretendFile } from './pretend-file.ts';
import type { SuiteTarget } from './suite-target.ts';

const CHUNK = 5 * 1024 * 1024;

/** Losing a socket does not lose the transfer. */
export function reconnectChecks(target: () => SuiteTarget): void {
  describe('a lost socket', { concurrency: false }, () => {
    test('loses nothing: named in hello the upload continues, and PUTs of before count', async () => {
      await using client = await target().lend();
      const first = await client.session();
      const { pull, download } = await client.pullStarted(first.socket, new PretendFile(CHUNK + 3));
      const [one, two] = download.upload_config.presigned_urls;
      assert.ok(one && two);
      const before = await pull.put(one);
      first.socket.webSocket.terminate();
      const during = await pull.put(two);
      const second = await client.session({ running: [pull.id] });
      assert.deepEqual(second.welcome.uploads, [{ ...pull.id, verdict: 'continue' }]);
      second.socket.send({ status: 'part_uploaded', ...pull.id, parts: [before, during] });
      await pull.settle(second.socket);
      const record = await pull.record();
      assert.equal(record.parts_completed, 2);
      assert.equal(record.stalled_since, null);
      assert.deepEqual(second.socket.unread, []);
      second.socket.send(pull.completed([before, during]));
      assert.equal((await pull.ended()).status, 'completed');
      assert.ok((await client.operator.content(pull.id.upload_id)).equals(pull.file.bytes));
    });

    test('before download_file: prepared is said again, and answered', async () => {
      await using client = await target().lend();
      const first = await client.session();
      const pull = await client.pullPrepared(first.socket);
      first.socket.webSocket.terminate();
      const second = await client.session({ running: [pull.id] });
      assert.deepEqual(second.welcome.uploads, [{ ...pull.id, verdict: 'continue' }]);
      await pull.start(second.socket);
    });

    test('with the agent’s process: what hello does not name is prepared again, as attempt 2', async () => {
      await using client = await target().lend();
      const first = await client.session();
      const { pull, download } = await client.pullStarted(first.socket);
      const [signed] = download.upload_config.presigned_urls;
      assert.ok(signed);
      const lost = await pull.put(signed);
      first.socket.webSocket.terminate();
      const second = await client.session();
      assert.deepEqual(second.welcome.uploads, []);
      const request = await second.socket.next('prepare_upload');
      assert.deepEqual([request.upload_id, request.attempt], [pull.id.upload_id, 2]);
      assert.equal(request.file_path, pull.file.path);
      await pull.assertUnchanged(second.socket, () => second.socket.send(pull.completed([lost])));
      assert.equal((await second.socket.next('cancel_upload')).attempt, 1);
      assert.equal((await pull.record()).parts_completed, 0);
    });

    test('drops an attempt that is not the present one', async () => {
      await using client = await target().lend();
      const first = await client.session();
      const { pull } = await client.pullStarted(first.socket);
      first.socket.webSocket.terminate();
      const second = await client.session({ running: [{ ...pull.id, attempt: 7 }] });
      assert.deepEqual(second.welcome.uploads, [{ ...pull.id, attempt: 7, verdict: 'drop' }]);
      assert.equal((await second.socket.next('prepare_upload')).attempt, 2);
    });

    test('drops an upload that has ended meanwhile', async () => {
      await using client = await target().lend();
      const first = await client.session();
      const { pull } = await client.pullStarted(first.socket);
      first.socket.webSocket.terminate();
      await client.operator.cancel(pull.id.upload_id);
      const { welcome } = await client.session({ running: [pull.id] });
      assert.deepEqual(welcome.uploads, [{ ...pull.id, verdict: 'drop' }]);
    });

    test('does not lose what was asked for meanwhile', async () => {
      await using client = await target().lend();
      await (await client.session()).socket.close();
      const { upload_id } = await client.operator.trigger(client.clientId, '/pretended/meanwhile.bin');
      const { socket } = await client.session();
      assert.equal((await socket.next('prepare_upload')).upload_id, upload_id);
    });

    test('leaves an elder socket nothing to say: its late messages change nothing', async () => {
      await using client = await target().lend();
      const elder = await client.session();
      const { pull, download } = await client.pullStarted(elder.socket, new PretendFile(CHUNK + 3));
      const parts = await Promise.all(
        download.upload_config.presigned_urls.map((signed) => pull.put(signed)),
      );
      // It does not read, so it has not seen the close yet and keeps sending.
      elder.socket.webSocket.pause();
      const newer = await client.session({ running: [pull.id] });
      const late = [
        { status: 'part_uploaded', ...pull.id, parts, retries: 5 },
        { status: 'parts_ready', ...pull.id, parts: [pull.announce(1)] },
        pull.completed(parts),
        { status: 'failed', ...pull.id, error: 'read_failed', message: 'late' },
      ];
      const sayLate = async (): Promise<void> => {
        for (const message of late) elder.socket.send(message);
        elder.socket.webSocket.resume();
        assert.equal(await elder.socket.closeCode(), 4000);
      };
      const before = await pull.assertUnchanged(newer.socket, sayLate, { turns: late.length });
      const signed = elder.socket.unread.filter(({ action }) => action === 'part_urls');
      assert.deepEqual(signed, []);
      newer.socket.send({ status: 'part_uploaded', ...pull.id, parts: parts.slice(0, 1), retries: 0 });
      await pull.settle(newer.socket);
      const record = await pull.record();
      assert.deepEqual([record.version, record.parts_completed], [before.version + 1, 1]);
      newer.socket.send(pull.completed(parts));
      assert.equal((await pull.ended()).status, 'completed');
    });
  });
}
