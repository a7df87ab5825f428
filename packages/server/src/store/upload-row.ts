import { fingerprintSchema, uploadLimitsSchema } from '@backhaul/protocol';
import type { Selectable } from 'kysely';
import type { Upload } from '../domain/uploads/upload.ts';
import type { Schema, UploadsTable } from './schema.ts';

/** @throws ZodError when a JSON column does not hold what was written there. */
// oxlint-disable-next-line no-unused-vars -- named to be left out: where a reader is, is none of an upload's own
export function fromUploadRow({ change: _, ...row }: Selectable<Schema['uploads']>): Upload {
  return {
    ...row,
    multipartOpen: row.multipartOpen === 1,
    fingerprint: row.fingerprint === null ? null : fingerprintSchema.parse(JSON.parse(row.fingerprint)),
    limits: row.limits === null ? null : uploadLimitsSchema.parse(JSON.parse(row.limits)),
  };
}

export function toUploadRow(upload: Upload): UploadsTable {
  return {
    ...upload,
    multipartOpen: upload.multipartOpen ? 1 : 0,
    fingerprint: upload.fingerprint === null ? null : JSON.stringify(upload.fingerprint),
    limits: upload.limits === null ? null : JSON.stringify(upload.limits),
  };
}
