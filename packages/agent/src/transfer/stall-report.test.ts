import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StallReport, type StalledInput } from './stall-report.ts';

function bench() {
  const sent: StalledInput[] = [];
  const state = { now: 0, connected: true };
  const report = new StallReport({
    link: {
      send: (message) => {
        if (state.connected) sent.push(message as StalledInput);
        return state.connected;
      },
    },
    afterMs: 100,
    now: () => state.now,
    message: (reason, retry_in_ms) => ({
      status: 'stalled',
      upload_id: '019ab3c2-5f00-7000-8000-000000000001',
      attempt: 1,
      reason,
      retry_in_ms,
    }),
  });
  return { sent, state, report };
}

test('a setback is told once no part was stored for a while, with the time left until the next try', () => {
  const { sent, state, report } = bench();
  report.setback({ reason: 'ECONNREFUSED', retryInMs: 250 });
  report.report();
  assert.equal(sent.length, 0);
  state.now = 100;
  report.report();
  report.report();
  assert.deepEqual(
    sent.map(({ reason, retry_in_ms: ms }) => ({ reason, ms })),
    [{ reason: 'ECONNREFUSED', ms: 150 }],
  );
});

test('a stored part makes earlier setbacks nobody’s concern', () => {
  const { sent, state, report } = bench();
  report.setback({ reason: 'ECONNREFUSED', retryInMs: 1 });
  report.progress();
  state.now = 1000;
  report.report();
  assert.equal(sent.length, 0);
});

test('many setbacks are told now and then, the newest first; without a socket they wait', () => {
  const { sent, state, report } = bench();
  state.connected = false;
  state.now = 100;
  report.setback({ reason: 'first', retryInMs: 1 });
  report.report();
  state.connected = true;
  report.setback({ reason: 'second', retryInMs: 1 });
  report.report();
  report.setback({ reason: 'third', retryInMs: 1 });
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
