import type { KeyedUpload } from '../domain/ports/store.ts';
import type { Upload } from '../domain/uploads/upload.ts';
import type { Queries } from './queries.ts';
import { fromUploadRow, uploadColumns } from './upload-row.ts';

export async function selectByKey(
  db: Queries,
  requestedBy: string,
  idempotencyKey: string,
): Promise<KeyedUpload | undefined> {
  const row = await db
    .selectFrom('uploadKeys')
    .innerJoin('uploads', 'uploads.uploadId', 'uploadKeys.uploadId')
    .select(uploadColumns.map((column) => `uploads.${column}` as const))
    .select('uploadKeys.terms as keyTerms')
    .where('uploadKeys.requestedBy', '=', requestedBy)
    .where('uploadKeys.idempotencyKey', '=', idempotencyKey)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const { keyTerms: terms, ...upload } = row;
  return { upload: fromUploadRow(upload), terms };
}

/** @param request The subject and key to record; nothing is recorded without a key. */
export async function insertKey(
  db: Queries,
  { requestedBy, idempotencyKey }: Upload,
  { uploadId, terms = null }: { readonly uploadId: string; readonly terms: string | null | undefined },
): Promise<void> {
  if (idempotencyKey === null) return;
  await db.insertInto('uploadKeys').values({ requestedBy, idempotencyKey, uploadId, terms }).execute();
}

export async function deleteKeys(db: Queries, uploadIds: readonly string[]): Promise<void> {
  if (uploadIds.length === 0) return;
  await db.deleteFrom('uploadKeys').where('uploadId', 'in', uploadIds).execute();
}
