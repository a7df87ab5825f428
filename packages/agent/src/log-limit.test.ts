import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog } from './log.ts';
import { limitedWrite } from './log-limit.ts';

function limitedLog() {
  const time = { now: 0 };
  const out = { bytes: 0, dropped: 0, lines: [] as string[] };
  const unlimited = createLog({
    level: 'info',
    format: 'json',
    write: (line) => void (out.bytes += line.length),
  });
  const write = limitedWrite(
    (line) => {
      out.bytes += line.length;
      out.lines.push(line);
    },
    {
      reportDropped: (lines) => {
        out.dropped += lines;
        unlimited.warn({ lines }, 'dropped');
      },
      now: () => time.now,
    },
  );
  return { time, out, log: createLog({ level: 'info', format: 'json', write }) };
}

const padding = 'x'.repeat(150);

test('the log is limited to one megabyte per minute, and dropped lines are counted', () => {
  const { time, out, log } = limitedLog();
  let written = 0;
  const logLine = (kind: number) => {
    written += 1;
    if (kind < 3) log.warn({ upload_id: padding }, `refused ${kind}`);
    else if (kind < 20) log.info({ upload_id: padding }, `read ${kind}`);
    else log.warn({ padding }, 'the agent itself');
  };
  for (let ms = 0; ms < 60_000; ms += 30) {
    time.now = ms;
    for (let kind = 0; kind < 24; kind += 1) logLine(kind);
  }
  assert.ok(out.bytes <= 1024 * 1024, `${out.bytes} bytes`);
  time.now += 60_000;
  logLine(0);
  assert.equal(out.lines.length + out.dropped, written);
});

test('a log of normal size is written completely', () => {
  const { out, log } = limitedLog();
  for (let count = 0; count < 700; count += 1) log.info({ upload_id: padding }, 'prepared');
  assert.equal(out.lines.length, 700);
});

test('a flood of one kind of line does not hide which files were read or the connection state', () => {
  const floods: Array<(log: ReturnType<typeof limitedLog>['log']) => void> = [
    (log) => log.warn({ upload_id: padding }, 'upload refused'),
    (log) => log.warn({ command_id: padding }, 'listing failed'),
    (log) => log.error({ action: padding }, 'failed to handle a message'),
    (log) => log.info({ command_id: padding }, 'directory listed'),
    (log) => log.info({ session_id: padding }, 'connected'),
  ];
  for (const flood of floods) {
    const { time, out, log } = limitedLog();
    for (let ms = 0; ms < 60_000; ms += 100) {
      time.now = ms;
      for (let count = 0; count < 20; count += 1) flood(log);
    }
    assert.ok(out.lines.length < 6000, 'the flood was limited');
    const before = out.lines.length;
    log.child({ upload_id: padding }).info({ file: 'report' }, 'prepared');
    log.child({ upload_id: padding }).info({ size: 1 }, 'all parts sent');
    log.warn({ next_try_in_ms: 1 }, 'the connection was lost');
    assert.equal(out.lines.length, before + 3);
  }
});
