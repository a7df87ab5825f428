import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { AgentSocket } from './agent-socket.ts';
import { plainHello } from './suite-client.ts';
import type { SuiteTarget } from './suite-target.ts';

const MAX_FRAME_BYTES = 1_048_576;

/** The server responds to invalid messages with `error`; the socket stays open and works. */
export function frameChecks(target: () => SuiteTarget): void {
  describe('a frame', { concurrency: false }, () => {
    for (const [what, frame] of [
      ['an unknown status', '{"status":"teleport"}'],
      ['no status', '{"action":"welcome"}'],
      ['a status that is no text', '{"status":{"a":1}}'],
      ['a status called __proto__', '{"status":"__proto__"}'],
      ['malformed JSON', '{"status":"failed"'],
      ['nothing in it', ''],
      ['a list', '[{"status":"hello"}]'],
      ['a text', '"hello"'],
      ['a number', '7'],
      ['null', 'null'],
      ['ten thousand nested lists', '['.repeat(10_000) + ']'.repeat(10_000)],
      ['a known status and none of its fields', '{"status":"prepared"}'],
      ['a field of a wrong type', '{"status":"failed","upload_id":7,"error":"file_not_found","message":""}'],
    ] as const) {
      test(`with ${what} gets an error; the socket goes on`, async () => {
        await using client = await target().lend();
        const { socket } = await client.session();
        socket.sendRaw(frame);
        const error = await socket.next('error');
        assert.equal(error.code, 'protocol_error');
        assert.notEqual(error.message, '');
        await client.pullStarted(socket);
        assert.ok(socket.isOpen);
      });
    }

    test('that is binary gets an error; the socket goes on', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      // The server would not respond to this message as text.
      const message = { status: 'error', code: 'protocol_error', message: 'what?' };
      socket.sendRaw(Buffer.from(JSON.stringify(message)), { binary: true });
      assert.equal((await socket.next('error')).code, 'protocol_error');
      await client.pullStarted(socket);
    });

    test('with an error from the agent is not answered', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      socket.send({ status: 'error', code: 'protocol_error', message: 'action "teleport" is not known' });
      socket.send({ status: 'error', code: 'a_code_of_the_future', message: '' });
      await socket.settle();
      assert.deepEqual(socket.unread, []);
    });

    test('may have fields that the server does not know, on every level', async () => {
      await using client = await target().lend();
      const { socket, welcome } = await client.session({
        future: { a: [1, 2, { b: null }] },
        platform: { ...plainHello.platform, libc: 'musl' },
        limits: { ...plainHello.limits, bandwidth: 7 },
      });
      assert.ok(welcome.epoch > 0);
      const pull = await client.pullPrepared(socket);
      const { prepared } = pull;
      const parts = prepared.parts.map((part) => ({ ...part, blake3: 'x' }));
      socket.send({ ...prepared, parts, future: true });
      await socket.next('download_file');
    });

    test(`of ${MAX_FRAME_BYTES} bytes is read`, async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      socket.sendRaw(padded(MAX_FRAME_BYTES));
      await socket.next('error');
      await socket.settle();
    });

    test('of one byte more closes the socket with 1009', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      socket.sendRaw(padded(MAX_FRAME_BYTES + 1));
      assert.equal(await socket.closeCode(), 1009);
      await client.session();
    });

    test('that is not UTF-8 closes the socket with 1007 (RFC 6455)', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      socket.sendRaw(Buffer.from([0x7b, 0xff, 0xfe, 0x7d]));
      assert.equal(await socket.closeCode(), 1007);
    });

    test('that is wrong is answered a thousand times, or the socket is closed with 4003', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      for (let count = 0; count < 1000; count += 1) socket.sendRaw('{');
      let answers = 0;
      while (answers < 1000 && (await isAnswered(socket))) answers += 1;
      if (answers < 1000) assert.equal(await socket.closeCode(), 4003, `after ${answers} answers`);
      await client.session();
    });
  });
}

async function isAnswered(socket: AgentSocket): Promise<boolean> {
  return await socket.next('error').then(
    () => true,
    () => false,
  );
}

/** Returns an unknown message of exactly this many bytes. */
function padded(bytes: number): string {
  const [before, after] = ['{"status":"teleport","pad":"', '"}'];
  return `${before}${'x'.repeat(bytes - before.length - after.length)}${after}`;
}
