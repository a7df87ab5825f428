import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, type ServerResponse, createServer, get } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { test } from 'node:test';
import { InflightResponses } from './inflight-responses.ts';

test('a closing server finishes its responses and does not wait for connections without a request', async () => {
  const pending = Promise.withResolvers<ServerResponse>();
  const server = createServer((_request, output) => pending.resolve(output));
  const inflight = new InflightResponses(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const silent = connect(port, '127.0.0.1');
  await Promise.all([once(silent, 'connect'), once(server, 'connection')]);
  const silentClosed = once(silent, 'close');
  const agent = new Agent({ keepAlive: true });
  const asked = once(get({ host: '127.0.0.1', port, agent }), 'response');
  const output = await pending.promise;

  const closed = new Promise((resolve) => server.close(resolve));
  const finished = inflight.finish();
  assert.ok(!output.destroyed);
  output.end('to the end');
  const [response] = (await asked) as [NodeJS.ReadableStream];
  response.setEncoding('utf8');
  let text = '';
  for await (const chunk of response) text += String(chunk);
  assert.equal(text, 'to the end');
  await Promise.all([finished, silentClosed, closed]);
  agent.destroy();
});

test('a connection that arrives after the last response is closed', async () => {
  const server = createServer((_request, output) => void output.end());
  const inflight = new InflightResponses(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  await inflight.finish();
  const late = connect((server.address() as AddressInfo).port, '127.0.0.1');
  late.on('error', () => undefined);
  await once(late, 'close');
  const closed = once(server, 'close');
  server.close();
  await closed;
});
