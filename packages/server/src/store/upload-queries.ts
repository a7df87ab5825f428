import type { UploadStatus } from '@backhaul/protocol';
import { type SqlBool, type UpdateResult, sql } from 'kysely';
import type {
  AuditEvent,
  ChangedUpload,
  ChangePosition,
  Store,
  UploadFilter,
  UploadSave,
} from '../domain/ports/store.ts';
import type { Upload } from '../domain/uploads/upload.ts';
import { insertAudit } from './audit-queries.ts';
import { nextChange } from './change-counter.ts';
import { deleteKeys } from './key-queries.ts';
import { announceParts, deleteParts, setStoredParts } from './part-queries.ts';
import { type Placeholders, PreparedQuery } from './prepared-query.ts';
import type { Queries } from './queries.ts';
import type { UploadsTable } from './schema.ts';
import { fromUploadRow, toUploadRow, uploadColumns } from './upload-row.ts';

const ACTIVE = ['queued', 'preparing', 'uploading', 'completing'] as const;
const RUNNING = ['preparing', 'uploading'] as const;

const selectById = new PreparedQuery((db, { uploadId }: Placeholders<{ uploadId: string }>) =>
  selectAll(db).where('uploadId', '=', uploadId),
);

export async function selectUpload(db: Queries, uploadId: string): Promise<Upload | undefined> {
  const row = await selectById.first(db, { uploadId });
  return row && fromUploadRow(row);
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

export async function selectUploads(db: Queries, filter: UploadFilter): Promise<Upload[]> {
  let query = selectAll(db);
  if (filter.clientId !== undefined) query = query.where('clientId', '=', filter.clientId);
  if (filter.status !== undefined) query = query.where('status', '=', filter.status);
  if (filter.after !== undefined) {
    const { createdAt, uploadId } = filter.after;
    query = query.where((where) =>
      where.or([
        where('createdAt', '<', createdAt),
        where.and([where('createdAt', '=', createdAt), where('uploadId', '<', uploadId)]),
      ]),
    );
  }
  return run(query.orderBy('createdAt', 'desc').orderBy('uploadId', 'desc').limit(filter.limit));
}

export async function selectActiveUploads(
  db: Queries,
  clientId: string,
  { limit }: { limit: number },
): Promise<Upload[]> {
  return run(
    selectAll(db)
      .where('completedAt', 'is', null)
      .where('status', 'in', ACTIVE)
      .where('clientId', '=', clientId)
      // An expression: for plain columns SQLite would choose the index that is sorted by them, and with it all
      // uploads of the client.
      .orderBy(sql`status = 'queued'`)
      .orderBy(sql`+created_at`)
      .orderBy(sql`+upload_id`)
      .limit(limit),
  );
}

const selectRunning = new PreparedQuery((db, { clientId }: Placeholders<{ clientId: string }>) =>
  unfinished(db).where('status', 'in', RUNNING).where('clientId', '=', clientId),
);

export async function selectRunningIds(db: Queries, clientId: string): Promise<string[]> {
  return idsOf(await selectRunning.all(db, { clientId }));
}

type QueueQuery = Readonly<Record<'now' | 'latest' | 'limit', number>> & { readonly clientId: string };

const selectQueued = new PreparedQuery((db, { clientId, now, latest, limit }: Placeholders<QueueQuery>) =>
  unfinished(db)
    .where('status', '=', 'queued')
    .where('clientId', '=', clientId)
    .where((where) =>
      where.or([
        where('nextAttemptAt', 'is', null),
        where('nextAttemptAt', '<=', now),
        where('nextAttemptAt', '>', latest),
      ]),
    )
    .orderBy('createdAt')
    .orderBy('uploadId')
    // A sum: SQLite recompiles a statement for each value that is bound directly as a limit.
    .limit(sql<number>`${limit} + 0`),
);

export async function selectQueuedIds(
  db: Queries,
  clientId: string,
  { now, maxWaitMs, limit }: Parameters<Store['listQueuedIds']>[1],
): Promise<string[]> {
  return idsOf(await selectQueued.all(db, { clientId, now, latest: now + maxWaitMs, limit }));
}

export async function selectCompletingIds(db: Queries): Promise<string[]> {
  return ids(unfinished(db).where('status', '=', 'completing'));
}

export async function selectUnansweredIds(
  db: Queries,
  { before, orAfter }: Parameters<Store['listUnansweredIds']>[0],
  limit: number,
): Promise<string[]> {
  return ids(
    unfinished(db)
      .where('status', '=', 'preparing')
      .where('stalledSince', 'is', null)
      .where((where) => where.or([where('startedAt', '<', before), where('startedAt', '>', orAfter)]))
      .limit(limit),
  );
}

export async function selectWaitingClients(db: Queries): Promise<string[]> {
  const rows = await db
    .selectFrom('uploads')
    .select('clientId')
    .distinct()
    .where('completedAt', 'is', null)
    .where('status', '=', 'queued')
    .execute();
  return rows.map(({ clientId }) => clientId);
}

export async function selectChangesAfter(
  db: Queries,
  { change, uploadId }: ChangePosition,
  limit: number,
): Promise<ChangedUpload[]> {
  const rows = await selectAll(db)
    .select('change')
    .where('change', '>=', change)
    .where((where) => where.or([where('change', '>', change), where('uploadId', '>', uploadId)]))
    .orderBy('change')
    .orderBy('uploadId')
    .limit(limit)
    .execute();
  return rows.map(({ change: at, ...row }) => ({ change: at, upload: fromUploadRow(row) }));
}

export async function selectOverdueIds(db: Queries, now: number, limit: number): Promise<string[]> {
  return ids(
    unfinished(db)
      .where('status', '!=', 'completing')
      .where('expiresAt', '<=', now)
      .orderBy('expiresAt')
      .limit(limit),
  );
}

export async function selectNextDeadline(db: Queries, now: number): Promise<number | undefined> {
  const row = await db
    .selectFrom('uploads')
    .select('expiresAt')
    .where('completedAt', 'is', null)
    .where('status', '!=', 'completing')
    .where('expiresAt', '>', now)
    .orderBy('expiresAt')
    .limit(1)
    .executeTakeFirst();
  return row?.expiresAt;
}

export async function selectUploadsWithOpenMultipart(db: Queries, limit: number): Promise<Upload[]> {
  return run(
    selectAll(db)
      // A literal, not a parameter: otherwise SQLite does not use the partial index.
      .where(sql<SqlBool>`multipart_open = 1`)
      .where('completedAt', 'is not', null)
      .orderBy('updatedAt')
      .limit(limit),
  );
}

export async function countUnfinished(
  db: Queries,
  filter: Parameters<Store['countUnfinished']>[0],
): Promise<number> {
  const { count } = await ('clientId' in filter
    ? countOfClient.one(db, filter)
    : countOfSubject.one(db, filter));
  return count;
}

const countOfClient = new PreparedQuery((db, { clientId }: Placeholders<{ clientId: string }>) =>
  selectUnfinishedCount(db).where('clientId', '=', clientId),
);

const countOfSubject = new PreparedQuery((db, { requestedBy }: Placeholders<{ requestedBy: string }>) =>
  selectUnfinishedCount(db).where('requestedBy', '=', requestedBy),
);

function selectUnfinishedCount(db: Queries) {
  return db
    .selectFrom('uploads')
    .select((select) => select.fn.countAll<number>().as('count'))
    .where('completedAt', 'is', null);
}

export async function countUploadsByStatus(db: Queries): Promise<Partial<Record<UploadStatus, number>>> {
  const rows = await db
    .selectFrom('uploads')
    .select(['status', (select) => select.fn.countAll<number>().as('count')])
    .groupBy('status')
    .execute();
  return Object.fromEntries(rows.map(({ status, count }) => [status, count]));
}

export async function selectOldestQueuedAt(db: Queries): Promise<number | undefined> {
  const row = await db
    .selectFrom('uploads')
    .select('createdAt')
    .where('status', '=', 'queued')
    .orderBy('createdAt')
    .limit(1)
    .executeTakeFirst();
  return row?.createdAt;
}

export async function selectOldestStalledSince(db: Queries): Promise<number | undefined> {
  const row = await db
    .selectFrom('uploads')
    .select('stalledSince')
    // By status, which has an index: ended rows may cover a year.
    .where('status', 'in', ACTIVE)
    .where('stalledSince', 'is not', null)
    .orderBy('stalledSince')
    .limit(1)
    .executeTakeFirst();
  return row?.stalledSince ?? undefined;
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

/** The condition of the partial indexes of unfinished uploads; without it SQLite does not use them. */
function unfinished(db: Queries) {
  return db.selectFrom('uploads').select('uploadId').where('completedAt', 'is', null);
}

async function ids(query: ReturnType<typeof unfinished>): Promise<string[]> {
  return idsOf(await query.execute());
}

function idsOf(rows: readonly { readonly uploadId: string }[]): string[] {
  return rows.map(({ uploadId }) => uploadId);
}

function selectAll(db: Queries) {
  return db.selectFrom('uploads').select(uploadColumns);
}

async function run(query: ReturnType<typeof selectAll>): Promise<Upload[]> {
  return (await query.execute()).map(fromUploadRow);
}
