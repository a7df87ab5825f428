import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Pull } from './pull.ts';
import { PretendFile } from './pretend-file.ts';
import type { SuiteTarget } from './suite-target.ts';

const CHUNK = 5 * 1024 * 1024;

/** Checks `prepare_upload` and the server's handling of the response. */
export function prepareChecks(target: () => SuiteTarget): void {
  describe('prepare_upload', { concurrency: false }, () => {
    test('names the path as it was asked for, and inputs of the plan rule within their bounds', async () => {
      await using client = await target().lend();
      const { socket } = await client.session({ platform: { os: 'win32', arch: 'x64' } });
      const path = 'C:\\Data\\Ünïcode “file” 😀.bin';
      const { upload_id } = await client.operator.trigger(client.clientId, path);
      const request = await socket.next('prepare_upload');
      assert.equal(request.upload_id, upload_id);
      assert.equal(request.attempt, 1);
      assert.equal(request.file_path, path);
      assert.ok(request.plan.window_size >= 1 && request.plan.window_size <= 64);
      assert.equal((await client.operator.record(upload_id)).status, 'preparing');
    });

    test('is not sent beyond the number of uploads that the agent takes on', async () => {
      await using client = await target().lend();
      const { socket } = await client.session({ limits: { max_uploads: 1, parallel_parts: 1 } });
      const first = await client.pullPrepared(socket);
      const second = await client.operator.trigger(client.clientId, '/pretended/second.bin');
      await socket.settle();
      assert.deepEqual(socket.unread, []);
      assert.equal((await client.operator.record(second.upload_id)).status, 'queued');
      socket.send({ status: 'failed', ...first.id, error: 'file_not_found', message: 'gone' });
      assert.equal((await socket.next('prepare_upload')).upload_id, second.upload_id);
    });

    test('is answered by prepared; download_file has one URL for each part announced', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const { pull, download } = await client.pullStarted(socket, new PretendFile(CHUNK + 3));
      const { upload_config: config, file_path } = download;
      assert.equal(file_path, pull.file.path);
      assert.equal(config.kind, 'multipart');
      assert.equal(config.attempt, 1);
      assert.equal(config.chunk_size, CHUNK);
      assert.equal(config.part_count ?? 2, 2);
      assert.deepEqual(
        config.presigned_urls.map(({ part_number }) => part_number).toSorted((one, two) => one - two),
        [1, 2],
      );
      assert.ok(config.expires_in_ms > 1000 && Date.parse(config.expires_at) > 0);
      const record = await pull.record();
      assert.equal(record.status, 'uploading');
      assert.equal(record.size, CHUNK + 3);
      assert.equal(record.part_count, 2);
      assert.equal(record.key, config.key);
    });

    test('answered by a prepared that cannot be read ends the upload, and the next has its turn', async () => {
      await using client = await target().lend();
      const { socket } = await client.session({ limits: { max_uploads: 1, parallel_parts: 1 } });
      const pull = await client.pullPrepared(socket);
      const next = await client.operator.trigger(client.clientId, '/pretended/next.bin');
      socket.send({ ...pull.prepared, source_modified_at: '+010000-01-01T00:00:00.000Z' });
      const error = await socket.next('error');
      assert.deepEqual({ upload_id: error.upload_id, attempt: error.attempt }, pull.id);
      await pull.assertFailed('protocol_error');
      assert.equal((await socket.next('prepare_upload')).upload_id, next.upload_id);
    });

    test('that the agent answers with failed ends the upload for that reason', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const pull = await client.pullPrepared(socket);
      const { upload_id } = pull.id;
      // Matches the protocol's first sample, which has no attempt.
      socket.send({ status: 'failed', upload_id, error: 'file_not_found', message: 'There is no such file' });
      const record = await pull.assertFailed('file_not_found');
      assert.equal(record.message, 'There is no such file');
    });

    test('that the agent answers with an unknown code ends as agent_fault', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const pull = await client.pullPrepared(socket);
      socket.send({ status: 'failed', ...pull.id, error: 'constructor', message: 'of the future' });
      assert.equal((await pull.assertFailed('agent_fault')).message, 'of the future');
    });

    test('that the agent is too busy for leaves the upload queued', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const pull = await client.pullPrepared(socket);
      socket.send({ status: 'failed', ...pull.id, error: 'agent_busy', message: 'at the limit' });
      await client.operator.recordWhen(pull.id.upload_id, ({ attempt }) => attempt === 2);
      assert.equal((await pull.record()).completed_at, null);
    });

    for (const [what, change] of [
      ['another chunk_size', { chunk_size: CHUNK + 1 }],
      ['another part_count', { part_count: 3 }],
      ['another size', { size: CHUNK * 3 }],
    ] as const) {
      test(`answered with ${what} than the plan has ends as plan_mismatch`, async () => {
        await using client = await target().lend();
        const { socket } = await client.session();
        const pull = await client.pullPrepared(socket, new PretendFile(CHUNK + 3));
        socket.send({ ...pull.prepared, ...change });
        await pull.assertFailed('plan_mismatch');
        assert.equal((await socket.next('cancel_upload')).upload_id, pull.id.upload_id);
        await pull.settle(socket);
        assert.deepEqual(socket.unread, []);
      });
    }

    for (const [what, announced] of wrongWindows) {
      test(`answered with ${what} ends as protocol_error, and no URL is signed`, async () => {
        await using client = await target().lend();
        const { socket } = await client.session();
        const pull = await client.pullPrepared(socket, new PretendFile(CHUNK + 3));
        socket.send({ ...pull.prepared, parts: announced(pull) });
        await pull.assertFailed('protocol_error');
        await socket.next('cancel_upload');
        await pull.settle(socket);
        assert.deepEqual(socket.unread, []);
      });

      test(`answered rightly, and again with ${what}, signs no URL for it`, async () => {
        await using client = await target().lend();
        const { socket } = await client.session();
        const { pull } = await client.pullStarted(socket, new PretendFile(CHUNK + 3));
        socket.send({ ...pull.prepared, parts: announced(pull) });
        await pull.settle(socket);
        assert.ok(!socket.unread.some(({ action }) => action === 'download_file'));
      });

      test(`followed by parts_ready with ${what} ends as protocol_error, and no URL is signed`, async () => {
        await using client = await target().lend();
        const { socket } = await client.session();
        const { pull } = await client.pullStarted(socket, new PretendFile(CHUNK + 3));
        socket.send({ status: 'parts_ready', ...pull.id, parts: announced(pull) });
        await pull.assertFailed('protocol_error');
        await socket.next('cancel_upload');
        await pull.settle(socket);
        assert.deepEqual(socket.unread, []);
      });
    }

    test('answered without the checksum that checksum_mode asks for ends as protocol_error', async (t) => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const pull = await client.pullPrepared(socket);
      const mode = pull.request.checksum_mode;
      if (mode !== 'md5' && mode !== 'sha256') return t.skip(`checksum_mode is ${mode}`);
      socket.send({ ...pull.prepared, parts: [{ ...pull.announce(1), [mode]: undefined }] });
      await pull.assertFailed('protocol_error');
    });

    test('answered twice is answered with the same download_file again, and nothing else changes', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const { pull, download } = await client.pullStarted(socket);
      const before = await pull.record();
      const again = await pull.start(socket);
      assert.deepEqual(withoutSignatures(again), withoutSignatures(download));
      assert.deepEqual(await pull.record(), before);
      const [signed] = again.upload_config.presigned_urls;
      assert.ok(signed);
      await pull.put(signed);
    });
  });
}

/** The file has two parts, the second of 3 bytes. */
const wrongWindows: readonly (readonly [what: string, announced: (pull: Pull) => unknown])[] = [
  ['a part of a wrong size', (pull) => [{ ...pull.announce(1), size: 7 }]],
  ['a last part that is as long as the others', (pull) => [{ ...pull.announce(2), size: CHUNK }]],
  ['a part twice', (pull) => [pull.announce(1), pull.announce(1)]],
  ['a part beyond the plan', (pull) => [pull.announce(1), { ...pull.announce(2), part_number: 3 }]],
];

function withoutSignatures(download: {
  upload_config: { presigned_urls: { part_number: number; url: string }[] };
}): unknown {
  const { presigned_urls, ...config } = download.upload_config;
  return {
    ...download,
    upload_config: {
      ...config,
      expires_at: '',
      expires_in_ms: 0,
      presigned_urls: presigned_urls.map((part) => ({ ...part, url: withoutSignature(part.url) })),
    },
  };
}

function withoutSignature(url: string): string {
  const { origin, pathname, searchParams } = new URL(url);
  const upload = ['partNumber', 'uploadId'].map((name) => searchParams.get(name));
  return [origin, pathname, ...upload].join(' ');
}
