import assert from 'node:assert/strict';
import type { BigIntStats } from 'node:fs';
import { test } from 'node:test';
import { type AgentMessageInput, decodeAgentMessage } from '@backhaul/protocol';
import { fingerprintOf, modifiedAt } from './fingerprint.ts';

const SECONDS = [-(2n ** 63n), -62_135_596_801n, -1n, 0n, 253_402_300_800n, 2n ** 63n - 1n];

test('the server can parse any numbers and times of a file system', () => {
  for (const seconds of SECONDS) {
    for (const number of [0n, 1n, 2n ** 63n, 2n ** 64n - 1n, -(2n ** 63n)]) {
      const ns = seconds * 1_000_000_000n + 999_999_999n;
      const stats = { dev: number, ino: number, size: 2n ** 63n - 1n, mtimeNs: ns, ctimeNs: ns };
      const message: AgentMessageInput = {
        status: 'prepared',
        upload_id: '019ab3c2-5f00-7000-8000-000000000001',
        attempt: 1,
        file_name: 'a',
        size: 1,
        chunk_size: 5_242_880,
        part_count: 1,
        fingerprint: fingerprintOf(stats as BigIntStats),
        source_modified_at: modifiedAt({ mtimeMs: ns / 1_000_000n }),
        parts: [{ part_number: 1, size: 1, crc32: 'AAAAAA==' }],
      };
      const decoded = decodeAgentMessage(JSON.stringify(message));
      assert.ok(decoded.ok, decoded.ok ? '' : decoded.problem);
    }
  }
});

test('a time outside the supported range is clamped', () => {
  const written = SECONDS.map((seconds) => modifiedAt({ mtimeMs: seconds * 1000n }));
  assert.deepEqual(written, [
    '0001-01-01T00:00:00.000Z',
    '0001-01-01T00:00:00.000Z',
    '1969-12-31T23:59:59.000Z',
    '1970-01-01T00:00:00.000Z',
    '9999-12-31T23:59:59.999Z',
    '9999-12-31T23:59:59.999Z',
  ]);
});
