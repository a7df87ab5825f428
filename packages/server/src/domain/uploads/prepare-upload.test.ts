import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MAX_FRAME_BYTES, decodeServerMessage } from '@backhaul/protocol';
import { fakeCrc32 } from '../fakes/fake-agent.ts';
import { sampleUploadIn } from '../fakes/sample-upload.ts';
import type { UploadSettings } from '../upload-settings.ts';
import { prepareUpload } from './prepare-upload.ts';
import type { Upload, UploadPart } from './upload.ts';

const settings: UploadSettings = {
  bucketName: 'b',
  keyPrefix: 'uploads',
  maxFileSize: 1000,
  limits: {},
  lifetimeMs: 1,
  prepareTimeoutMs: 600_000,
  maxBackoffMs: 1,
};
const sha256 = Buffer.alloc(32, 0xff).toString('base64');
const md5 = Buffer.alloc(16, 0xff).toString('base64');

function part(partNumber: number): UploadPart {
  return { partNumber, sizeBytes: 5_242_880, crc32: fakeCrc32(partNumber), sha256, md5, etag: '"e"' };
}

const stored = (...numbers: number[]) => numbers.map((partNumber) => ({ partNumber, etag: '"e"' }));
const numbered = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

describe('prepare_upload', () => {
  test('starts from scratch if no multipart upload exists', () => {
    const upload = { ...sampleUploadIn('preparing'), onChange: 'restart' } as const;
    assert.deepEqual(prepareUpload(upload, { stored: [], known: [], settings, limits: null }), {
      action: 'prepare_upload',
      upload_id: upload.uploadId,
      attempt: 1,
      file_path: '/data/report.bin',
      plan: { min_chunk_size: 5_242_880, max_parts: 10_000, window_size: 32, max_file_size: 1000 },
      checksum_mode: 'crc32',
      on_change: 'restart',
      expires_in_ms: 600_000,
    });
  });

  test('carries the limits that apply to it', () => {
    const limits = { parallel_parts: 2, max_rate: 250_000 };
    const message = prepareUpload(sampleUploadIn('preparing'), { stored: [], known: [], settings, limits });
    assert.deepEqual(message.limits, limits);
  });

  const interrupted: Upload = { ...sampleUploadIn('uploading'), status: 'preparing', attempt: 2 };

  test('resumes with the recorded parts that are stored', () => {
    const { resume } = prepareUpload(interrupted, {
      stored: stored(1, 3),
      known: numbered(3).map(part),
      settings,
      limits: null,
    });
    assert.deepEqual(resume, {
      size: interrupted.sizeBytes,
      fingerprint: interrupted.fingerprint,
      kept_parts: [
        { part_number: 1, crc32: fakeCrc32(1) },
        { part_number: 3, crc32: fakeCrc32(3) },
      ],
    });
  });

  test('resumes even without stored parts, because the multipart upload exists', () => {
    const { resume } = prepareUpload(interrupted, { stored: [], known: [part(1)], settings, limits: null });
    assert.deepEqual(resume?.kept_parts, []);
  });

  test('contains only the checksum that binds the parts', () => {
    const upload = { ...interrupted, checksumMode: 'sha256' } as const;
    const { resume } = prepareUpload(upload, { stored: stored(2), known: [part(2)], settings, limits: null });
    assert.deepEqual(resume?.kept_parts, [{ part_number: 2, crc32: fakeCrc32(2), sha256 }]);
  });

  test('fits into a frame with ten thousand stored parts in mode sha256, and the agent can parse it', () => {
    const upload: Upload = {
      ...interrupted,
      checksumMode: 'sha256',
      filePath: '😀'.repeat(1024),
      sizeBytes: Number.MAX_SAFE_INTEGER,
      partCount: 10_000,
    };
    const message = prepareUpload(upload, {
      stored: stored(...numbered(10_000)),
      known: numbered(10_000).map(part),
      settings,
      limits: null,
    });
    const frame = JSON.stringify(message);
    assert.ok(Buffer.byteLength(frame) < MAX_FRAME_BYTES, `${Buffer.byteLength(frame)} bytes`);
    const decoded = decodeServerMessage(frame);
    assert.ok(decoded.ok, decoded.ok ? '' : decoded.problem);
    assert.ok(decoded.message.action === 'prepare_upload');
    assert.equal(decoded.message.resume?.kept_parts.length, 10_000);
  });
});
