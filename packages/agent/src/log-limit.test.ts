import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog } from './log.ts';
import { limitedWrite } from './log-limit.ts';

function limitedLog() {
  const time = { now: 0 };
  const out = { bytes: 0, leftOut: 0, lines: [] as string[] };
  const notes = createLog({
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
      noteLeftOut: (lines) => {
        out.leftOut += lines;
        notes.warn({ lines }, 'left out');
      },
      now: () => time.now,
    },
  );
  return { time, out, log: createLog({ level: 'info', format: 'json', write }) };
}

const padding = 'x'.repeat(150);

test('a minute of a log has at most a megabyte, and what was left out is counted', () => {
  const { time, out, log } = limitedLog();
  let said = 0;
  const say = (kind: number) => {
    said += 1;
    if (kind < 3) log.warn({ upload_id: padding }, `refused ${kind}`);
    else if (kind < 20) log.info({ upload_id: padding }, `read ${kind}`);
    else log.warn({ padding }, 'the agent itself');
  };
  for (let ms = 0; ms < 60_000; ms += 30) {
    time.now = ms;
    for (let kind = 0; kind < 24; kind += 1) say(kind);
  }
  assert.ok(out.bytes <= 1024 * 1024, `${out.bytes} bytes`);
  time.now += 60_000;
  say(0);
  assert.equal(out.lines.length + out.leftOut, said);
});

test('an honest log is written whole', () => {
  const { out, log } = limitedLog();
  for (let count = 0; count < 700; count += 1) log.info({ upload_id: padding }, 'prepared');
  assert.equal(out.lines.length, 700);
});

test('no flood of one kind of line hides what was read, or the connection', () => {
  const floods: Array<(log: ReturnType<typeof limitedLog>['log']) => void> = [
    (log) => log.warn({ upload_id: padding }, 'upload refused'),
    (log) => log.warn({ command_id: padding }, 'directory not listed'),
    (log) => log.error({ action: padding }, 'a message could not be handled'),
    (log) => log.info({ command_id: padding }, 'directory listed'),
    (log) => log.info({ session_id: padding }, 'connected'),
  ];
  for (const flood of floods) {
    const { time, out, log } = limitedLog();
    for (let ms = 0; ms < 60_000; ms += 100) {
      time.now = ms;
      for (let count = 0; count < 20; count += 1) flood(log);
    }
    assert.ok(out.lines.length < 6000, 'the flood was cut');
    const before = out.lines.length;
    log.child({ upload_id: padding }).info({ file: 'report' }, 'prepared');
    log.child({ upload_id: padding }).info({ size: 1 }, 'all parts sent');
    log.warn({ next_try_in_ms: 1 }, 'the connection was lost');
    assert.equal(out.lines.length, before + 3);
  }
});
