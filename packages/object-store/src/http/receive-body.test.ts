import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { receive } from './receive-body.ts';

const BODY_BYTES = 2 * 1024 * 1024;

/** A request with a partly sent body. */
async function sendBody({ signal }: { signal: AbortSignal }) {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening', { signal });
  const { port } = server.address() as AddressInfo;
  const outgoing = request({ port, method: 'PUT', headers: { 'content-length': BODY_BYTES } });
  outgoing.end(Buffer.alloc(BODY_BYTES, 7));
  const [incoming, response] = (await once(server, 'request', { signal })) as [
    IncomingMessage,
    ServerResponse,
  ];
  return {
    incoming,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, 'close');
      response.end();
      server.close();
      server.closeAllConnections();
      outgoing.on('error', () => undefined).destroy();
      await closed;
    },
  };
}

test(
  'every received byte is counted, even if the rest is not read',
  { timeout: 10_000 },
  async ({ signal }) => {
    await using sent = await sendBody({ signal });
    let bytes = 0;
    const options = { stallTimeoutMs: 5000, signal, onBytes: (count: number) => void (bytes += count) };
    for await (const chunk of receive(sent.incoming, options)) {
      assert.ok(chunk.length > 0);
      // More data arrives than is read.
      if (!sent.incoming.isPaused()) await once(sent.incoming, 'pause', { signal });
      break;
    }
    let rest = 0;
    for await (const chunk of receive(sent.incoming, options)) rest += chunk.length;
    assert.equal(bytes, BODY_BYTES);
    assert.ok(rest > 0 && rest < BODY_BYTES);
  },
);
