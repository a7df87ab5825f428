import { fingerprintSchema } from '@backhaul/protocol';
import type { Selectable } from 'kysely';
import type { Upload } from '../domain/uploads/upload.ts';
import type { UploadsTable } from './schema.ts';

/** @throws ZodError when a JSON column does not hold what was written there. */
export function fromUploadRow(row: Selectable<UploadsTable>): Upload {
  return {
    ...row,
    multipartOpen: row.multipartOpen === 1,
    fingerprint: row.fingerprint === null ? null : fingerprintSchema.parse(JSON.parse(row.fingerprint)),
  };
}

export function toUploadRow(upload: Upload): UploadsTable {
  return {
    ...upload,
    multipartOpen: upload.multipartOpen ? 1 : 0,
    fingerprint: upload.fingerprint === null ? null : JSON.stringify(upload.fingerprint),
  };
}
