import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type LogFormat, logFormats } from '@backhaul/program';
import { createLog, limitedWrite, type LogLevel } from './log.ts';

function logTo(format: LogFormat, level: LogLevel = 'info') {
  const lines: string[] = [];
  return { lines, log: createLog({ level, format, write: (line) => lines.push(line) }) };
}

test('a JSON line has its level, its message and all fields, also those of a child', () => {
  const { lines, log } = logTo('json');
  log.child({ upload_id: 'u' }).warn({ size: 5, error: new Error('x') }, 'failed');
  const { time, error, ...rest } = JSON.parse(lines[0] ?? '') as Record<string, unknown>;
  assert.ok(!Number.isNaN(Date.parse(String(time))));
  assert.equal((error as { message: string }).message, 'x');
  assert.deepEqual(rest, { level: 'warn', upload_id: 'u', size: 5, msg: 'failed' });
});

test('levels below the threshold are omitted, and silent logs nothing', () => {
  const { lines, log } = logTo('human', 'warn');
  log.info('no');
  log.error('yes');
  assert.equal(lines.length, 1);
  const quiet = logTo('human', 'silent');
  quiet.log.error('no');
  assert.deepEqual(quiet.lines, []);
});

test('a hostile file name can neither break the line nor control the terminal, in any format', () => {
  const path = 'a\n00:00:00 info  forged\u001b[2J\u009b2J\u202e\u200f\u061c\ufeff';
  for (const format of logFormats) {
    const { lines, log } = logTo(format);
    log.info({ path }, `opened ${path}`);
    const [line = ''] = lines;
    assert.equal(line.split('\n').length, 2);
    assert.match(line.trimEnd(), /^[\x20-\x7e]*$/);
    if (format === 'json') assert.equal((JSON.parse(line) as { path: string }).path, path);
  }
});

test('lines for the journal start with their priority', () => {
  const lines: string[] = [];
  const log = createLog({
    level: 'info',
    format: 'json',
    toJournal: true,
    write: (line) => lines.push(line),
  });
  log.warn('no route');
  assert.match(lines[0] ?? '', /^<4>\{"level":"warn"/);
});

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
