import assert from 'node:assert/strict';
import test from 'node:test';
import { type LogFormat, logFormats } from '@backhaul/program';
import { createLog, type LogLevel } from './log.ts';

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
