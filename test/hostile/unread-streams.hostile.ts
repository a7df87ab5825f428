import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type Socket, connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertProblem } from '../harness/assert-problem.ts';
import { AgentSocket } from '../protocol/agent-socket.ts';
import { plainHello } from '../protocol/suite-client.ts';
import { Stage } from '../harness/stage.ts';

const RECORDS = 3000;
const STREAMS = 200;
/** Default of MAX_HELD_REQUESTS_PER_TOKEN. */
const CAP = 100;
const MiB = 1024 * 1024;
/** Each record has a long path, so that a stream exceeds the kernels' buffers. */
const LONG_PATH = `/${'x'.repeat(4000)}`;

test('unread event streams are limited, take no memory, and are closed', async (t) => {
  await using stage = await Stage.start({ env: { NODE_OPTIONS: '--max-old-space-size=512' } });
  const greedy = await stage.tokens.sign('operator', {
    subject: 'greedy',
    claims: { scope: 'read' },
  });
  // Opens the streams sequentially: in parallel, a slow machine may miss the header timeout of the last requests. This
  // happens before there is data to send, so that no stream is cut off while others are still opening.
  const sockets: Awaited<ReturnType<typeof openUnread>>[] = [];
  while (sockets.length < STREAMS) sockets.push(await openUnread(stage.url, greedy, '/events'));
  const answers = sockets.map(({ head }) => head);
  const accepted = answers.filter((head) => head.startsWith('HTTP/1.1 200 ')).length;
  const refused = answers.filter((head) => head.startsWith('HTTP/1.1 429 '));
  t.diagnostic(`${STREAMS} streams asked for: ${accepted} accepted, ${refused.length} refused`);
  assert.equal(accepted, CAP);
  assert.equal(refused.length, STREAMS - CAP);
  for (const head of refused) {
    assert.match(head, /^retry-after: \d+\r$/im);
    assert.match(head, /MAX_HELD_REQUESTS_PER_TOKEN/);
  }

  const quiet = await heapBytes(stage);
  await recordUploads(stage);
  // Other clients are served meanwhile, including by an event stream.
  const stream = await stage.fetch('/events', { signal: AbortSignal.timeout(10_000) });
  assert.equal(stream.status, 200);
  await stream.body?.cancel();

  // The client reads nothing, so the server must notice that itself: within three heartbeats of 15 s.
  let most = 0;
  const deadline = performance.now() + 75_000;
  for (;;) {
    const held = await metric(stage, 'backhaul_held_requests');
    most = Math.max(most, await heapBytes(stage));
    if (held === 0) break;
    assert.ok(performance.now() < deadline, `${held} streams are still held`);
    await sleep(500);
  }
  t.diagnostic(`heap: ${mib(quiet)} MiB before, ${mib(most)} MiB at most`);
  assert.ok(most < quiet + 100 * MiB, `the heap grew from ${mib(quiet)} to ${mib(most)} MiB`);
  const again = await fetch(`${stage.url}/events`, {
    headers: { authorization: `Bearer ${greedy}` },
    signal: AbortSignal.timeout(10_000),
  });
  assert.equal(again.status, 200);
  await again.body?.cancel();
  for (const { socket } of sockets) socket.destroy();
});

test('the total over all tokens is capped as well, and triggers that wait count', async (t) => {
  await using stage = await Stage.start({
    env: { MAX_HELD_REQUESTS: '3', MAX_HELD_REQUESTS_PER_TOKEN: '2' },
  });
  await makeKnown(stage);
  const tokens = await Promise.all(
    ['one', 'two'].map((subject) =>
      stage.tokens.sign('operator', { subject, claims: { scope: 'read trigger' } }),
    ),
  );
  const [one = '', two = ''] = tokens;
  const held = [
    await openUnread(stage.url, one, '/events'),
    await openUnread(stage.url, one, '/events'),
    await openUnread(stage.url, two, '/events'),
  ];
  for (const { head } of held) assert.match(head, /^HTTP\/1\.1 200 /);
  const asked = { headers: { authorization: `Bearer ${two}` } };
  const problem = await assertProblem(await fetch(`${stage.url}/events`, asked), 429, 'too_many_requests');
  assert.match(problem.detail, /MAX_HELD_REQUESTS\b/);

  // A preference can be declined (RFC 7240, section 2): the server accepts the pull but does not wait for it.
  const answer = await fetch(`${stage.url}/trigger-download/till`, {
    method: 'POST',
    headers: { ...asked.headers, 'content-type': 'application/json', prefer: 'wait=300' },
    body: JSON.stringify({ file_path: '/data/a' }),
    signal: AbortSignal.timeout(10_000),
  });
  assert.equal(answer.status, 202);
  assert.equal(answer.headers.get('preference-applied'), null);
  await answer.body?.cancel();

  const closed = held.map(({ socket }) => once(socket.destroy(), 'close'));
  await Promise.all(closed);
  const deadline = performance.now() + 10_000;
  while ((await metric(stage, 'backhaul_held_requests')) > 0) {
    assert.ok(performance.now() < deadline, 'what was closed is still counted');
    await sleep(50);
  }
  const refusals = await metric(stage, 'backhaul_requests_refused_total{limit="held_total"}');
  t.diagnostic(`${refusals} requests refused or not waited for`);
  assert.equal(refusals, 2);
});

/** Sends the request and reads only the beginning of the response. */
async function openUnread(
  url: string,
  token: string,
  path: string,
): Promise<{ readonly socket: Socket; readonly head: string }> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.on('error', () => {});
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nLast-Event-ID: 1.\r\n\r\n`,
  );
  const [head] = (await once(socket, 'data')) as [Buffer];
  socket.pause();
  return { socket, head: head.toString('latin1') };
}

async function makeKnown(stage: Stage): Promise<void> {
  const agent = await AgentSocket.open({
    url: `${stage.webSocketUrl}/ws/connect`,
    authorization: `Bearer ${await stage.tokens.agent('till')}`,
  });
  assert.ok(agent instanceof AgentSocket);
  agent.send(plainHello);
  await agent.next('welcome');
  await agent.close();
}

async function recordUploads(stage: Stage): Promise<void> {
  await makeKnown(stage);
  let next = 0;
  const work = Array.from({ length: 16 }, async () => {
    for (let number = next++; number < RECORDS; number = next++) {
      await stage.client.triggerDownload('till', { file_path: `${LONG_PATH}${number}` });
    }
  });
  await Promise.all(work);
}

function heapBytes(stage: Stage): Promise<number> {
  return metric(stage, 'nodejs_heap_size_used_bytes');
}

async function metric(stage: Stage, name: string): Promise<number> {
  const answer = await stage.fetch('/metrics', { signal: AbortSignal.timeout(20_000) });
  const line = (await answer.text()).split('\n').find((one) => one.startsWith(`${name} `));
  assert.ok(line !== undefined, name);
  return Number(line.slice(name.length));
}

function mib(bytes: number): string {
  return (bytes / MiB).toFixed(0);
}
