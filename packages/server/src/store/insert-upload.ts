import { sql } from 'kysely';
import type { AuditEvent, InsertOptions } from '../domain/ports/store.ts';
import type { Upload } from '../domain/uploads/upload.ts';
import { insertAudit } from './audit-queries.ts';
import { nextChange } from './change-counter.ts';
import { insertKey, selectByKey } from './key-queries.ts';
import { type Placeholders, PreparedQuery } from './prepared-query.ts';
import type { Queries } from './queries.ts';
import type { UploadsTable } from './schema.ts';
import { fromUploadRow, toUploadRow, uploadColumns } from './upload-row.ts';

const insert = new PreparedQuery<UploadsTable & { readonly change: number }, unknown>((db, row) =>
  db.insertInto('uploads').values(row),
);

/** Must run in one transaction (read-then-write). */
export async function insertUpload(
  db: Queries,
  upload: Upload,
  { audit, terms, join, joinOnly = false }: InsertOptions & { readonly audit: AuditEvent },
): Promise<Upload | undefined> {
  const { requestedBy, idempotencyKey } = upload;
  const keyed = idempotencyKey === null ? undefined : await selectByKey(db, requestedBy, idempotencyKey);
  if (keyed !== undefined) return keyed.upload;
  const row = toUploadRow(upload);
  const active = join === undefined ? undefined : await selectNewestActive(db, row);
  if (join === undefined || active === undefined) {
    if (joinOnly) return undefined;
    await insert.run(db, { ...row, change: await nextChange(db, upload.updatedAt) });
    await insertKey(db, upload, { uploadId: upload.uploadId, terms });
    await insertAudit(db, audit);
    return undefined;
  }
  const { uploadId } = active;
  await insertKey(db, upload, { uploadId, terms });
  await insertAudit(db, { ...join, uploadId });
  return extend(db, active, upload);
}

type SameFile = Pick<Upload, 'clientId' | 'filePath' | 'onChange'> & Pick<UploadsTable, 'limits'>;

const selectActive = new PreparedQuery(
  (db, { clientId, filePath, onChange, limits }: Placeholders<SameFile>) =>
    db
      .selectFrom('uploads')
      .select(uploadColumns)
      .where('completedAt', 'is', null)
      // An upload to be cancelled must not be joined.
      .where('cancelRequestedAt', 'is', null)
      .where('clientId', '=', clientId)
      .where('filePath', '=', filePath)
      .where('onChange', '=', onChange)
      .where('limits', 'is not distinct from', limits)
      .orderBy('createdAt', 'desc')
      .orderBy('uploadId', 'desc')
      // A literal: SQLite recompiles a statement for each bound value of a limit.
      .limit(sql.lit(1)),
);

/** For the same file; the newest, because it may have the newer version. */
async function selectNewestActive(
  db: Queries,
  { clientId, filePath, onChange, limits }: SameFile,
): Promise<Upload | undefined> {
  const row = await selectActive.first(db, { clientId, filePath, onChange, limits });
  return row && fromUploadRow(row);
}

async function extend(db: Queries, active: Upload, { expiresAt, createdAt }: Upload): Promise<Upload> {
  if (expiresAt <= active.expiresAt) return active;
  const changes = { expiresAt, version: active.version + 1, updatedAt: createdAt };
  const change = await nextChange(db, createdAt);
  await db
    .updateTable('uploads')
    .set({ ...changes, change })
    .where('uploadId', '=', active.uploadId)
    .execute();
  return { ...active, ...changes };
}
