import assert from 'node:assert/strict';
import { test } from 'node:test';
import Fastify from 'fastify';
import { pino } from 'pino';
import { RequestLog } from './request-log.ts';

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
