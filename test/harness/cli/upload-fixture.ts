import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { UploadRecord } from '@backhaul/protocol';
import { FakeBackhaul, type Route, sendEvents, sendJson } from '../../doubles/fake-backhaul.ts';
import { FakeObjectStore, type ObjectFaults } from '../../doubles/fake-object-store.ts';
import { UPLOAD_ID, uploadRecord } from '../upload-record.ts';

const ENDED_AT = '2025-11-01T10:30:03.450Z';

/** Versions of an upload's record, from accepted to completed. */
export function recordVersions(content: Buffer, last: Partial<UploadRecord> = {}): UploadRecord[] {
  const size = content.length;
  const crc = Buffer.alloc(4);
  crc.writeUInt32BE(crc32(content));
  const none = { size: null, part_count: null, parts_completed: 0, bytes_uploaded: 0, started_at: null };
  return [
    uploadRecord({ ...none, status: 'queued', version: 1 }),
    uploadRecord({ ...none, status: 'preparing', version: 2 }),
    uploadRecord({
      size,
      part_count: 20,
      parts_completed: 8,
      bytes_uploaded: Math.floor(size * 0.4),
      version: 3,
    }),
    uploadRecord({
      size,
      part_count: 20,
      parts_completed: 20,
      bytes_uploaded: size,
      status: 'completing',
      version: 4,
    }),
    uploadRecord({
      size,
      part_count: 20,
      parts_completed: 20,
      bytes_uploaded: size,
      status: 'completed',
      version: 5,
      completed_at: ENDED_AT,
      upload_duration_ms: 3450,
      sha256: createHash('sha256').update(content).digest('hex'),
      checksum: { algorithm: 'crc32', type: 'full_object', value: crc.toString('base64') },
      verification: 'full_object',
      ...last,
    }),
  ];
}

export function failedRecord(fields: Partial<UploadRecord>): UploadRecord {
  return uploadRecord({ status: 'failed', version: 2, completed_at: ENDED_AT, ...fields });
}

/** Routes for one upload whose record goes through these versions. */
export function uploadRoutes(versions: readonly UploadRecord[]): Record<string, Route> {
  return {
    'POST /trigger-download/restaurant-1': (response) => sendJson(response, versions[0], 202),
    [`GET /uploads/${UPLOAD_ID}`]: (response) => sendJson(response, versions.at(-1)),
    [`GET /uploads/${UPLOAD_ID}/events`]: (response) => sendEvents(response, versions),
  };
}

export interface UploadFixtureOptions {
  readonly faults?: ObjectFaults;
  readonly last?: Partial<UploadRecord>;
  /** Routes in addition to those of the upload itself. */
  readonly routes?: Readonly<Record<string, Route>>;
}

/** A server and a store in which an upload of `content` completes. */
export async function startUpload(content: Buffer, { faults, last, routes = {} }: UploadFixtureOptions = {}) {
  const store = await FakeObjectStore.start(content, faults);
  const server = await FakeBackhaul.start({
    ...uploadRoutes(recordVersions(content, last)),
    ...routes,
    [`GET /uploads/${UPLOAD_ID}/content`]: (response) =>
      response.writeHead(302, { location: store.presign() }).end(),
  });
  return {
    server,
    store,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}
