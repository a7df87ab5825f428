import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StallReport, type StalledInput } from './stall-report.ts';

function bench() {
  const sent: StalledInput[] = [];
  const logged: unknown[] = [];
  const state = { now: 0, connected: true, maxRate: null as number | null };
  const line = {
    breaksEveryMs: 60_000 as number | null,
    bytesPerSecond: 250_000 as number | null,
    partBytes: 5 * 1024 * 1024,
    limit: 1,
  };
  const report = new StallReport({
    link: {
      send: (message) => {
        if (state.connected) sent.push(message as StalledInput);
        return state.connected;
      },
    },
    afterMs: 100,
    log: { warn: (...line: unknown[]) => void logged.push(line[0]) },
    now: () => state.now,
    line,
    maxRate: () => state.maxRate,
    message: (reason, retry_in_ms) => ({
      status: 'stalled',
      upload_id: '019ab3c2-5f00-7000-8000-000000000001',
      attempt: 1,
      reason,
      retry_in_ms,
    }),
  });
  return { sent, logged, state, line, report };
}

test('a setback is told once no part was stored for a while, with the time left until the next try', () => {
  const { sent, logged, state, report } = bench();
  report.setback({ reason: 'ECONNREFUSED', detail: 'all of it', broke: false, retryInMs: 250 });
  report.report();
  assert.equal(sent.length, 0);
  state.now = 100;
  report.report();
  report.report();
  assert.deepEqual(
    sent.map(({ reason, retry_in_ms: ms }) => ({ reason, ms })),
    [{ reason: 'ECONNREFUSED', ms: 150 }],
  );
  assert.deepEqual(logged, [{ reason: 'ECONNREFUSED', detail: 'all of it' }]);
});

test('a stored part makes earlier setbacks nobody’s concern', () => {
  const { sent, state, report } = bench();
  report.setback({ reason: 'ECONNREFUSED', detail: 'all of it', broke: false, retryInMs: 1 });
  report.progress();
  state.now = 1000;
  report.report();
  assert.equal(sent.length, 0);
});

test('many setbacks are told now and then, the newest first; without a socket they wait', () => {
  const { sent, state, report } = bench();
  state.connected = false;
  state.now = 100;
  report.setback({ reason: 'first', detail: 'all of it', broke: false, retryInMs: 1 });
  report.report();
  state.connected = true;
  report.setback({ reason: 'second', detail: 'all of it', broke: false, retryInMs: 1 });
  report.report();
  report.setback({ reason: 'third', detail: 'all of it', broke: false, retryInMs: 1 });
  report.report();
  assert.deepEqual(
    sent.map(({ reason }) => reason),
    ['second'],
  );
  state.now = 200;
  report.report();
  assert.deepEqual(
    sent.map(({ reason }) => reason),
    ['second', 'third'],
  );
});

/** What is told of a connection that was lost, after `Part 3: lost. `. */
function adviceOf(change: (stand: ReturnType<typeof bench>) => void): string | undefined {
  const stand = bench();
  change(stand);
  stand.state.now = 100;
  stand.report.setback({ reason: 'Part 3: lost.', detail: 'all of it', broke: true, retryInMs: 1 });
  stand.report.report();
  return stand.sent[0]?.reason.replace(/^Part 3: lost\. ?/, '');
}

test('a line that breaks is described, with what people can do about it', () => {
  assert.equal(
    adviceOf(() => undefined),
    'The line breaks or falls silent about every 60 s, and a part of 5 MiB takes 21 s at 250 kB/s: they are sent one by one.',
  );
  assert.equal(
    adviceOf(({ line }) => void Object.assign(line, { bytesPerSecond: 2e6, limit: 4 })),
    'The line breaks or falls silent about every 60 s, and a part of 5 MiB takes 3 s at 2000 kB/s: at most 4 are sent at once.',
  );
  assert.equal(
    adviceOf(({ line }) => void (line.breaksEveryMs = 15_000)),
    'The line breaks or falls silent about every 15 s, but a part of 5 MiB takes 21 s at 250 kB/s, and object stores take no smaller ones: find out what ends connections so soon, such as a proxy with a time limit.',
  );
  assert.match(
    adviceOf(({ line, state }) => {
      line.breaksEveryMs = 15_000;
      state.maxRate = 250_000;
    }) ?? '',
    /no smaller ones: raise the limit of 250000 bytes per second, or find out/,
  );
  assert.equal(
    adviceOf(({ line }) => void (line.bytesPerSecond = null)),
    'The line breaks or falls silent about every 60 s, before a part of 5 MiB is over: find out what ends connections so soon, such as a proxy with a time limit.',
  );
  assert.equal(
    adviceOf(({ line }) => void (line.breaksEveryMs = null)),
    '',
  );
});
