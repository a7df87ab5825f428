import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, createServer, get, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { test } from 'node:test';
import Fastify from 'fastify';
import { pino } from 'pino';
import { InflightResponses, RequestLog } from './http-server.ts';

/** Requests a path and returns the logged lines. */
async function linesOf(path: string, level = 'info'): Promise<Record<string, unknown>[]> {
  const lines: Record<string, unknown>[] = [];
  const write = (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>);
  await using app = Fastify({
    loggerInstance: pino({ base: null, level }, { write }),
    logController: new RequestLog(() => '203.0.113.9'),
  });
  app.get('/good', (request) => {
    request.log.info('at work');
    return 'ok';
  });
  app.setErrorHandler((_error, _request, reply) => reply.code(418).send());
  app.get('/bad', () => {
    throw new Error('no');
  });
  await app.inject(path);
  return lines;
}

test('a request is logged as one line after its response, with the same id as its handler’s lines', async () => {
  const [work, done, ...more] = await linesOf('/good');
  assert.deepEqual(more, []);
  assert.equal(work?.['msg'], 'at work');
  assert.equal(done?.['msg'], 'request completed');
  assert.deepEqual([done['method'], done['path'], done['status']], ['GET', '/good', 200]);
  assert.equal(done['address'], '203.0.113.9');
  assert.ok(Number(done['durationMs']) >= 0);
  assert.equal(done['reqId'], work['reqId']);
});

test('a failed request is logged with its response status', async () => {
  const lines = await linesOf('/bad');
  assert.deepEqual(
    lines.map(({ path, status }) => [path, status]),
    [['/bad', 418]],
  );
});

test('at level debug the arrival of a request is logged too', async () => {
  const [incoming] = await linesOf('/good', 'debug');
  assert.deepEqual([incoming?.['msg'], incoming?.['path']], ['incoming request', '/good']);
});

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
