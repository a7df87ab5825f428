import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { MAX_FRAME_BYTES } from './connection.ts';
import {
  type AgentMessageInput,
  decodeAgentMessage,
  decodeServerMessage,
  type ServerMessageInput,
} from './index.ts';

const uploadId = '019ab3c2-5f00-7000-8000-000000000001';

describe('reading a frame', () => {
  test('never throws for any text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (frame) => {
        for (const decode of [decodeAgentMessage, decodeServerMessage]) {
          const decoded = decode(frame);
          if (!decoded.ok) assert.ok(decoded.problem.length > 0);
        }
      }),
    );
  });

  test('never throws for any fields of a known message', () => {
    const fields = fc.dictionary(
      fc.constantFrom('upload_id', 'attempt', 'parts', 'size', 'labels', 'platform', 'plan', '__proto__'),
      fc.jsonValue(),
    );
    fc.assert(
      fc.property(fc.constantFrom('hello', 'prepared', 'completed', 'result'), fields, (status, rest) => {
        assert.equal(decodeAgentMessage(JSON.stringify({ ...rest, status })).ok, false);
      }),
    );
  });

  test('names the message and the invalid field', () => {
    const decoded = decodeAgentMessage(
      JSON.stringify({ status: 'failed', upload_id: 'x', error: 'cancelled', message: '' }),
    );
    assert.deepEqual(decoded, {
      ok: false,
      problem: 'status "failed": upload_id: an upload_id is a UUIDv7',
      subject: null,
    });
  });

  test('returns the subject of an invalid message', () => {
    const command_id = '019ab3c2-5f00-7000-8000-000000000002';
    const about = { upload_id: uploadId, attempt: 7 };
    for (const [decode, message, subject] of [
      [decodeAgentMessage, { status: 'prepared', ...about, size: 'large' }, about],
      [decodeAgentMessage, { status: 'failed', upload_id: uploadId }, { upload_id: uploadId, attempt: 1 }],
      [decodeAgentMessage, { status: 'result', command_id, ok: 'yes' }, { command_id }],
      [decodeServerMessage, { action: 'prepare_upload', ...about }, about],
      [decodeServerMessage, { action: 'download_file', upload_config: { ...about, kind: 'archive' } }, about],
      [decodeServerMessage, { action: 'list_directory', command_id, path: '' }, { command_id }],
    ] as const) {
      const decoded = decode(JSON.stringify(message));
      assert.ok(!decoded.ok);
      assert.deepEqual(decoded.subject, subject, JSON.stringify(message));
    }
  });

  test('returns no subject for anything else', () => {
    for (const message of [
      { status: 'of_the_future', upload_id: uploadId, attempt: 1 },
      { status: 'prepared', upload_id: 'all', attempt: 1 },
      { status: 'prepared', upload_id: uploadId, attempt: 'every' },
      { status: 'result', command_id: { $ne: null } },
    ]) {
      const decoded = decodeAgentMessage(JSON.stringify(message));
      assert.ok(!decoded.ok && decoded.subject === null, JSON.stringify(message));
    }
  });

  test('does not repeat the invalid value', () => {
    const decoded = decodeServerMessage(
      JSON.stringify({
        action: 'part_urls',
        upload_id: uploadId,
        attempt: 1,
        presigned_urls: [{ part_number: 1, url: 'ftp://s3.example/?X-Amz-Signature=SECRET' }],
        expires_at: '2025-11-01T10:30:00Z',
        expires_in_ms: 1,
      }),
    );
    assert.ok(!decoded.ok);
    assert.match(decoded.problem, /presigned_urls\.0\.url/);
    assert.doesNotMatch(decoded.problem, /SECRET/);
  });

  test('limits the length of a problem, even with long field names of a peer', () => {
    const hello = {
      status: 'hello',
      agent_version: '1',
      platform: { os: 'linux', arch: 'x64' },
      limits: { max_uploads: 1, parallel_parts: 1 },
    };
    const long = decodeAgentMessage(JSON.stringify({ ...hello, labels: { [' '.repeat(100_000)]: 'x' } }));
    assert.ok(!long.ok && long.problem.length < 1000);
    const unknown = decodeAgentMessage(JSON.stringify({ status: 'x'.repeat(100_000) }));
    assert.ok(!unknown.ok && unknown.problem.length < 1000);
  });
});

describe('the largest messages fit into a frame', () => {
  // Messages are bounded by their schema; a frame above the limit would close the connection.
  const etag = `"${'a'.repeat(34)}"`;

  test('completed with 10,000 parts', () => {
    const message: AgentMessageInput = {
      status: 'completed',
      upload_id: uploadId,
      attempt: 1_000_000,
      file_name: 'n'.repeat(255),
      size: Number.MAX_SAFE_INTEGER,
      parts: Array.from({ length: 10_000 }, (_, index) => ({ part_number: index + 1, etag })),
      upload_duration_ms: Number.MAX_SAFE_INTEGER,
      sha256: 'f'.repeat(64),
    };
    const frame = JSON.stringify(message);
    assert.ok(Buffer.byteLength(frame) < MAX_FRAME_BYTES);
    assert.ok(decodeAgentMessage(frame).ok);
  });

  test('part_urls with 64 URLs of temporary credentials', () => {
    const message: ServerMessageInput = {
      action: 'part_urls',
      upload_id: uploadId,
      attempt: 1,
      presigned_urls: Array.from({ length: 64 }, (_, index) => ({
        part_number: index + 1,
        url: `https://s3.example/${'k'.repeat(1024)}?X-Amz-Security-Token=${'t'.repeat(2600)}`,
        headers: { 'x-amz-checksum-sha256': 'c'.repeat(44), 'content-length': '5242880' },
      })),
      expires_at: '2025-11-01T10:30:00Z',
      expires_in_ms: 900_000,
    };
    const frame = JSON.stringify(message);
    assert.ok(Buffer.byteLength(frame) < MAX_FRAME_BYTES);
    assert.ok(decodeServerMessage(frame).ok);
  });

  test('prepare_upload that resumes with 10,000 kept parts with SHA-256', () => {
    const integers = { device: '9'.repeat(20), inode: '9'.repeat(20), size: '9'.repeat(20) };
    const message: ServerMessageInput = {
      action: 'prepare_upload',
      upload_id: uploadId,
      attempt: 1_000_000,
      file_path: 'p'.repeat(4096),
      plan: { min_chunk_size: 5_242_880, max_parts: 10_000, window_size: 64 },
      checksum_mode: 'sha256',
      on_change: 'restart',
      resume: {
        size: Number.MAX_SAFE_INTEGER,
        fingerprint: { ...integers, mtime_ns: '9'.repeat(20), ctime_ns: '9'.repeat(20) },
        kept_parts: Array.from({ length: 10_000 }, (_, index) => ({
          part_number: index + 1,
          crc32: '/////w==',
          sha256: Buffer.alloc(32, 0xff).toString('base64'),
        })),
      },
      expires_in_ms: 600_000,
    };
    const frame = JSON.stringify(message);
    assert.ok(Buffer.byteLength(frame) < MAX_FRAME_BYTES);
    assert.ok(decodeServerMessage(frame).ok);
  });
});
