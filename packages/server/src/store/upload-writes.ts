import { sql, type UpdateResult } from 'kysely';
import type { AuditEvent, DeadlineMove, InsertOptions, UploadSave } from '../domain/ports/store.ts';
import type { Upload } from '../domain/uploads/upload.ts';
import { insertAudit } from './audit-queries.ts';
import { announceParts, deleteParts, setStoredParts } from './part-queries.ts';
import { type Placeholders, PreparedQuery, type Queries } from './prepared-query.ts';
import type { UploadsTable } from './schema.ts';
import { fromUploadRow, toUploadRow, uploadColumns } from './upload-row.ts';
import { selectByKey } from './upload-queries.ts';

const insert = new PreparedQuery<UploadsTable & { readonly change: number }, unknown>((db, row) =>
  db.insertInto('uploads').values(row),
);

/** Must run in one transaction (read-then-write). */
export async function insertUpload(
  db: Queries,
  upload: Upload,
  audit: AuditEvent,
  { terms, join, joinOnly = false }: InsertOptions = {},
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

type UpdatedRow = UploadsTable & Readonly<Record<'change' | 'expectedVersion', number>>;

const updateVersion = new PreparedQuery<UpdatedRow, UpdateResult>(
  (db, { uploadId, expectedVersion, ...row }) =>
    db
      .updateTable('uploads')
      .set(row)
      .where('uploadId', '=', uploadId)
      .where('version', '=', expectedVersion),
);

export async function updateUpload(db: Queries, upload: Upload, save: UploadSave): Promise<boolean> {
  const { uploadId } = upload;
  const { expectedVersion } = save;
  const change = await nextChange(db, upload.updatedAt);
  const updated = await updateVersion.run(db, { ...toUploadRow(upload), change, expectedVersion });
  if (updated !== 1) return false;
  if (save.clearParts === true) await deleteParts(db, uploadId);
  if (save.stored !== undefined) await setStoredParts(db, uploadId, save.stored);
  if (save.announced !== undefined) {
    const differing = await announceParts(db, uploadId, save.announced);
    if (differing.length > 0) throw new Error(`parts of an earlier attempt of ${uploadId} are still stored`);
  }
  if (save.audit !== undefined) await insertAudit(db, save.audit);
  return true;
}

export async function deleteUpload(db: Queries, uploadId: string, audit: AuditEvent): Promise<void> {
  await deleteParts(db, uploadId);
  await deleteKeys(db, [uploadId]);
  await db.deleteFrom('uploads').where('uploadId', '=', uploadId).execute();
  await insertAudit(db, audit);
}

/** @see Store.moveDeadlines */
export async function moveDeadlines(
  db: Queries,
  { now, jumpMs, maxGraceMs, newSince }: DeadlineMove,
): Promise<number> {
  const latest = now + maxGraceMs;
  const moved = sql<number>`expires_at + ${jumpMs}`;
  let query = db
    .updateTable('uploads')
    .set((update) => ({
      expiresAt:
        jumpMs < 0 ? moved : sql<number>`case when ${moved} < ${latest} then ${moved} else ${latest} end`,
      version: update('version', '+', 1),
      updatedAt: now,
    }))
    .where('completedAt', 'is', null)
    .where('expiresAt', '>', now - jumpMs)
    .where((where) => where.or([where('createdAt', '<', newSince), where('createdAt', '>', now)]));
  if (jumpMs > 0) query = query.where('expiresAt', '<', latest);
  const change = await nextChange(db, now);
  const { numUpdatedRows } = await query.set({ change }).executeTakeFirst();
  return Number(numUpdatedRows);
}

/** Running uploads of this node's clients: no agent is connected that could advance them. */
export async function stallUploadsOf(
  db: Queries,
  nodeId: string,
  { at, reason }: { readonly at: number; readonly reason: string },
): Promise<void> {
  // One number for all: they become visible together, and their ids distinguish them.
  const change = await nextChange(db, at);
  await db
    .updateTable('uploads')
    .set((update) => ({
      change,
      stalledSince: update.fn.coalesce('stalledSince', update.val(at)),
      stalledReason: reason,
      nextAttemptAt: null,
      version: update('version', '+', 1),
      updatedAt: at,
    }))
    .where('status', 'in', ['preparing', 'uploading'])
    .where('stalledReason', 'is distinct from', reason)
    .where('clientId', 'in', (select) =>
      select.selectFrom('sessions').select('clientId').where('nodeId', '=', nodeId),
    )
    .execute();
}

export async function deleteUploadsEndedBefore(db: Queries, before: number, limit: number): Promise<number> {
  const removed = await db
    .deleteFrom('uploads')
    .where('uploadId', 'in', (select) =>
      select
        .selectFrom('uploads')
        .select('uploadId')
        .where('multipartOpen', '=', 0)
        .where('completedAt', '<', before)
        .orderBy('completedAt')
        .limit(limit),
    )
    .returning('uploadId')
    .execute();
  const ids = removed.map(({ uploadId }) => uploadId);
  await deleteKeys(db, ids);
  return ids.length;
}

/** @param request The subject and key to record; nothing is recorded without a key. */
async function insertKey(
  db: Queries,
  { requestedBy, idempotencyKey }: Upload,
  { uploadId, terms = null }: { readonly uploadId: string; readonly terms: string | null | undefined },
): Promise<void> {
  if (idempotencyKey === null) return;
  await db.insertInto('uploadKeys').values({ requestedBy, idempotencyKey, uploadId, terms }).execute();
}

async function deleteKeys(db: Queries, uploadIds: readonly string[]): Promise<void> {
  if (uploadIds.length === 0) return;
  await db.deleteFrom('uploadKeys').where('uploadId', 'in', uploadIds).execute();
}

const increase = new PreparedQuery((db, { at }: Placeholders<{ at: number }>) =>
  db
    .updateTable('changeCounter')
    .set({ last: sql<number>`case when last < ${at} then ${at} else last + 1 end` })
    .where('id', '=', 1)
    .returning('last'),
);

/**
 * The number of a change, greater than all before it. Call it in the transaction that makes the change: with one
 * connection, numbers become visible in sequence.
 *
 * @param at Time of the change. If it is ahead of the counter, the counter follows, so that a database restored from
 *   a backup does not reuse numbers that readers have already seen.
 */
async function nextChange(db: Queries, at: number): Promise<number> {
  return (await increase.one(db, { at })).last;
}
