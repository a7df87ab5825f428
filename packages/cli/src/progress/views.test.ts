import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { UploadRecord } from '@backhaul/protocol';
import { uploadRecord } from '../../../../test/harness/upload-record.ts';
import { BarView, LinesView } from './views.ts';

const MB = 1_000_000;
const half = (fields: Partial<UploadRecord> = {}) =>
  uploadRecord({ size: 100 * MB, bytes_uploaded: 50 * MB, parts_completed: 10, ...fields });

function terminal(columns = 100) {
  const written: string[] = [];
  const write = (chunk: string | Uint8Array): boolean => written.push(String(chunk)) > 0;
  return { isTTY: true, columns, write, written };
}

describe('the bar', () => {
  test('shows progress, rate and ETA on one line', (context) => {
    context.mock.timers.enable({ apis: ['setInterval', 'Date'] });
    const screen = terminal();
    const view = new BarView(screen, Date.now);
    view.show(half({ bytes_uploaded: 40 * MB, version: 1 }));
    context.mock.timers.tick(1000);
    view.show(half({ version: 2 }));
    context.mock.timers.tick(250);
    assert.equal(
      screen.written.at(-1),
      '\r\u001b[K[████████████░░░░░░░░░░░░] 50%  10/20 parts  50.0 MB of 100.0 MB  10.0 MB/s  ETA 5.0 s',
    );
    view.close();
  });

  test('shows the reason for waiting', (context) => {
    context.mock.timers.enable({ apis: ['setInterval', 'Date'] });
    const screen = terminal();
    const view = new BarView(screen, Date.now);
    view.show(half({ status: 'queued', size: null, bytes_uploaded: 0 }));
    assert.match(screen.written.at(-1) ?? '', /waiting for the agent$/);
    view.show(half({ stalled_since: '2025-11-01T10:30:00.000Z' }));
    context.mock.timers.tick(250);
    assert.match(screen.written.at(-1) ?? '', /waiting for the agent to reconnect$/);
    view.close();
  });

  test('counts down to the next try without events', (context) => {
    context.mock.timers.enable({ apis: ['setInterval', 'Date'], now: Date.parse('2025-11-01T10:30:00Z') });
    const screen = terminal(120);
    const view = new BarView(screen, Date.now);
    view.show(
      half({
        status: 'queued',
        attempt: 2,
        stalled_since: '2025-11-01T10:29:00.000Z',
        stalled_reason: 'The object store cannot be reached.',
        next_retry_at: '2025-11-01T10:30:24.000Z',
      }),
    );
    assert.match(
      screen.written.at(-1) ?? '',
      /waiting, attempt 2, next try in 24 s: The object store cannot be reached\.$/,
    );
    context.mock.timers.tick(4000);
    assert.match(screen.written.at(-1) ?? '', /next try in 20 s: /);
    view.close();
  });

  test('is never wider than the terminal', (context) => {
    context.mock.timers.enable({ apis: ['setInterval', 'Date'] });
    const screen = terminal(30);
    const view = new BarView(screen, Date.now);
    view.show(half());
    view.close();
    assert.equal((screen.written[0] ?? '').slice('\r\u001b[K'.length).length, 29);
  });

  test('assumes 80 columns if the terminal does not report its width', (context) => {
    context.mock.timers.enable({ apis: ['setInterval', 'Date'] });
    const screen = terminal(0);
    const view = new BarView(screen, Date.now);
    view.show(half());
    view.close();
    assert.match(screen.written[0] ?? '', /50\.0 MB of 100\.0 MB$/);
  });

  test('after close leaves an empty line and draws nothing more', (context) => {
    context.mock.timers.enable({ apis: ['setInterval', 'Date'] });
    const screen = terminal();
    const view = new BarView(screen, Date.now);
    view.show(half());
    view.close();
    view.close();
    const count = screen.written.length;
    context.mock.timers.tick(5000);
    assert.equal(screen.written.length, count);
    assert.equal(screen.written.at(-1), '\r\u001b[K');
  });
});

describe('lines', () => {
  function lines() {
    const written: string[] = [];
    const clock = { now: 0 };
    return {
      written,
      clock,
      view: new LinesView(
        (text) => written.push(text),
        () => clock.now,
      ),
    };
  }

  test('are printed at most once a second while bytes are transferred', () => {
    const { written, clock, view } = lines();
    for (let ms = 0; ms <= 3000; ms += 100) {
      clock.now = ms;
      view.show(half({ bytes_uploaded: ms * 10_000 }));
    }
    assert.equal(written.length, 4);
    assert.match(
      written[3] ?? '',
      /^uploading: 30%  10\/20 parts  30\.0 MB of 100\.0 MB  10\.0 MB\/s  ETA 7\.0 s$/,
    );
  });

  test('are printed at once when the phase changes', () => {
    const { written, view } = lines();
    for (const status of ['queued', 'preparing', 'uploading', 'completing', 'completed'] as const) {
      view.show(half({ status }));
    }
    view.showFetching({ purpose: 'saving', done: 1, total: 10 });
    assert.equal(written.length, 6);
    assert.match(written[5] ?? '', /^saving  10%/);
    view.showFetching({ purpose: 'checking', done: 2, total: 10 });
    assert.match(written[6] ?? '', /^checking  20%/);
  });

  test('show the reason for waiting, once for each reason', () => {
    const { written, clock, view } = lines();
    const away = {
      status: 'queued',
      size: null,
      stalled_since: '2025-11-01T10:29:00.000Z',
      stalled_reason: 'The agent is not connected.',
    } as const;
    clock.now = Date.parse('2025-11-01T10:30:00Z');
    view.show(half(away));
    const again = { ...away, attempt: 3, stalled_reason: 'The store said: \u001b[2J' };
    view.show(half({ ...again, next_retry_at: '2025-11-01T10:32:05.000Z' }));
    clock.now += 100;
    view.show(half({ ...again, next_retry_at: '2025-11-01T10:32:05.000Z', version: 9 }));
    view.show(half({ ...away, status: 'expired' }));
    assert.deepEqual(written, [
      'waiting: The agent is not connected.',
      'waiting, attempt 3, next try in 2 min 5 s: The store said: \\u001b[2J',
      'expired',
    ]);
  });
});
