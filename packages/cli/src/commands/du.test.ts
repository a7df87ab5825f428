import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { describe, test } from 'node:test';
import { BackhaulError, problemOf } from '@backhaul/protocol';
import { FakeBackhaul, sendJson } from '../../../../test/doubles/fake-backhaul.ts';
import { finishCli, runCli, startCli } from '../../../../test/harness/cli/run-cli.ts';

const ROUTE = 'POST /clients/restaurant-1/commands/disk_usage';
const TOTALS = { bytes: 2_000_000, allocated_bytes: 4096, files: 3, directories: 2, unreadable: 0 };
const USAGE = {
  path: '/data',
  ...TOTALS,
  others: 0,
  repeated_links: 1,
  other_file_systems: 0,
  largest: [{ path: '/data/\u001b[2Jbig', size: 1_500_000, modified_at: null }],
};
const ANSWER = { command_id: '019ab3c2-5f00-7000-8000-0000000000c1', duration_ms: 3, result: USAGE };

function sendEvents(response: ServerResponse, events: readonly (readonly [event: string, data: unknown])[]) {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const [event, data] of events) response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
}

describe('backhaul du', () => {
  test('prints the totals and the largest files, without control characters', async () => {
    await using server = await FakeBackhaul.start({ [ROUTE]: (response) => sendJson(response, ANSWER) });
    const { code, stdout, stderr } = await runCli(['du', 'restaurant-1', '/data', '--largest', '5'], server);
    assert.equal(stderr, '');
    assert.equal(code, 0);
    assert.match(
      stdout,
      /^size +2\.0 MB\nallocated +4\.1 kB\nfiles +3\ndirectories +2\nfurther hard links +1\n\n/,
    );
    assert.match(stdout, /1\.5 MB +– +\/data\/.*big\n$/);
    assert.ok(!stdout.includes('\u001b'));
    assert.deepEqual(JSON.parse(server.requests[0]?.body ?? ''), { path: '/data', largest: 5 });
  });

  test('reads the result after progress, which is shown only on a terminal', async () => {
    await using server = await FakeBackhaul.start({
      [ROUTE]: (response) => {
        sendEvents(response, [
          ['command_progress', TOTALS],
          ['of_the_future', {}],
          ['result', ANSWER],
        ]);
        response.end();
      },
    });
    const { code, stdout, stderr } = await runCli(['du', 'restaurant-1', '/data', '--json'], server);
    assert.equal(stderr, '');
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(stdout), USAGE);
    assert.match(server.requests[0]?.headers.accept ?? '', /text\/event-stream/);
  });

  test('reports a problem after progress like one before it', async () => {
    const problem = problemOf(new BackhaulError('command_timeout', 'Agent restaurant-1 did not respond.'));
    await using server = await FakeBackhaul.start({
      [ROUTE]: (response) => {
        sendEvents(response, [
          ['command_progress', TOTALS],
          ['problem', problem],
        ]);
        response.end();
      },
    });
    const { code, stdout, stderr } = await runCli(['du', 'restaurant-1', '/data'], server);
    assert.equal(stdout, '');
    assert.match(stderr, /Agent restaurant-1 did not respond\./);
    assert.notEqual(code, 0);
  });

  test('closes the request on Ctrl-C, which cancels the command, and exits with 130', async () => {
    const asked = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<void>();
    await using server = await FakeBackhaul.start({
      [ROUTE]: (response) => {
        sendEvents(response, [['command_progress', TOTALS]]);
        response.on('close', closed.resolve);
        asked.resolve();
      },
    });
    const child = startCli(['du', 'restaurant-1', '/data'], server);
    const finished = finishCli(child);
    await asked.promise;
    child.kill('SIGINT');
    await closed.promise;
    assert.equal((await finished).code, 130);
  });

  test('refuses a number of files that the agent would refuse', async () => {
    const { code, stderr } = await runCli(['du', 'restaurant-1', '/data', '--largest', '101']);
    assert.equal(code, 2);
    assert.match(stderr, /from 1 to 100/);
  });
});
