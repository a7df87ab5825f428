import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UploadRecord } from '@backhaul/protocol';
import type { AccessLogEntry } from '../../test/harness/access-log.ts';
import { timeline } from './timeline.ts';

const command = { startedAtMs: 1000, endedAtMs: 1900 };
const record = {
  created_at: new Date(1200).toISOString(),
  completed_at: new Date(1600).toISOString(),
} as UploadRecord;

function request(operation: string, startedAtMs: number, endedAtMs: number): AccessLogEntry {
  return {
    operation,
    part_number: null,
    status: 200,
    started_at_ms: startedAtMs,
    ended_at_ms: endedAtMs,
    bytes_in: 0,
  };
}

const requests = [
  request('CreateMultipartUpload', 1230, 1240),
  request('UploadPart', 1300, 1450),
  request('UploadPart', 1260, 1400),
  request('CompleteMultipartUpload', 1490, 1550),
  request('HeadObject', 1555, 1560),
  request('GetObject', 1610, 1800),
];

test('each stage ends where the next begins, and together they are the whole command', () => {
  const times = timeline(command, record, requests).map(({ ms }) => ms);
  assert.deepEqual(times, [200, 30, 10, 20, 190, 40, 60, 50, 10, 190, 100]);
});

test('a request that must have been there and was not logged is told', () => {
  for (const missing of ['CreateMultipartUpload', 'UploadPart', 'CompleteMultipartUpload', 'GetObject']) {
    const others = requests.filter(({ operation }) => operation !== missing);
    assert.throws(() => timeline(command, record, others), /no part|no content|not one \w+ was logged/);
  }
});

test('a record without an end has no timeline', () => {
  assert.throws(() => timeline(command, { ...record, completed_at: null }, requests), /has no time/);
});
