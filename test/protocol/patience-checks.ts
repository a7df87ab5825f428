import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import type { SuiteTarget } from './suite-target.ts';

/** Checks that take long: heartbeats, and a silent socket. */
export function patienceChecks(target: () => SuiteTarget): void {
  describe('a silent socket', { concurrency: true }, () => {
    test('that never says hello is closed with 4002 after 10 s', async () => {
      await using client = await target().lend();
      const started = performance.now();
      const socket = await client.connect();
      assert.equal(await socket.closeCode(), 4002);
      const waited = performance.now() - started;
      assert.ok(waited > 9000 && waited < 15_000, `closed after ${waited} ms`);
      assert.deepEqual(socket.unread, []);
    });

    test('is pinged within 25 s, and its pings are answered', async () => {
      await using client = await target().lend();
      const { socket } = await client.session();
      const signal = AbortSignal.timeout(25_000);
      const pinged = once(socket.webSocket, 'ping', { signal });
      socket.webSocket.ping('are you there?');
      const [pong] = (await once(socket.webSocket, 'pong', { signal })) as [Buffer];
      assert.equal(pong.toString(), 'are you there?');
      await pinged;
    });
  });
}
