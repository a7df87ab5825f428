import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StallReport, type StalledInput } from './stall-report.ts';

function fixture() {
  const sent: StalledInput[] = [];
  const logged: unknown[] = [];
  const state = { now: 0, connected: true, maxRate: null as number | null };
  const parallelism = {
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
    log: { warn: (...call: unknown[]) => void logged.push(call[0]) },
    now: () => state.now,
    parallelism,
    maxRate: () => state.maxRate,
    message: (reason, retry_in_ms) => ({
      status: 'stalled',
      upload_id: '019ab3c2-5f00-7000-8000-000000000001',
      attempt: 1,
      reason,
      retry_in_ms,
    }),
  });
  return { sent, logged, state, parallelism, report };
}

test('a setback is reported after a while without a stored part, with the time until the retry', () => {
  const { sent, logged, state, report } = fixture();
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

test('a stored part discards earlier setbacks', () => {
  const { sent, state, report } = fixture();
  report.setback({ reason: 'ECONNREFUSED', detail: 'all of it', broke: false, retryInMs: 1 });
  report.progress();
  state.now = 1000;
  report.report();
  assert.equal(sent.length, 0);
});

test('only the latest of many setbacks is reported per interval, and not while disconnected', () => {
  const { sent, state, report } = fixture();
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

/** Returns the advice for a lost connection, after `Part 3: lost. `. */
function adviceOf(change: (stand: ReturnType<typeof fixture>) => void): string | undefined {
  const stand = fixture();
  change(stand);
  stand.state.now = 100;
  stand.report.setback({ reason: 'Part 3: lost.', detail: 'all of it', broke: true, retryInMs: 1 });
  stand.report.report();
  return stand.sent[0]?.reason.replace(/^Part 3: lost\. ?/, '');
}

test('connection losses are explained with advice for operators', () => {
  assert.equal(
    adviceOf(() => undefined),
    'The connection is lost or stalls about every 60 s, and a part of 5 MiB takes 21 s at 250 kB/s: parts are sent one by one.',
  );
  assert.equal(
    adviceOf(({ parallelism }) => void Object.assign(parallelism, { bytesPerSecond: 2e6, limit: 4 })),
    'The connection is lost or stalls about every 60 s, and a part of 5 MiB takes 3 s at 2000 kB/s: at most 4 parts are sent at the same time.',
  );
  assert.equal(
    adviceOf(({ parallelism }) => void (parallelism.breaksEveryMs = 15_000)),
    'The connection is lost or stalls about every 15 s, but a part of 5 MiB takes 21 s at 250 kB/s, and object stores accept no smaller parts: find out what closes connections so early, such as a proxy with a time limit.',
  );
  assert.match(
    adviceOf(({ parallelism, state }) => {
      parallelism.breaksEveryMs = 15_000;
      state.maxRate = 250_000;
    }) ?? '',
    /no smaller parts: raise the limit of 250000 bytes per second, or find out/,
  );
  assert.equal(
    adviceOf(({ parallelism }) => void (parallelism.bytesPerSecond = null)),
    'The connection is lost or stalls about every 60 s, before a part of 5 MiB is sent: find out what closes connections so early, such as a proxy with a time limit.',
  );
  assert.equal(
    adviceOf(({ parallelism }) => void (parallelism.breaksEveryMs = null)),
    '',
  );
});
