import assert from 'node:assert/strict';
import { closeSync, fstatSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isJournal, journalPrefix, logLevels, renderLogLine } from './log-output.ts';

const time = new Date('2026-11-01T10:30:00.000Z');
const failed = Object.assign(new Error('no route'), { code: 'EHOSTUNREACH' });

test('a line is a JSON object with level and time first and the message last, or plain text', () => {
  const entry = {
    level: 'warn',
    time,
    message: 'agent away',
    fields: { client_id: 'till-7', err: failed },
  } as const;
  const json = renderLogLine(entry, 'json');
  const { err, ...rest } = JSON.parse(json) as { err: { name: string; code: string; message: string } };
  assert.deepEqual(Object.keys(JSON.parse(json) as object), ['level', 'time', 'client_id', 'err', 'msg']);
  assert.deepEqual(rest, {
    level: 'warn',
    time: '2026-11-01T10:30:00.000Z',
    client_id: 'till-7',
    msg: 'agent away',
  });
  assert.deepEqual([err.name, err.code, err.message], ['Error', 'EHOSTUNREACH', 'no route']);
  const fields = { path: '/data/a b\n', bytes: 7 };
  const human = renderLogLine({ ...entry, fields }, 'human');
  assert.equal(human, '10:30:00 warn  agent away path="/data/a b\\n" bytes=7');
});

test('each level has the priority that journalctl -p filters by', () => {
  assert.deepEqual(logLevels.map(journalPrefix), ['<7>', '<7>', '<6>', '<4>', '<3>', '<2>']);
});

test('a descriptor counts as the journal only if it is the stream that systemd connected', () => {
  const directory = mkdtempSync(join(tmpdir(), 'backhaul-log-'));
  const descriptor = openSync(join(directory, 'stream'), 'w');
  try {
    const { dev, ino } = fstatSync(descriptor);
    assert.equal(isJournal(descriptor, `${dev}:${ino}`), true);
    assert.equal(isJournal(descriptor, `${dev}:${ino + 1}`), false);
    assert.equal(isJournal(descriptor, undefined), false);
    assert.equal(isJournal(descriptor, ''), false);
    assert.equal(isJournal(99_999, `${dev}:${ino}`), false);
  } finally {
    closeSync(descriptor);
    rmSync(directory, { recursive: true });
  }
});
